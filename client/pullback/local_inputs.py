"""A job's arrays for a program of this process, each checked; and its deadline as a cancel flag."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any

import numpy as np

from pullback_graph.binding import bound
from pullback_graph.errors import InputError, NotFoundError
from pullback_graph.graph import Input
from pullback_graph.job import Job, NDArray, TensorHash


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
    return bound(wanted, job, as_input)


def as_input(item: Input, value: Any) -> NDArray:
    """What was given as an array; Python's numbers and lists take the input's dtype."""
    if isinstance(value, TensorHash):
        raise NotFoundError(
            f"pb.local() keeps no tensors; pass the array of {item.name!r} itself",
            field=f"inputs.{item.name}",
        )
    array = value if type(value) is np.ndarray else _converted(item, value)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array


def _converted(item: Input, value: Any) -> NDArray:
    try:
        array = np.asarray(value)
        weak = isinstance(value, bool | int | float | complex | list | tuple)
        if weak and np.can_cast(array.dtype, item.type.dtype, "same_kind"):
            return np.asarray(value, item.type.dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"input {item.name!r} is no array: {error}; pass numbers or arrays",
            field=f"inputs.{item.name}",
        ) from None
    return array
