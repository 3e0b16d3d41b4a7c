"""Jobs that bring a tape: swept by the tape machine, whatever is wanted; else handed on as graphs.

Nothing is differentiated or simplified: a tape is linked in one pass.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from time import perf_counter
from typing import Any

from pullback_graph.codec import encode_result
from pullback_graph.codec.tapes import NAMED_BYTES, tape_digest
from pullback_graph.errors import LimitExceeded, UnsupportedError
from pullback_graph.job import GraphHash, Job, Metrics, NDArray, Options, Result
from pullback_graph.tape import Tape, to_graph
from pullback_graph.tape.flops import flops
from pullback_graph.want import Want
from pullback_server.front_end.arrivals import Answer, Arrival
from pullback_server.front_end.bind import bind_arrays
from pullback_server.front_end.stores import ContentStore
from pullback_server.front_end.tape_machine import TapeMachine
from pullback_worker.result_checks import non_finite

WHOLE = "a tape runs whole, on one thread"
CHOSEN = "the job is a tape"


@dataclass(frozen=True, slots=True)
class PreparedTape:
    """A tape linked for a want.

    Attributes:
        program: a `pullback_worker.tape_program.TapeProgram`.
    """

    program: Any
    compiling_s: float
    flops: float
    digest: str

    @property
    def size_bytes(self) -> int:
        """About what keeping it takes: its tape, and the machine's form of it."""
        size_bytes: int = 3 * self.program.tape.size_bytes
        return size_bytes

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
            executor_reason=CHOSEN,
            split="none",
            split_reason=WHOLE,
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
    """

    def __init__(
        self,
        machine: TapeMachine,
        tensors: ContentStore[NDArray],
        store_bytes: int,
        memory_bytes: int,
    ) -> None:
        self.machine = machine
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
            UnsupportedError: the job insists on the machine, which is not here.
        """
        if options.executor == "tape" and not self.machine.is_offered:
            raise UnsupportedError(
                "executor 'tape' needs numba on the server: pip install 'pullback[tape]' there, "
                "or leave the executor to the service",
                field="options.executor",
            )
        chosen = self.machine.is_offered and options.executor in ("", "auto", "tape")
        chosen = chosen and not want.features
        return chosen and options.split.kind in ("auto", "none") and not options.certificate

    def as_graph(self, job: Job, tape: Tape) -> Job:
        """The same job on the tape's graph.

        Raises:
            LimitExceeded: a graph of so many nodes would not be taken either.
        """
        return replace(job, graph=to_graph(tape))

    def answer(self, arrival: Arrival, job: Job, tape: Tape) -> Answer | None:
        """Link, bind and run; None where the job's check found what only its graph can explain.

        Raises:
            RequestError: the want or the inputs do not fit, or it would take too much memory.
            DeadlineExceeded, Cancelled: the flag was set on the way.
        """
        started_s = perf_counter()
        prepared, hit = self.prepare(tape, job.want, job.options)
        arrays, tensor_hits = bind_arrays(prepared.program.inputs, job, self._tensors)
        metrics = prepared.metrics(hit=hit)
        metrics.graph_cache_hit = isinstance(job.graph, GraphHash)
        metrics.tensor_cache_hits = tensor_hits
        metrics.queued_s = max(0.0, started_s - arrival.received_s)
        arrival.state = "running"
        results = self._run(arrival, prepared, arrays, metrics)
        if not self._note_non_finite(job, prepared, arrays, results, metrics):
            return None
        metrics.total_s = perf_counter() - arrival.received_s
        program = prepared.program
        count = program.value_count
        result = Result(
            dict(zip(program.result_names[:count], results[:count], strict=True)),
            dict(zip(program.derivatives, results[count:], strict=True)),
            metrics,
            job.id,
        )
        return Answer(metrics, encode_result(result))

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
        cap_bytes = options.memory_cap_bytes
        allowed = self._memory_bytes if cap_bytes is None else min(self._memory_bytes, cap_bytes)
        needed = prepared.program.peak_bytes
        if needed > allowed:
            raise LimitExceeded(
                f"the tape is estimated to need {needed} bytes, {allowed} are allowed; send a "
                "smaller tape or fewer seeds, or raise --memory-bytes or memory_cap_bytes",
                field="options.memory_cap_bytes",
            )
        if large and not hit:
            with suppress(LimitExceeded):
                self._programs.put(key, prepared)
        return prepared, hit

    def _compiled(self, tape: Tape, want: Want) -> PreparedTape:
        self.machine.load()
        started_s = perf_counter()
        module: Any = import_module("pullback_worker.tape_program")
        program = module.compile_tape(tape, want)
        compiling_s = perf_counter() - started_s
        work = flops(tape, program.adjoints if program.derivatives else None)
        digest = f"{tape_digest(tape, want)}/tape-{self.machine.version}"
        return PreparedTape(program, compiling_s, work, digest)

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
