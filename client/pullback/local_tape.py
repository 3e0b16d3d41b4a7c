"""Jobs of this process that the tape machine sweeps: tapes, and graphs of scalar code.

The machine is imported when a job asks for it, or on a thread of its own once enough time went into
graphs that would be faster on it: the client stays light. Without it, tapes run as their graphs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from threading import Lock
from time import perf_counter
from typing import Any, NamedTuple, TypeAlias

from pullback.direct_call import Signature
from pullback.local_inputs import Deadline, bound_arrays
from pullback_graph.errors import Cancelled, DeadlineExceeded, LimitExceeded, RequestError
from pullback_graph.graph import Graph
from pullback_graph.job import GraphHash, Job, Metrics, NDArray, Result
from pullback_graph.tape import Tape
from pullback_graph.tape.flops import flops
from pullback_graph.types import FLOAT64
from pullback_worker.chooser import ASKED
from pullback_worker.executor import own_threads
from pullback_worker.result_checks import non_finite
from pullback_worker.tape_cache import is_filled
from pullback_worker.tape_loader import Route, TapeLoader, asked_route, may_move, route, sweepable
from pullback_worker.tape_wants import Mode

LOAD_S, COMPILE_S = 0.05, 5.0
"""So long must graphs have run that the machine would have run sooner, before it is loaded for
them, and before it is compiled where no process has done so: about a tenth of what that takes."""
_IS_TAPE = "the job is a tape"
_NOWHERE = Route(FLOAT64, Mode.NONE)
_THREADS = own_threads()
Run: TypeAlias = Callable[[list[NDArray]], Sequence[NDArray]]


class Swept(NamedTuple):
    """A job's program on the machine, and why it is there.

    Attributes:
        program: a `pullback_worker.tape_program.TapeProgram`, or a `tape_points.PointsProgram`.
        way: how it came here, if it was a graph.
    """

    program: Any
    reason: str
    way: Route
    compiling_s: float
    flops: float

    @property
    def signature(self) -> Signature:
        """What its program takes and gives."""
        program = self.program
        names = tuple(program.result_names[: program.value_count])
        return Signature(program.inputs, names, program.derivatives, program.scalars)


class LocalTapes:
    """The programs of tapes of one service. Safe to use from several threads.

    Args:
        programs: how many it keeps.
        moves: whether graphs may move here by themselves.
    """

    def __init__(self, programs: int, *, moves: bool) -> None:
        self.loader = TapeLoader()
        self._capacity = programs
        self._moves = moves
        self._kept: OrderedDict[Any, Swept | Route] = OrderedDict()
        self._lock = Lock()
        self._spent_s = 0.0

    def swept(self, job: Job) -> tuple[Swept, bool] | None:
        """The program of a job that is to run here, and whether it was kept; None for others.

        Raises:
            UnsupportedError: it asks for the machine, and numba is missing, or a node of its graph
                is no scalar code.
            InputError, NotDifferentiable, LimitExceeded: it asks, and the want does not fit.
        """
        asked = job.options.executor == "tape"
        if asked:
            self.loader.require()
        if isinstance(job.graph, Tape):
            takes = self.loader.is_offered and sweepable(job.want, job.options, anywhere=True)
            return (self._swept_tape(job, job.graph), False) if takes else None
        if isinstance(job.graph, GraphHash) or not sweepable(job.want, job.options, anywhere=True):
            return None
        way = self._way(job, job.graph)
        kept = self._kept.get(_key(job))
        if way is not None and isinstance(kept, Swept):
            self._keep(job, kept)
            return kept, True
        if asked:
            return self._swept_graph(job, job.graph, asked_route(job.graph, job.want)), False
        if way is None or not self.loader.is_ready(*way.kind):
            return None
        try:
            return self._swept_graph(job, job.graph, way), False
        except RequestError:  # NumPy runs it, or says what is wrong with it
            self._keep(job, way._replace(reason=""))
            return None

    def awaits(self, job: Job) -> Route | None:
        """How a graph's job is to move here once the machine is loaded; None if it is not to."""
        return self._way(job, job.graph) if isinstance(job.graph, Graph) else None

    def ran_elsewhere(self, job: Job, seconds: float) -> None:
        """Take in what a job took on NumPy; the machine is loaded where it would have paid."""
        way = self.awaits(job)
        if way is None:
            return
        self._spent_s += seconds
        if self._spent_s >= LOAD_S and (self._spent_s >= COMPILE_S or self._is_compiled):
            self.loader.begin(*way.kind)

    @cached_property
    def _is_compiled(self) -> bool:
        """Whether loading the machine takes a second rather than up to a minute."""
        return is_filled()

    def moving(self, job: Job, run: Run) -> Run:
        """A program for calls like the job: `run`, until the machine is there."""
        way = self.awaits(job)
        return run if way is None else _Moving(self, replace(job, inputs={}), way, run)

    def _way(self, job: Job, graph: Graph) -> Route | None:
        """How a job's graph should go here, or must; None where it should not, or may not."""
        key = _key(job)
        known = self._kept.get(key)
        if job.options.executor == "tape":
            return known.way if isinstance(known, Swept) else None
        if not (self._moves and self.loader.is_offered):
            return None
        if not may_move(job.want, job.options, anywhere=True):
            return None
        if known is None:
            known = self._keep(job, route(graph, job.want) or _NOWHERE)
        way = known.way if isinstance(known, Swept) else known
        return way if way.reason else None

    def _swept_graph(self, job: Job, graph: Graph, way: Route) -> Swept:
        started_s = perf_counter()
        program = self.loader.compile_graph(graph, job.want, way, _THREADS)
        reason = ASKED if job.options.executor == "tape" else way.reason
        made = _swept(program, reason, way, started_s)
        self._keep(job, made)
        return made

    def _swept_tape(self, job: Job, tape: Tape) -> Swept:
        started_s = perf_counter()
        return _swept(self.loader.compile(tape, job.want), _IS_TAPE, _NOWHERE, started_s)

    def _keep(self, job: Job, made: Any) -> Any:
        with self._lock:
            self._kept[_key(job)] = made
            self._kept.move_to_end(_key(job))
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
        return made

    def clear(self) -> None:
        """Forget the programs."""
        with self._lock:
            self._kept.clear()


