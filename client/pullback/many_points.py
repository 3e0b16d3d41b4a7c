"""One graph at many points, as few jobs: the differentiated graph is mapped over blocks of points.

Pure but for the clock that a deadline needs: blocks go out as jobs of a service's own `map`, and
their results come back together as one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, closing
from dataclasses import replace
from functools import lru_cache
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np

from pullback.local_inputs import as_input
from pullback.point_blocks import block_length, together
from pullback_graph import memory
from pullback_graph.binding import arrays_given, bound
from pullback_graph.derivative import Lowered, lower
from pullback_graph.errors import (
    InputError,
    NonFiniteError,
    PullbackError,
    RequestError,
    UnsupportedError,
)
from pullback_graph.graph import Graph, Input
from pullback_graph.job import Job, Metrics, NDArray, Result, TensorHash
from pullback_graph.tape import Tape, to_graph
from pullback_graph.vmap import vmap
from pullback_graph.want import Value, Want, seed_name
from pullback_worker.numpy_executor import fold

BLOCK_BYTES = 64 << 20
"""What the values of a block may take at the fullest moment, if nothing else is said."""
BLOCKS_IN_FLIGHT = 32
_LEAST_S = 1e-9
"""What is left of a deadline that is over: the service says so."""

Outcome: TypeAlias = "Result | PullbackError"
Map: TypeAlias = "Callable[..., Iterator[Outcome]]"
AsyncMap: TypeAlias = "Callable[..., AsyncIterator[Outcome]]"


def run_many(map: Map, many: ManyPoints) -> Result:
    """The result at all points, by a service's `map`."""
    with closing(_in_order(map, many.jobs())) as outcomes:
        for outcome in outcomes:
            many.take(outcome)
    for job in many.suspects():
        many.blame(next(map([job], progress=False)))
    return many.result()


async def arun_many(map: AsyncMap, many: ManyPoints) -> Result:
    """The result at all points, by an async service's `map`."""
    async with aclosing(_in_order(map, many.jobs())) as outcomes:
        async for outcome in outcomes:
            many.take(outcome)
    for job in many.suspects():
        many.blame(await anext(map([job], progress=False)))
    return many.result()


def _in_order(map: Callable[..., Any], jobs: Iterable[Job]) -> Any:
    return map(jobs, in_flight=BLOCKS_IN_FLIGHT, progress=False)


