"""Binds a job's arrays to its program's inputs, checking each, and its outputs to names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pullback_graph.errors import InputError
from pullback_graph.graph import Input
from pullback_graph.job import Job, NDArray, Tensor, TensorHash
from pullback_graph.types import type_of
from pullback_graph.want import seed_name
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
    wanted = lowered.graph.inputs[: len(lowered.graph.inputs) - len(lowered.directions)]
    arrays, hits = bind_arrays(wanted, job, tensors)
    return arrays + directions(lowered), hits


def bind_arrays(
    wanted: Sequence[Input], job: Job, tensors: ContentStore[NDArray]
) -> tuple[list[NDArray], int]:
    """The job's arrays for inputs and seeds in that order, and how many came from the store.

    Raises:
        InputError, NotFoundError: as `bind_inputs` says.
    """
    given: dict[str, Tensor] = dict(job.inputs)
    for number, seed in enumerate(job.seeds):
        given.update({seed_name(number, name): tensor for name, tensor in seed.items()})
    if len(given) != len(wanted) or any(item.name not in given for item in wanted):
        _check_names(given, [item.name for item in wanted])
    arrays, hits = [], 0
    for item in wanted:
        tensor = given[item.name]
        if isinstance(tensor, TensorHash):
            tensor = tensors.get(tensor.sha256)
            hits += 1
        if tensor.dtype != item.type.dtype or tensor.shape != item.type.shape:
            raise _wrong_type(item, tensor)
        arrays.append(tensor)
    return arrays, hits


def _check_names(given: Mapping[str, Any], wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in given]
    if missing:
        raise InputError(
            f"input {missing[0]!r} is missing; the graph takes: {', '.join(wanted) or 'none'}",
            field=f"inputs.{missing[0]}",
        )
    unknown = next(name for name in given if name not in set(wanted))
    raise InputError(
        f"the graph has no input {unknown!r}; it takes: {', '.join(wanted) or 'none'}",
        field=f"inputs.{unknown}",
    )


def _wrong_type(item: Input, tensor: NDArray) -> InputError:
    return InputError(
        f"input {item.name!r} is {type_of(tensor)}, the graph takes {item.type}; cast or reshape "
        "it, or retype the graph with with_shapes",
        field=f"inputs.{item.name}",
    )
