"""A job's arrays for a program of this process, each checked; and its deadline as a cancel flag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

import numpy as np

from pullback_graph.errors import InputError, NotFoundError
from pullback_graph.graph import Input
from pullback_graph.job import Job, NDArray, TensorHash
from pullback_graph.types import type_of
from pullback_graph.want import seed_name


class Deadline:
    """A cancel flag that sets itself when the time is over."""

    __slots__ = ("_end_s",)

    def __init__(self, deadline_s: float) -> None:
        self._end_s = monotonic() + deadline_s

    @property
    def is_set(self) -> bool:
        """Whether it is over."""
        return monotonic() >= self._end_s


def bound_arrays(wanted: Sequence[Input], job: Job) -> list[NDArray]:
    """The job's arrays for inputs and seeds in that order.

    Raises:
        InputError: one is missing, unknown, or of another type.
        NotFoundError: one is named by its hash.
    """
    given: dict[str, Any] = dict(job.inputs)
    for number, seed in enumerate(job.seeds):
        given.update({seed_name(number, name): array for name, array in seed.items()})
    if len(given) != len(wanted) or any([item.name not in given for item in wanted]):
        _check_names(given, [item.name for item in wanted])
    return [_as_input(item, given[item.name]) for item in wanted]


def _as_input(item: Input, value: Any) -> NDArray:
    """An input as an array of the graph's type; Python's numbers and lists take its dtype."""
    if isinstance(value, TensorHash):
        raise NotFoundError(
            f"pb.local() keeps no tensors; pass the array of {item.name!r} itself",
            field=f"inputs.{item.name}",
        )
    dtype, shape = item.type
    array = value if type(value) is np.ndarray else _converted(item, value)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype != dtype or array.shape != shape:
        raise InputError(
            f"input {item.name!r} is {type_of(array)}, the graph takes {item.type}; cast or "
            "reshape it, or retype the graph with with_shapes",
            field=f"inputs.{item.name}",
        )
    return array


def _converted(item: Input, value: Any) -> NDArray:
    try:
        array = np.asarray(value)
        weak = isinstance(value, bool | int | float | list | tuple)
        if weak and np.can_cast(array.dtype, item.type.dtype, "same_kind"):
            return np.asarray(value, item.type.dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"input {item.name!r} is no array: {error}; pass numbers or arrays",
            field=f"inputs.{item.name}",
        ) from None
    return array


def _check_names(given: Mapping[str, Any], wanted: Sequence[str]) -> None:
    takes = ", ".join(wanted) or "none"
    for name in wanted:
        if name not in given:
            raise InputError(
                f"input {name!r} is missing; the graph takes: {takes}", field=f"inputs.{name}"
            )
    unknown = next(name for name in given if name not in wanted)
    raise InputError(
        f"the graph has no input {unknown!r}; it takes: {takes}", field=f"inputs.{unknown}"
    )
