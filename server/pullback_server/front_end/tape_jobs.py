"""Jobs that the tape machine sweeps, whatever is wanted: tapes, and graphs of scalar code.

Nothing is differentiated or simplified: a tape is linked in one pass. What the machine does not do
is left to the usual way, a tape as its graph.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf
from time import perf_counter
from typing import Any

from pullback_graph.codec import encode_result
from pullback_graph.codec.tapes import NAMED_BYTES, tape_digest
from pullback_graph.errors import LimitExceeded, NotFoundError, RequestError
from pullback_graph.graph import Graph
from pullback_graph.job import GraphHash, Job, Metrics, NDArray, Options, Result
from pullback_graph.tape import CALL_S, NODE_S, Tape, to_graph
from pullback_graph.tape.flops import flops
from pullback_graph.want import Want
from pullback_server.front_end.arrivals import Answer, Arrival
from pullback_server.front_end.bind import bind_arrays
from pullback_server.front_end.prepare import INLINE_MEASURED_S, INLINE_S
from pullback_server.front_end.stores import ContentStore
from pullback_server.front_end.tape_machine import TapeMachine
from pullback_worker.chooser import ASKED
from pullback_worker.result_checks import non_finite
from pullback_worker.tape_loader import Route, asked_route, may_move, route, sweepable

WHOLE = "a tape runs whole, on one thread"
CHOSEN = "the job is a tape"
_LANES = 10.0
"""Points that take together, side by side, about what one takes alone."""
_OBJECTS_BYTES = 8192
"""Of a program of few nodes: its arrays and objects."""


@dataclass(slots=True, eq=False)
class PreparedTape:
    """A tape linked for a want.

    Attributes:
        program: a `pullback_worker.tape_program.TapeProgram`, or a `tape_points.PointsProgram`.
        fingerprint: of the graph it was made of; empty where the job brought a tape.
        fastest_s: the program's fastest run here so far; estimates can be wrong.
    """

    program: Any
    compiling_s: float
    flops: float
    digest: str
    reason: str = CHOSEN
    fingerprint: str = ""
    fastest_s: float = inf

    @property
    def size_bytes(self) -> int:
        """About what keeping it takes: its tape, and the machine's form of it."""
        size_bytes: int = 3 * self.program.tape.size_bytes
        return _OBJECTS_BYTES + size_bytes

    @property
    def estimated_s(self) -> float:
        """Estimated seconds of a run."""
        program = self.program
        sweeps: int = (len(program.tape) + program.adjoints) * program.point_count
        return CALL_S + NODE_S * sweeps / (1.0 if program.point_count == 1 else _LANES)

    @property
    def runs_inline(self) -> bool:
        """Whether it is small enough for the event loop: by estimate, and by what was seen."""
        return self.estimated_s < INLINE_S and self.fastest_s < INLINE_MEASURED_S

    def metrics(self, *, hit: bool) -> Metrics:
        """Metrics that follow from what was prepared."""
        program = self.program
        return Metrics(
            compiling_s=0.0 if hit else self.compiling_s,
            nodes=len(program.tape),
            adjoint_evaluations=program.adjoints,
            flops=self.flops,
            peak_bytes=program.peak_bytes,
            executor="tape",
            executor_reason=self.reason,
            split="none",
            split_reason=WHOLE,
            mode=program.mode,
            mode_reason=program.mode_reason,
            program_cache_hit=hit,
            digest=self.digest,
            independent_inputs=program.independent,
        )