class ManyPoints:
    """A job whose inputs and seeds may have a leading axis of points.

    Raises:
        InputError: no input has the axis, two have different numbers of points, or one is missing,
            unknown or of another type.
        NotDifferentiable: as for one point.
        UnsupportedError: the graph is known by its hash alone.
        RequestError: an option is for single jobs, or `points_at_once` is no positive number.
    """

    def __init__(self, job: Job, points_at_once: int | None = None) -> None:
        self._started_s = perf_counter()
        self._job = replace(job, graph=_graph_of(job))
        _check_options(job, points_at_once)
        self._lowered = _lowered(self._graph, job.want)
        self._bind()
        peak_bytes = memory.peak_bytes(self._lowered.graph) - self._shared_bytes
        cap_bytes = job.options.memory_cap_bytes
        own_bytes = BLOCK_BYTES if cap_bytes is None else cap_bytes - self._shared_bytes
        budget_bytes = min(BLOCK_BYTES, own_bytes)
        most = points_at_once or max(1, budget_bytes // max(1, peak_bytes))
        self._length = block_length(self.count, most)
        self._taken: list[Result] = []
        self._suspect = -1
        self._metrics_of_suspect: Metrics | None = None

    @property
    def _graph(self) -> Graph:
        graph = self._job.graph
        assert isinstance(graph, Graph), "all else was refused, or became a graph, before"
        return graph

    def _bind(self) -> None:
        """Sort the arrays into those with the axis and those common to all points."""
        given = arrays_given(self._job)
        one = self._lowered.job_inputs
        ranks = {name: np.ndim(value) for name, value in given.items()}
        counts = {
            item.name: np.shape(given[item.name])[0]
            for item in one
            if ranks.get(item.name) == item.type.rank + 1
        }
        if not counts:
            raise InputError(
                "no input has an axis of points; give one of them with a leading axis more than "
                "the graph takes, or call evaluate",
                field="inputs",
            )
        self.count = next(iter(counts.values()))
        for name, count in counts.items():
            if count != self.count:
                raise InputError(
                    f"input {name!r} has {count} points, {next(iter(counts))!r} has {self.count}; "
                    "give all as many",
                    field=f"inputs.{name}",
                )
        wanted = [
            Input(name, type._replace(shape=(self.count, *type.shape)) if name in counts else type)
            for name, type in one
        ]
        arrays = dict(zip([i.name for i in one], bound(wanted, self._job, _array), strict=True))
        self._stacked = {name: arrays[name] for name in counts}
        self._shared = {name: given[name] for name in arrays if name not in counts}
        self._shared_bytes = sum([arrays[name].nbytes for name in self._shared])

    # --- out and back -----------------------------------------------------------------------------

    def jobs(self) -> Iterator[Job]:
        """A job for each block of points, made when it is taken."""
        graph = _mapped(self._graph, self._job.want, tuple(self._stacked), self._length)
        for start in range(0, self.count, self._length):
            stacked = {name: self._block(array, start) for name, array in self._stacked.items()}
            inputs = {**self._shared, **stacked}
            yield Job(graph, inputs, Value(), options=self._options(), id=self._job.id)

    def take(self, outcome: Outcome) -> None:
        """Take a block's outcome.

        Raises:
            PullbackError: it failed; the message says which points it was for.
        """
        if isinstance(outcome, PullbackError):
            first = len(self._taken) * self._length
            last = min(first + self._length, self.count) - 1
            raise _at(f"points {first} to {last}", outcome) from outcome
        self._taken.append(outcome)

    def suspects(self) -> Iterator[Job]:
        """The job of the first point whose result is not finite, where a check asks for it."""
        if self._job.options.check == "none":
            return
        found = [_first_bad(array) for array in self._arrays() if array.dtype.kind in "fc"]
        bad = [point for point in found if point is not None]
        if bad:
            self._suspect = min(bad)
            yield self._at_point(self._suspect)

    def blame(self, outcome: Outcome) -> None:
        """Take the outcome of the job of a suspect, run by itself.

        Raises:
            NonFiniteError: the check allows none; the message names the point and the node.
        """
        where = f"point {self._suspect}"
        if isinstance(outcome, PullbackError):
            raise _at(where, outcome) from outcome
        if self._job.options.check == "finite":
            raise NonFiniteError(
                f"{where}: a result is not finite beside other points and finite by itself, so "
                "rounding hides where it came from; look at the inputs, or set check to `none`"
            )
        self._metrics_of_suspect = outcome.metrics

    def result(self) -> Result:
        """The results of all blocks as one."""
        lowered, arrays = self._lowered, self._arrays()
        names = lowered.graph.output_names[: lowered.value_count]
        outputs = dict(zip(names, arrays, strict=False))
        derivatives = zip(lowered.derivatives, arrays[lowered.value_count :], strict=True)
        return Result(outputs, dict(derivatives), self._metrics(arrays), self._job.id)

    # --- inside -----------------------------------------------------------------------------------

    def _block(self, array: NDArray, start: int) -> NDArray:
        """The rows of one block; the last one repeats its last row."""
        part = array[start : start + self._length]
        missing = self._length - len(part)
        return np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) if missing else part

    def _options(self) -> Any:
        """The job's options, with what is left of its deadline, and checks made here."""
        options = replace(self._job.options, check="none")
        if options.deadline_s is None:
            return options
        left_s = options.deadline_s - (perf_counter() - self._started_s)
        return replace(options, deadline_s=max(_LEAST_S, left_s))

    def _at_point(self, point: int) -> Job:
        """The user's own job at one point."""

        def at(name: str, value: Any) -> Any:
            return self._stacked[name][point] if name in self._stacked else value

        job = self._job
        seeds = [
            {name: at(seed_name(k, name), value) for name, value in seed.items()}
            for k, seed in enumerate(job.seeds)
        ]
        options = replace(self._options(), check=job.options.check)
        inputs = {name: at(name, value) for name, value in job.inputs.items()}
        return replace(job, inputs=inputs, seeds=tuple(seeds), options=options)

    def _arrays(self) -> list[NDArray]:
        """The results in the order of the differentiated graph's outputs, points in front."""
        graph, taken = self._lowered.graph, self._taken
        if not taken:
            types = [graph.output_type(i) for i in range(len(graph.outputs))]
            return [np.zeros((0, *type.shape), type.dtype) for type in types]
        columns = [[block.outputs[name] for block in taken] for name in graph.output_names]
        parts = [own[0] if len(own) == 1 else np.concatenate(own) for own in columns]
        return [part[: self.count] for part in parts]

    def _metrics(self, arrays: Sequence[NDArray]) -> Metrics:
        """What all blocks cost together; the figures of the graph are those of one point."""
        lowered = self._lowered
        metrics = together([block.metrics for block in self._taken])
        if lowered.derivatives:
            metrics.fused_s, metrics.forward_s = metrics.forward_s + metrics.fused_s, 0.0
        metrics.nodes = len(lowered.graph.nodes)
        metrics.adjoint_evaluations = lowered.adjoints
        metrics.independent_inputs = lowered.independent
        metrics.mode, metrics.mode_reason = lowered.mode.name, lowered.mode.reason
        names = [*self._stacked, *lowered.graph.output_names]
        metrics.non_finite = {
            name: count
            for name, array in zip(names, [*self._stacked.values(), *arrays], strict=True)
            if array.dtype.kind in "fc"
            and (count := int(array.size - np.count_nonzero(np.isfinite(array))))
        }
        if self._metrics_of_suspect is not None:
            metrics.bad_node = self._metrics_of_suspect.bad_node
        metrics.total_s = perf_counter() - self._started_s
        return metrics


