"""The way of one job through the front end, up to where it needs the cluster: plain functions.

decode -> find or prepare -> bind -> run here, or hand back what the dispatcher should run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeAlias

from google.protobuf.message import DecodeError

from pullback_graph.codec import (
    JobLayout,
    Layouts,
    decode_job,
    encode_result,
    encode_result_apart,
    encode_standing,
)
from pullback_graph.codec.results import metric_values
from pullback_graph.errors import LimitExceeded
from pullback_graph.graph import Graph
from pullback_graph.job import GraphHash, Job, Metrics, NDArray, Result, Tensor
from pullback_graph.limits import Limits
from pullback_graph.tape import Tape
from pullback_proto.v1 import job_pb2
from pullback_server.front_end.arrivals import Answer, Arrival
from pullback_server.front_end.bind import bind_inputs
from pullback_server.front_end.passed_arrays import PassedArrays
from pullback_server.front_end.prepare import Prepared, Preparer
from pullback_server.front_end.repeated_job import RepeatedJob
from pullback_server.front_end.stores import ContentStore
from pullback_server.front_end.tape_jobs import PreparedTape, TapeJobs
from pullback_worker.choice import Running, run
from pullback_worker.result_checks import note_non_finite, without_certificate

SOURCES_BYTES = 32 << 20
"""Serialised jobs kept for the graphs in them."""
PASSED_SHARE = 0.125
"""Of the store of tensors, what is kept besides of parameters that came with jobs."""
PACKED_KEPT = 1024
"""Packed jobs kept for the graphs in them, each at most 16 KiB; decoded once, if ever, in a
fraction of a millisecond each."""

Ready: TypeAlias = "Prepared | PreparedTape"


@dataclass(slots=True)
class BoundJob:
    """A job ready to run: prepared, its arrays bound, its metrics begun.

    Attributes:
        known: what is kept of those like it, which came before.
        ran_on: what it ran on here.
    """

    arrival: Arrival
    job: Job
    prepared: Prepared
    arrays: list[NDArray]
    metrics: Metrics
    known: RepeatedJob | None = None
    ran_on: Running | None = None


class JobRunner:
    """Runs jobs on the calling thread; safe from several threads at once."""

    def __init__(
        self,
        preparer: Preparer,
        graphs: ContentStore[Graph],
        tensors: ContentStore[NDArray],
        tapes: TapeJobs,
        limits: Limits,
    ) -> None:
        self.preparer = preparer
        self.tapes = tapes
        self.graphs = graphs
        self.tensors = tensors
        self.limits = limits
        self.passed = PassedArrays(int(PASSED_SHARE * tensors.capacity_bytes))
        self._repeated: Layouts[list[Tensor], RepeatedJob] = Layouts()
        self._sources: ContentStore[bytes] = ContentStore("graph", SOURCES_BYTES, len)
        self._packed: deque[bytes] = deque(maxlen=PACKED_KEPT)

    def answer_at_once(self, arrival: Arrival) -> Answer | None:
        """The answer of a job small enough for the event loop, or None for any other.

        Only a job whose graph came by fingerprint and was prepared before can be that small.
        """
        found = self._repeated.find(arrival.data)
        if found is not None:
            return self._answer_again(arrival, *found)
        known = self._known(arrival)
        if known is None:
            return None
        job, prepared = known
        arrival.is_of(job)
        if not prepared.runs_inline:
            return None
        if isinstance(prepared, PreparedTape):
            answer = self.tapes.answer(arrival, job, prepared, hit=True)
            self._keep(arrival, job, prepared)
            return answer
        return self._run_and_keep(self._bound(arrival, job, prepared, hit=True))

    def _run_and_keep(self, bound: BoundJob) -> Answer:
        """Run a bound job here; a small one that names its graph, and stays here, comes again."""
        begun = metric_values(bound.metrics)
        answer = self.run(bound)
        is_known = bound.metrics.program_cache_hit and isinstance(bound.job.graph, GraphHash)
        if is_known and bound.prepared.runs_inline and not bound.prepared.awaits_tape:
            self._keep(bound.arrival, bound.job, bound.prepared, begun)
        return answer

    def _keep(self, arrival: Arrival, job: Job, prepared: Ready, begun: Sequence[Any] = ()) -> None:
        """Keep how a job was answered; not where each has a certificate or timeline of its own."""

        def made() -> tuple[JobLayout, RepeatedJob] | None:
            layout = JobLayout.of(arrival.data, job)
            return None if layout is None else (layout, RepeatedJob.of(job, prepared, begun))

        if not (job.options.certificate or job.options.timeline):
            self._repeated.add(arrival.data, made)

    def _answer_again(
        self, arrival: Arrival, tensors: Sequence[Tensor], known: RepeatedJob
    ) -> Answer | None:
        """The answer of a job that came before with other arrays."""
        arrival.is_of(known.job)
        prepared = known.prepared
        if isinstance(prepared, PreparedTape):
            return self.tapes.answer(arrival, known.with_inputs(tensors), prepared, hit=True)
        arrays, metrics = known.bound(tensors, self.tensors), Metrics(*known.begun)
        return self.run(BoundJob(arrival, known.job, prepared, arrays, metrics, known))

    def _known(self, arrival: Arrival) -> tuple[Job, Ready] | None:
        """A job whose graph came before, by its name, and what was prepared for it."""
        try:
            message = job_pb2.Job.FromString(arrival.data)
        except DecodeError:
            return None  # `answer` says what is wrong with it
        if message.WhichOneof("computation") != "fingerprint":
            return None
        job = decode_job(message, self.limits, arrival.apart)
        prepared: Ready | None = self.tapes.kept(job) or self._kept(job)
        return None if prepared is None else (job, prepared)

    def answer(self, arrival: Arrival) -> Answer | BoundJob:
        """Decode, prepare, bind and run a job; one that needs the cluster is handed back bound.

        Raises:
            PullbackError: whatever is wrong with the job, or went wrong.
        """
        arrival.flag.check()
        found = self._repeated.find(arrival.data)
        again = None if found is None else self._answer_again(arrival, *found)
        if again is not None:
            return again
        arrival.state = "planning"
        job = decode_job(arrival.data, self.limits, arrival.apart)
        arrival.is_of(job)
        if arrival.caller is None:  # a map stores what is large, by itself
            self.passed.note(job)
        tape = self.tapes.tape(job)
        swept = self.swept(job, tape)
        if swept is not None:
            prepared, hit = swept
            answer = self.tapes.answer(arrival, job, prepared, hit=hit)
            if answer is not None:
                if hit and isinstance(job.graph, GraphHash) and prepared.runs_inline:
                    self._keep(arrival, job, prepared)
                return answer
        if tape is not None:
            job = self.tapes.as_graph(job, tape)
        bound = self.bind(arrival, job)
        return bound if bound.prepared.choice is None else self._run_and_keep(bound)

    def swept(self, job: Job, tape: Tape | None) -> tuple[PreparedTape, bool] | None:
        """What the tape machine runs of a job, and whether it was ready before; None for others.

        Args:
            tape: the job's own, if it brings or names one.

        Raises:
            RequestError: as `TapeJobs.prepare` and `TapeJobs.prepare_graph` say.
            NotFoundError: the graph is not stored here.
        """
        if tape is not None:
            takes = self.tapes.takes(job.want, job.options)
            return self.tapes.prepare(tape, job.want, job.options) if takes else None
        found = self.tapes.kept(job)
        if found is not None:
            return found, True
        known = self._kept(job)
        if known is not None and not known.awaits_tape:
            return None
        graph = self.graph(job) if known is None else known.graph
        found = self.tapes.prepare_graph(graph, job)
        return None if found is None else (found, False)

    def bind(self, arrival: Arrival, job: Job) -> BoundJob:
        """Find or prepare what the job needs and bind its arrays.

        Raises:
            RequestError: as lowering, planning and binding say.
        """
        prepared = self._kept(job)
        hit = prepared is not None
        if prepared is None:
            check, graph = arrival.flag.check, self.graph(job)
            prepared = self.preparer.prepare(graph, job.want, job.options, check)
            prepared.awaits_tape = self.tapes.awaits(graph, job)
        return self._bound(arrival, job, prepared, hit=hit)

    def graph(self, job: Job) -> Graph:
        """The job's graph, from the store where it came by fingerprint; else kept there.

        So a client that sent a graph with one job may name it in the next, whatever it wants.
        """
        if isinstance(job.graph, GraphHash):
            return self._stored(job.graph.fingerprint)
        assert isinstance(job.graph, Graph), "a tape has become a graph before"
        with suppress(LimitExceeded):  # too large to keep is not too large to run
            self.graphs.put(job.graph.fingerprint, job.graph)
        return job.graph

    def remember(self, fingerprint: str, data: bytes) -> None:
        """Keep a serialised job whose graph another process decoded: one may name it next."""
        with suppress(LimitExceeded):
            self._sources.put(fingerprint, data)

    def remember_packed(self, jobs: Iterable[bytes]) -> None:
        """Keep serialised jobs that ran packed, whose graphs nobody decoded: one may name them.

        Their fingerprints are found when a graph is asked for that is not stored, oldest first.
        """
        for data in jobs:
            self._packed.append(data)

    def _stored(self, fingerprint: str) -> Graph:
        """A stored graph, decoded now if only its job was kept.

        Raises:
            NotFoundError: it is not stored here.
        """
        if fingerprint not in self.graphs and fingerprint not in self._sources:
            self._look_among_packed(fingerprint)
        if fingerprint in self.graphs or fingerprint not in self._sources:
            return self.graphs.get(fingerprint)
        graph = decode_job(self._sources.get(fingerprint), self.limits).graph
        assert isinstance(graph, Graph), "only jobs that bring their graph are remembered"
        self.graphs.put(fingerprint, graph)
        return graph

    def _look_among_packed(self, fingerprint: str) -> None:
        """Give jobs that ran packed their names, up to the one that is asked for."""
        while True:
            try:
                data = self._packed.popleft()
            except IndexError:  # there are none, or another thread looks among the rest
                return
            graph = decode_job(data, self.limits).graph
            self.remember(graph.fingerprint, data)
            if graph.fingerprint == fingerprint:
                return

    def run(self, bound: BoundJob) -> Answer:
        """Run a bound job here.

        Raises:
            DeadlineExceeded, Cancelled: the flag was set on the way.
            ExecutionError: the program failed, or a check of its results did.
        """
        choice, flag, metrics = bound.prepared.choice, bound.arrival.flag, bound.metrics
        assert choice is not None, "a job for the cluster came to run in the front end"
        bound.arrival.state = "running"
        start = perf_counter()
        flag.check()
        try:
            results, running, elapsed_s = run(choice, bound.arrays, flag)
        except Exception:
            flag.check()
            raise
        bound.ran_on = running
        metrics.executor, metrics.executor_reason = running.executor, running.reason
        metrics.digest = bound.prepared.digest_on(running.name)
        bound.prepared.fastest_s = min(bound.prepared.fastest_s, elapsed_s)
        metrics.note_run(elapsed_s, is_derivative=bool(bound.prepared.lowered.derivatives))
        before_s = start - bound.arrival.received_s
        if bound.job.options.timeline:
            metrics.note_one_task(before_s)
        metrics.queued_s = max(0.0, before_s - metrics.planning_s - metrics.compiling_s)
        return finish(bound, results)

    def _kept(self, job: Job) -> Prepared | None:
        graph = job.graph
        fingerprint = graph.fingerprint
        return self.preparer.kept(fingerprint, job.want, job.options)

    def _bound(self, arrival: Arrival, job: Job, prepared: Prepared, *, hit: bool) -> BoundJob:
        arrays, tensor_hits = bind_inputs(prepared, job, self.tensors)
        metrics = _begun(prepared, hit)
        metrics.graph_cache_hit = hit or isinstance(job.graph, GraphHash)
        metrics.tensor_cache_hits = tensor_hits
        return BoundJob(arrival, job, prepared, arrays, metrics)


def finish(bound: BoundJob, results: Sequence[NDArray]) -> Answer:
    """The answer with names, and with the metrics that are known only now.

    Raises:
        NonFiniteError: the job's check is `finite` and a result is not; it names the node.
    """
    prepared, job, metrics = bound.prepared, bound.job, bound.metrics
    lowered = prepared.lowered
    names, count = lowered.graph.output_names, lowered.value_count
    results, metrics.certificate_error = without_certificate(lowered, results)
    stop = bound.arrival.flag.check
    note_non_finite(metrics, job, prepared.graph, lowered, bound.arrays, results, stop)
    metrics.total_s = perf_counter() - bound.arrival.received_s
    fingerprint, known = prepared.graph.fingerprint, bound.known
    written = known and known.written(results, metrics, bound.ran_on)
    if written:
        return Answer(metrics, written, fingerprint)
    result = Result(
        outputs=dict(zip(names[:count], results[:count], strict=True)),
        derivatives=lowered.named(results[count:]),
        metrics=metrics,
        id=bound.job.id,
    )
    standing = _standing(bound)
    if bound.arrival.in_parts:
        data, apart = encode_result_apart(result, standing)
        return Answer(metrics, data, fingerprint, apart)
    if known is not None:
        known.keep_form(result, standing, bound.ran_on)
    return Answer(metrics, encode_result(result, standing), fingerprint)


def _standing(bound: BoundJob) -> bytes:
    """The encoded metrics that this job shares with others of its kind; none for the first."""
    prepared, metrics = bound.prepared, bound.metrics
    if bound.ran_on is None or not (metrics.program_cache_hit and metrics.graph_cache_hit):
        return b""
    ran_on, standing = prepared.standing
    if ran_on is not bound.ran_on:
        standing = encode_standing(metrics)
        prepared.standing = bound.ran_on, standing
    return standing


def _begun(prepared: Prepared, hit: bool) -> Metrics:
    """Metrics that follow from the plan alone."""
    plan, lowered = prepared.plan, prepared.lowered
    return Metrics(
        planning_s=0.0 if hit else prepared.planning_s,
        compiling_s=0.0 if hit else prepared.compiling_s,
        nodes=prepared.nodes,
        adjoint_evaluations=lowered.adjoints,
        flops=prepared.flops,
        peak_bytes=prepared.peak_bytes,
        tasks=len(plan.tasks),
        executor_reason=prepared.executor_reason,
        split=str(plan.split),
        split_reason=plan.reason,
        mode=lowered.mode.name,
        mode_reason=lowered.mode.reason,
        program_cache_hit=hit,
        recompute_factor=prepared.recompute_factor,
        independent_inputs=lowered.independent,
    )