class TapeJobs:
    """Runs tapes on the calling thread; safe from several threads at once.

    Args:
        tensors: what jobs name by hash.
        store_bytes: tapes, and programs of tapes, are kept up to this much each.
        memory_bytes: largest estimated memory of one run.
        aside: whether a job that insists on the machine is another process's to run.
    """

    def __init__(
        self,
        machine: TapeMachine,
        tensors: ContentStore[NDArray],
        store_bytes: int,
        memory_bytes: int,
        *,
        aside: bool = False,
    ) -> None:
        self.machine = machine
        self._aside = aside
        self._tensors = tensors
        self._memory_bytes = memory_bytes
        self._tapes: ContentStore[Tape] = ContentStore(
            "graph", store_bytes, lambda tape: tape.size_bytes
        )
        self._programs: ContentStore[PreparedTape] = ContentStore(
            "graph", store_bytes, lambda prepared: prepared.size_bytes
        )

    def tape(self, job: Job) -> Tape | None:
        """The tape of a job: its own, which is kept if it is large, or one named by its hash."""
        if isinstance(job.graph, Tape):
            if job.graph.size_bytes >= NAMED_BYTES:
                with suppress(LimitExceeded):  # too large to keep is not too large to run
                    self._tapes.put(job.graph.fingerprint, job.graph)
            return job.graph
        if isinstance(job.graph, GraphHash) and job.graph.fingerprint in self._tapes:
            return self._tapes.get(job.graph.fingerprint)
        return None

    def takes(self, want: Want, options: Options) -> bool:
        """Whether the machine does what a tape's job asks; else the tape's graph runs.

        It does not where the want needs a feature, such as sparse derivatives.

        Raises:
            UnsupportedError: the job insists on the machine, and numba is missing.
            NotFoundError: the job insists on it, and another process of the service runs it.
        """
        if options.executor == "tape":
            if self._aside:
                raise NotFoundError("this process does not run tape", field="options.executor")
            self.machine.loader.require()
        return self.machine.is_offered and sweepable(want, options)

    def as_graph(self, job: Job, tape: Tape) -> Job:
        """The same job on the tape's graph.

        Raises:
            LimitExceeded: a graph of so many nodes would not be taken either.
        """
        return replace(job, graph=to_graph(tape))

    def kept(self, job: Job) -> PreparedTape | None:
        """What was prepared before for the graph of this very job, where it moves or must."""
        options = job.options
        asked = options.executor == "tape" and sweepable(job.want, options)
        if not asked and not may_move(job.want, options):
            return None
        try:
            found = self._programs.get(_graph_key(job))
        except NotFoundError:
            return None
        self._check_memory(found, options)
        return found

    def awaits(self, graph: Graph, job: Job) -> bool:
        """Whether a graph that runs elsewhere is to move here once the machine is loaded."""
        way = self._way(graph, job)
        return way is not None and not self.machine.loader.is_ready(*way.kind)

    def prepare_graph(self, graph: Graph, job: Job) -> PreparedTape | None:
        """A graph's job made ready for the machine: one that asks for it, or is cheaper so.

        None where it is for others to run, faults of jobs that don't ask for the machine included.

        Raises:
            UnsupportedError: it asks, and numba is missing or a node is no scalar code.
            RequestError: it asks, and the want does not fit, or it would take too much memory.
        """
        if job.options.executor == "tape":
            if not self.takes(job.want, job.options):
                return None
            return self._of_graph(graph, job, asked_route(graph, job.want), ASKED)
        way = self._way(graph, job)
        if way is None:
            return None
        if not self.machine.loader.is_ready(*way.kind):
            self.machine.loader.begin(*way.kind)
            return None
        with suppress(RequestError):
            return self._of_graph(graph, job, way, way.reason)
        return None

    def _way(self, graph: Graph, job: Job) -> Route | None:
        """How a graph is to move here by itself; None where it is not to."""
        if not (self.machine.is_offered and may_move(job.want, job.options)):
            return None
        way = route(graph, job.want)
        return way if way is not None and way.reason else None

    def _of_graph(self, graph: Graph, job: Job, way: Route, reason: str) -> PreparedTape:
        started_s = perf_counter()
        program = self.machine.loader.compile_graph(graph, job.want, way)
        prepared = self._prepared(program, started_s)
        prepared.reason, prepared.fingerprint = reason, graph.fingerprint
        self._check_memory(prepared, job.options)
        with suppress(LimitExceeded):
            self._programs.put(_graph_key(job), prepared)
        return prepared

    def answer(
        self, arrival: Arrival, job: Job, prepared: PreparedTape, *, hit: bool
    ) -> Answer | None:
        """Bind and run; None where the job's check found what only its graph can explain.

        Raises:
            InputError, NotFoundError: the inputs do not fit, or are not stored here.
            DeadlineExceeded, Cancelled: the flag was set on the way.
        """
        started_s = perf_counter()
        arrays, tensor_hits = bind_arrays(prepared.program.inputs, job, self._tensors)
        metrics = prepared.metrics(hit=hit)
        metrics.graph_cache_hit = isinstance(job.graph, GraphHash)
        metrics.tensor_cache_hits = tensor_hits
        metrics.queued_s = max(0.0, started_s - arrival.received_s - metrics.compiling_s)
        arrival.state = "running"
        results = self._run(arrival, prepared, arrays, metrics)
        if not self._note_non_finite(job, prepared, arrays, results, metrics):
            return None
        metrics.total_s = perf_counter() - arrival.received_s
        if job.options.timeline:
            metrics.note_one_task(started_s - arrival.received_s)
        program = prepared.program
        count = program.value_count
        result = Result(
            dict(zip(program.result_names[:count], results[:count], strict=True)),
            dict(zip(program.derivatives, results[count:], strict=True)),
            metrics,
            job.id,
        )
        return Answer(metrics, encode_result(result), prepared.fingerprint)

    def prepare(self, tape: Tape, want: Want, options: Options) -> tuple[PreparedTape, bool]:
        """The tape linked for a want, and whether it was before.

        Raises:
            InputError, NotDifferentiable: the want does not fit the tape.
            LimitExceeded: it would take more memory than allowed.
        """
        large = tape.size_bytes >= NAMED_BYTES
        key = f"{tape.fingerprint} {want!r}" if large else ""
        hit = large and key in self._programs
        prepared = self._programs.get(key) if hit else self._compiled(tape, want)
        self._check_memory(prepared, options)
        if large and not hit:
            with suppress(LimitExceeded):
                self._programs.put(key, prepared)
        return prepared, hit

    def _check_memory(self, prepared: PreparedTape, options: Options) -> None:
        cap_bytes = options.memory_cap_bytes
        allowed = self._memory_bytes if cap_bytes is None else min(self._memory_bytes, cap_bytes)
        needed = prepared.program.peak_bytes
        if needed > allowed:
            raise LimitExceeded(
                f"the tape is estimated to need {needed} bytes, {allowed} are allowed; send a "
                "smaller tape or fewer seeds, or raise --memory-bytes or memory_cap_bytes",
                field="options.memory_cap_bytes",
            )

    def _compiled(self, tape: Tape, want: Want) -> PreparedTape:
        started_s = perf_counter()
        return self._prepared(self.machine.loader.compile(tape, want), started_s)

    def _prepared(self, program: Any, started_s: float) -> PreparedTape:
        compiling_s = perf_counter() - started_s
        work = flops(program.tape, program.adjoints if program.derivatives else None)
        digest = f"{tape_digest(program.tape, program.want)}/tape-{self.machine.version}"
        return PreparedTape(program, compiling_s, work * program.point_count, digest)

    def _run(
        self, arrival: Arrival, prepared: PreparedTape, arrays: list[NDArray], metrics: Metrics
    ) -> list[NDArray]:
        arrival.flag.check()
        start = perf_counter()
        try:
            results: list[NDArray] = prepared.program(arrays, arrival.flag)
        except Exception:
            arrival.flag.check()
            raise
        elapsed_s = perf_counter() - start
        prepared.fastest_s = min(prepared.fastest_s, elapsed_s)
        metrics.note_run(elapsed_s, is_derivative=bool(prepared.program.derivatives))
        return results

    def _note_non_finite(
        self,
        job: Job,
        prepared: PreparedTape,
        arrays: list[NDArray],
        results: list[NDArray],
        metrics: Metrics,
    ) -> bool:
        """Count NaN and infinities; whether the job's check is content with what was found."""
        program = prepared.program
        found = non_finite(program.result_names, results)
        if found and job.options.check != "none":
            return False
        given = non_finite([item.name for item in program.inputs], arrays)
        metrics.non_finite = {**given, **found}
        return True


def _graph_key(job: Job) -> str:
    """Names a graph's job: kept with programs of tapes, whose fingerprints are others."""
    assert not isinstance(job.graph, Tape), "tapes have keys of their own"
    return f"{job.graph.fingerprint} {job.want!r} {job.options.executor}"