# --- the job --------------------------------------------------------------------------------------


def _graph_of(job: Job) -> Graph:
    if isinstance(job.graph, Graph):
        return job.graph
    if isinstance(job.graph, Tape):
        return to_graph(job.graph)
    raise UnsupportedError(
        "a graph known by its hash alone cannot be mapped over points; pass the graph itself",
        field="graph",
    )


def _check_options(job: Job, points_at_once: int | None) -> None:
    if job.want.features:
        raise RequestError(
            "a sparse derivative is a matrix for each point, and no array holds them all; ask for "
            "it with map, or without sparse",
            field="want.sparse",
        )
    if job.options.certificate:
        raise RequestError(
            "a certificate is for one point; ask for it with evaluate", field="certificate"
        )
    whole = isinstance(points_at_once, int) and not isinstance(points_at_once, bool)
    if points_at_once is not None and not (whole and points_at_once > 0):
        raise RequestError(
            f"points_at_once must be a positive whole number, got {points_at_once!r}",
            field="points_at_once",
        )


def _array(item: Input, value: Any) -> NDArray:
    if isinstance(value, TensorHash):
        raise InputError(
            f"input {item.name!r} is a hash; pass the array, or the handle that put gave",
            field=f"inputs.{item.name}",
        )
    return as_input(item, value)


def _at(where: str, error: PullbackError) -> PullbackError:
    return type(error)(f"{where}: {error.message}", field=error.field)


def _first_bad(array: NDArray) -> int | None:
    """The first point at which an array is not finite."""
    finite = np.isfinite(array).reshape(len(array), -1).all(axis=1)
    return None if finite.all() else int(np.argmin(finite))


@lru_cache(maxsize=64)
def _lowered(graph: Graph, want: Want) -> Lowered:
    return lower(graph, want, fold=fold)


@lru_cache(maxsize=64)
def _mapped(graph: Graph, want: Want, stacked: tuple[str, ...], length: int) -> Graph:
    return vmap(_lowered(graph, want).graph, stacked, length)