class _Moving:
    """A program that is NumPy's until the tape machine is loaded."""

    def __init__(self, tapes: LocalTapes, job: Job, way: Route, run: Run) -> None:
        self._tapes, self._job, self._run = tapes, job, run
        self._kind = way.kind
        self._settled = False

    def __call__(self, arrays: list[NDArray]) -> Sequence[NDArray]:
        if self._settled:
            return self._run(arrays)
        if self._tapes.loader.is_ready(*self._kind):
            found = self._tapes.swept(self._job)
            if found is not None:
                self._run = found[0].program
            self._settled = True
            return self._run(arrays)
        started_s = perf_counter()
        results = self._run(arrays)
        self._tapes.ran_elsewhere(self._job, perf_counter() - started_s)
        return results


def run_tape(job: Job, swept: Swept, *, hit: bool) -> Result | None:
    """Run a job on the machine; None where its graph is to say which node made a NaN.

    Raises:
        LimitExceeded: it needs more than the job's memory cap.
        InputError: the inputs do not fit.
        DeadlineExceeded: it took longer than allowed.
    """
    started_s = perf_counter()
    program = swept.program
    cap_bytes = job.options.memory_cap_bytes
    if cap_bytes is not None and program.peak_bytes > cap_bytes:
        raise LimitExceeded(
            f"the tape needs about {program.peak_bytes} bytes, its memory cap is {cap_bytes}"
        )
    arrays = bound_arrays(program.inputs, job)
    running_s = perf_counter()
    results = _run(program, arrays, job.options.deadline_s)
    ended_s = perf_counter()
    names = program.result_names
    found = non_finite(names, results)
    if found and job.options.check != "none":
        return None
    metrics = _measured(swept, hit)
    metrics.non_finite = {**non_finite([item.name for item in program.inputs], arrays), **found}
    metrics.note_run(ended_s - running_s, is_derivative=bool(program.derivatives))
    metrics.total_s = perf_counter() - started_s + metrics.compiling_s
    if job.options.timeline:
        metrics.note_one_task(running_s - started_s)
    count = program.value_count
    outputs = dict(zip(names[:count], results[:count], strict=True))
    derivatives = dict(zip(program.derivatives, results[count:], strict=True))
    return Result(outputs, derivatives, metrics, job.id)


def _swept(program: Any, reason: str, way: Route, started_s: float) -> Swept:
    work = flops(program.tape, program.adjoints if program.derivatives else None)
    return Swept(program, reason, way, perf_counter() - started_s, work * program.point_count)


def _key(job: Job) -> Any:
    assert isinstance(job.graph, Graph), "tapes are linked anew each time"
    return job.graph.fingerprint, job.want, job.options.executor


def _run(program: Any, arrays: list[NDArray], deadline_s: float | None) -> list[NDArray]:
    flag: Any = None if deadline_s is None else Deadline(deadline_s)
    try:
        results: list[NDArray] = program(arrays, flag)
    except Cancelled:
        raise DeadlineExceeded(f"the job took longer than its deadline of {deadline_s} s") from None
    return results


def _measured(swept: Swept, hit: bool) -> Metrics:
    """Metrics that follow from the program alone."""
    program = swept.program
    return Metrics(
        compiling_s=0.0 if hit else swept.compiling_s,
        nodes=len(program.tape),
        adjoint_evaluations=program.adjoints,
        flops=swept.flops,
        peak_bytes=program.peak_bytes,
        executor="tape",
        executor_reason=swept.reason,
        split="none",
        split_reason="run in this process",
        mode=program.mode,
        mode_reason=program.mode_reason,
        program_cache_hit=hit,
        graph_cache_hit=hit,
        independent_inputs=program.independent,
    )
