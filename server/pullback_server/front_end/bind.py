"""Binds a job's arrays to its program's inputs, checking each, and its outputs to names."""

from __future__ import annotations

from collections.abc import Sequence

from pullback_graph.binding import bound
from pullback_graph.graph import Input
from pullback_graph.job import Job, NDArray, Tensor, TensorHash
from pullback_server.front_end.prepare import Prepared
from pullback_server.front_end.stores import ContentStore
from pullback_worker.result_checks import directions


def bind_inputs(
    prepared: Prepared, job: Job, tensors: ContentStore[NDArray]
) -> tuple[list[NDArray], int]:
    """The arrays of the lowered graph's inputs, in order, and how many came from the store.

    Raises:
        InputError: an input or seed is missing, unknown, or of another type than the graph's.
        NotFoundError: a tensor named by hash is not stored here.
    """
    lowered = prepared.lowered
    arrays, hits = bind_arrays(lowered.job_inputs, job, tensors)
    return arrays + directions(lowered), hits


def bind_arrays(
    wanted: Sequence[Input], job: Job, tensors: ContentStore[NDArray]
) -> tuple[list[NDArray], int]:
    """The job's arrays for inputs and seeds in that order, and how many came from the store.

    Raises:
        InputError, NotFoundError: as `bind_inputs` says.
    """
    hits = 0

    def as_array(_: Input, tensor: Tensor) -> NDArray:
        nonlocal hits
        if not isinstance(tensor, TensorHash):
            return tensor
        hits += 1
        return tensors.get(tensor.sha256)

    return bound(wanted, job, as_array), hits
