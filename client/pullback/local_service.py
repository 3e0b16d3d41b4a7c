"""The service without a server: jobs run in this process, one after another.

Same calls, same results, same errors as a remote service. Options that say where work goes
(`split`, `priority`) have nothing to decide here and are accepted. Graphs start on NumPy; one that
many seconds go into moves to XLA, where JAX is installed and measured to be faster; scalar code
moves to the tape machine, where numba is installed.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np

from pullback.call import Call
from pullback.direct_call import DirectCall, direct_call, signature_of
from pullback.job_arguments import (
    AnyGraph,
    Arrays,
    Asked,
    Names,
    OptionFields,
    asked_job,
    make_options,
)
from pullback.job_future import JobFuture
from pullback.local_inputs import Deadline, bound_arrays
from pullback.local_tape import LocalTapes, run_tape
from pullback.many_points import ManyPoints, run_many
from pullback.map_items import MakeJob, map_job_maker
from pullback.sparse_matrix import as_users_matrix
from pullback.transforms import Transforms
from pullback_graph import memory
from pullback_graph.derivative import Lowered, lower
from pullback_graph.errors import (
    Cancelled,
    DeadlineExceeded,
    NotFoundError,
    PullbackError,
)
from pullback_graph.graph import Graph
from pullback_graph.job import GraphHash, Job, Metrics, NDArray, Result
from pullback_graph.recompute import fit
from pullback_graph.recompute.loops import lower_within
from pullback_graph.tape import Tape, to_graph
from pullback_graph.want import Want
from pullback_worker.choice import Choice, run, runner
from pullback_worker.chooser import Chooser, choice_bytes, steadiness
from pullback_worker.executors import Executors, executor_asked
from pullback_worker.numpy_executor import fold
from pullback_worker.promoter import Promoter
from pullback_worker.result_checks import directions, note_non_finite, without_certificate
from pullback_worker.side_by_side import own_threads

if TYPE_CHECKING:
    from types import TracebackType


@dataclass(frozen=True, eq=False)
class Prepared:
    """A graph differentiated, simplified and compiled for what is wanted of it.

    Attributes:
        names: of its outputs: the values', then those that messages give the derivatives.
        size_bytes: about what it holds.
    """

    lowered: Lowered
    choice: Choice
    names: tuple[str, ...]
    nodes: int
    flops: float
    size_bytes: int
    recompute_factor: float = 0.0

    @cached_property
    def peak_bytes(self) -> int:
        """Estimated bytes alive at the fullest moment, node after node."""
        return memory.peak_bytes(self.lowered.graph)


_DIRECT_OPTIONS = frozenset({"executor", "device"})
"""What a call may say and still go the short way: they decide the program, and nothing else."""


class LocalService(Transforms[Result]):
    """Runs jobs here. Safe to use from several threads.

    Args:
        programs: how many compiled programs it keeps; the least recently used goes first.
        program_bytes: what they may take together, as estimated; the last one stays in any case.
        promote: whether graphs that are run a lot may move to XLA, compiled in the background, and
            scalar code to the tape machine.
    """

    def __init__(
        self, programs: int = 256, *, program_bytes: int = 1 << 30, promote: bool = True
    ) -> None:
        self._capacity = programs
        self._capacity_bytes = program_bytes
        self._executors = Executors(numpy_threads=own_threads())
        self._promoter = Promoter(self._executors) if promote else None
        self._chooser = Chooser(self._executors, self._promoter)
        self._tapes = LocalTapes(programs, moves=promote)
        self._kept: OrderedDict[Any, Prepared] = OrderedDict()
        self._lock = Lock()

    def evaluate(
        self,
        graph: AnyGraph,
        inputs: Arrays,
        **asked: Unpack[Asked],
    ) -> Result:
        """Run one job: values of the graph's outputs, or a derivative of them.

        Raises:
            InputError: an input or seed is missing, unknown, or of another type than the graph's.
            NotDifferentiable: a derivative was asked for where there is none.
            UnsupportedError: the executor asked for is not here, or can't run the graph.
            LimitExceeded: the executor asked for does not compile graphs of this size.
            ExecutionError: the computation failed.
            DeadlineExceeded: it took longer than `deadline_s`.
        """
        return self.run(asked_job(graph, inputs, asked))

    def run(self, job: Job) -> Result:
        """Run one job.

        Raises:
            PullbackError: as `evaluate`.
        """
        started = perf_counter()
        swept = self._tapes.swept(job)
        result = None if swept is None else run_tape(job, swept[0], hit=swept[1])
        if result is not None:
            return result
        if isinstance(job.graph, Tape):
            job = replace(job, graph=to_graph(job.graph))
        metrics = Metrics(split="none", split_reason="run in this process")
        prepared = self._prepare(job, metrics)
        arrays = _bound(prepared, job)
        results = _run(prepared, arrays, job.options.deadline_s, metrics)
        results, metrics.certificate_error = without_certificate(prepared.lowered, results)
        _measure(prepared, arrays, results, job, metrics)
        metrics.total_s = perf_counter() - started
        self._tapes.ran_elsewhere(job, metrics.total_s)
        if job.options.timeline:
            metrics.note_one_task(metrics.total_s - metrics.fused_s - metrics.forward_s)
        count = prepared.lowered.value_count
        named = prepared.lowered.named(results[count:])
        derivatives = {key: as_users_matrix(array) for key, array in named.items()}
        outputs = zip(prepared.names, results[:count], strict=False)
        return Result(dict(outputs), derivatives, metrics, job.id)

    def submit(
        self,
        graph: AnyGraph,
        inputs: Arrays,
        **asked: Unpack[Asked],
    ) -> JobFuture:
        """Run one job now, for code that submits jobs to a service: the future is done."""
        job = asked_job(graph, inputs, asked)
        future = JobFuture(lambda _: None)
        future.end(self._outcome(lambda item: item, job))
        return future

    def map(
        self,
        jobs: Iterable[Any],
        *,
        gradient: Names | None = None,
        want: Want | None = None,
        in_flight: int = 1,
        progress: bool | None = None,
        **options: Unpack[OptionFields],
    ) -> Iterator[Result | PullbackError]:
        """Run many jobs, one after the other, as their results are taken.

        A job that fails gives its error in its place, unraised, and the others go on.

        Args:
            jobs: `Job`s, or tuples `(graph, inputs)`, `(graph, inputs, want)` or
                `(graph, inputs, want, seeds)`.
            gradient, want: what is wanted where a tuple says nothing.
            progress: show a bar; by default, where standard error is a terminal.
            **options: how to run those given as tuples.
        """
        make = map_job_maker(gradient, want, options)
        outcomes = (self._outcome(make, item) for item in jobs)
        if not (sys.stderr.isatty() if progress is None else progress):
            return outcomes
        from pullback.remote.progress import counted  # noqa: PLC0415  (imports the wire)

        return counted(outcomes, jobs)

    def _run_many(self, many: ManyPoints) -> Result:
        return run_many(self.map, many)

    def put_tensor(self, array: Any, **_: Any) -> NDArray:
        """The array itself: there is nowhere to send it."""
        return np.asarray(array)

    put = put_tensor

    def put_graph(self, graph: Graph, **_: Any) -> Graph:
        """The graph itself: there is nowhere to send it."""
        return graph

    def wait_until_ready(self, deadline_s: float = 30.0) -> None:
        """Return at once: this process is there."""

    def close(self) -> None:
        """Forget the compiled programs; the service can be used again."""
        with self._lock:
            self._kept.clear()
        self._tapes.clear()
        if self._promoter is not None:
            self._promoter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _outcome(self, make: MakeJob, item: Any) -> Result | PullbackError:
        try:
            return self.run(make(item))
        except PullbackError as error:
            return error

    def _direct(
        self, function: Callable[..., Any], given: Sequence[Any], call: Call, options: Arrays
    ) -> DirectCall | None:
        """The short way for calls like one just answered: its program, and nothing counted."""
        if not _DIRECT_OPTIONS.issuperset(options) or call.is_traced:
            return None
        job = Job(call.graph, call.inputs, call.want, options=make_options(options))
        swept = self._tapes.swept(job)
        if swept is not None:
            return direct_call(function, given, call, swept[0].signature, swept[0].program)
        prepared = self._prepare(job, Metrics())
        run = self._tapes.moving(job, runner(prepared.choice))
        return direct_call(function, given, call, signature_of(prepared.lowered), run)

    def _prepare(self, job: Job, metrics: Metrics) -> Prepared:
        """The program for the job, compiled now or before."""
        if isinstance(job.graph, GraphHash):
            raise NotFoundError("pb.local() keeps no graphs by hash; pass the graph", field="graph")
        assert isinstance(job.graph, Graph), "a tape has become a graph before"
        options = job.options
        steady = steadiness(options.reproducible, options.memory_cap_bytes is not None)
        executor = executor_asked(options)
        how = (executor, options.device, steady, options.memory_cap_bytes, options.certificate)
        key = (job.graph.fingerprint, job.want, how)
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                metrics.program_cache_hit = metrics.graph_cache_hit = True
                return found
        if options.device == "gpu":
            self._executors.require_gpu()
        started = perf_counter()
        lowering = partial(lower, want=job.want, fold=fold, certificate=options.certificate)
        lowered, factor = lower_within(job.graph, options.memory_cap_bytes, lowering)
        if options.memory_cap_bytes is not None:
            fitted = fit(lowered.graph, options.memory_cap_bytes)
            lowered = replace(lowered, graph=fitted.graph)
            factor = factor if fitted.method == "none" else fitted.factor * max(factor, 1.0)
        metrics.planning_s = perf_counter() - started
        choice = self._chooser.choose(lowered.graph, executor, steady=steady)
        metrics.compiling_s = perf_counter() - started - metrics.planning_s
        graph = lowered.graph
        made = Prepared(
            lowered,
            choice,
            graph.output_names,
            len(graph.nodes),
            graph.cost.flops,
            choice_bytes(graph, executor),
            factor,
        )
        with self._lock:
            self._kept[key] = made
            self._drop_oldest()
        return made

    def _drop_oldest(self) -> None:
        """Forget the programs used least lately while they are too many, or too large."""
        size_bytes = sum([kept.size_bytes for kept in self._kept.values()])
        while len(self._kept) > self._capacity or (
            size_bytes > self._capacity_bytes and len(self._kept) > 1
        ):
            _, gone = self._kept.popitem(last=False)
            size_bytes -= gone.size_bytes


@cache
def local() -> LocalService:
    """The service of this process; the plain functions (`pb.grad`, ...) use it too."""
    return LocalService()


def _run(
    prepared: Prepared, arrays: list[NDArray], deadline_s: float | None, metrics: Metrics
) -> list[NDArray]:
    flag: Any = None if deadline_s is None else Deadline(deadline_s)
    try:
        results, running, spent_s = run(prepared.choice, arrays, flag)
    except Cancelled:
        raise DeadlineExceeded(f"the job took longer than its deadline of {deadline_s} s") from None
    metrics.executor, metrics.executor_reason = running.executor, running.reason
    metrics.note_run(spent_s, is_derivative=bool(prepared.lowered.derivatives))
    return results


def _measure(
    prepared: Prepared,
    arrays: Sequence[NDArray],
    results: Sequence[NDArray],
    job: Job,
    metrics: Metrics,
) -> None:
    """Fill in what the job was, and count NaN and infinities.

    Raises:
        NonFiniteError: a result holds one, and the job's check is `finite`.
    """
    assert isinstance(job.graph, Graph), "all else was refused, or became a graph, before"
    lowered = prepared.lowered
    metrics.nodes = prepared.nodes
    metrics.flops = prepared.flops
    metrics.adjoint_evaluations = lowered.adjoints
    metrics.mode, metrics.mode_reason = lowered.mode.name, lowered.mode.reason
    metrics.independent_inputs = lowered.independent
    metrics.peak_bytes = prepared.peak_bytes
    metrics.recompute_factor = prepared.recompute_factor
    note_non_finite(metrics, job, job.graph, lowered, arrays, results)


def _bound(prepared: Prepared, job: Job) -> list[NDArray]:
    """The arrays of the program's inputs, in order, each checked."""
    lowered = prepared.lowered
    return bound_arrays(lowered.job_inputs, job) + directions(lowered)
