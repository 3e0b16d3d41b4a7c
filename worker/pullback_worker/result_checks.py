"""What is asked of a job's results: finite or not, and the certificate of its derivatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite

import numpy as np

from pullback_graph.bad_node import BadNode
from pullback_graph.derivative import Lowered
from pullback_graph.derivative.certificate import OUTPUTS, draw, relative_error
from pullback_graph.errors import NonFiniteError
from pullback_graph.graph import Graph
from pullback_graph.job import Job, Metrics
from pullback_graph.want import Want
from pullback_worker.executor import NDArray
from pullback_worker.finite_check import first_bad_node
from pullback_worker.fixed_arrays import known_finite, remember_finite

FEW = 64
"""Elements up to which Python adds them up sooner than NumPy has silenced its warnings."""


def directions(lowered: Lowered) -> list[NDArray]:
    """The arrays of the inputs that a certificate takes, in order; the same for the same graph."""
    if not lowered.directions:
        return []
    inputs = lowered.graph.inputs[-len(lowered.directions) :]
    return [draw(item.type, number) for number, item in enumerate(inputs)]


def without_certificate(
    lowered: Lowered, results: Sequence[NDArray]
) -> tuple[list[NDArray], float | None]:
    """The results that were wanted, and the certificate's relative error where there is one."""
    if not lowered.certified:
        return list(results), None
    pushed, pulled, scale = [float(array) for array in results[-len(OUTPUTS) :]]
    return list(results[: -len(OUTPUTS)]), relative_error(pushed, pulled, scale)


def non_finite(names: Sequence[str], arrays: Sequence[NDArray]) -> dict[str, int]:
    """How many NaN and infinities each floating array holds, where it holds any.

    Data that jobs share is looked through for the first of them only.
    """
    found = {}
    for name, array in zip(names, arrays, strict=True):
        if array.dtype.kind not in "fc" or known_finite(array):
            continue
        if _all_finite(array):
            remember_finite(array)
        else:
            found[name] = int(array.size - np.count_nonzero(np.isfinite(array)))
    return {name: count for name, count in found.items() if count}


def note_non_finite(
    metrics: Metrics,
    job: Job,
    graph: Graph,
    lowered: Lowered,
    arrays: Sequence[NDArray],
    results: Sequence[NDArray],
    stop: Callable[[], None] | None = None,
) -> None:
    """Count NaN and infinities among inputs and results; look where they came from, if asked.

    Args:
        graph: the job's own, which `lowered` was made of.
        arrays: what the lowered graph ran on; `results`, what came of it, certificate apart.
        stop: raises when the search should end.

    Raises:
        NonFiniteError: a result holds some, and the job's check is `finite`.
    """
    if _few_and_finite([*arrays, *results]):
        return
    counts = non_finite(lowered.graph.output_names[: len(results)], results)
    if counts and job.options.check != "none":
        own = arrays[: len(lowered.job_inputs)]
        metrics.bad_node = _bad_node(job.options.check, counts, graph, job.want, own, stop)
    metrics.non_finite = {**non_finite(lowered.graph.input_names, arrays), **counts}


def _bad_node(
    check: str,
    counts: Mapping[str, int],
    graph: Graph,
    want: Want,
    arrays: Sequence[NDArray],
    stop: Callable[[], None] | None,
) -> BadNode | None:
    """Where it came from, for the metrics; for a job that allows none, the error that says it."""
    found = first_bad_node(graph, want, arrays, stop)
    if check == "report":
        return found
    name, count = next(iter(counts.items()))
    where = "rounding hides where it came from" if found is None else str(found)
    field = name if found is None else found.field or name
    raise NonFiniteError(
        f"{name!r} holds {count} NaN or infinite element(s) and the job's check is `finite`: "
        f"{where}; look at the inputs, or set check to `report` or `none`",
        field=field,
    )


def _few_and_finite(arrays: Sequence[NDArray]) -> bool:
    """Whether there are few elements, real and finite all: seen sooner together than by array."""
    total = 0.0
    for array in arrays:
        if array.size > FEW or array.dtype.kind != "f":
            return False
        total += sum(array.ravel().tolist())
    return isfinite(total)


def _all_finite(array: NDArray) -> bool:
    """Whether all elements are finite; one pass of sums, and False when they overflow."""
    if array.dtype.kind == "c":
        return bool(np.isfinite(array).all())
    if array.size <= FEW:
        return isfinite(sum(array.ravel().tolist()))
    with np.errstate(all="ignore"):
        return isfinite(float(array.sum(dtype=np.float64)))
