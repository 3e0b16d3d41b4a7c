"""A job's arrays brought in the order a program takes them: which are missing, unknown or unfit.

What an array may come as (a hash, a number, an array of another byte order) is each service's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pullback_graph.errors import InputError
from pullback_graph.graph import Input
from pullback_graph.job import Job, NDArray
from pullback_graph.types import type_of
from pullback_graph.want import seed_name


def bound(
    wanted: Sequence[Input], job: Job, as_array: Callable[[Input, Any], NDArray]
) -> list[NDArray]:
    """The job's arrays for inputs and seeds in that order.

    Args:
        as_array: what was given for an input, as an array.

    Raises:
        InputError: one is missing, unknown, or of another type than its input.
    """
    given = arrays_given(job)
    if len(given) != len(wanted) or any([item.name not in given for item in wanted]):
        _check_names(given, [item.name for item in wanted])
    arrays = []
    for item in wanted:
        array = as_array(item, given[item.name])
        if array.dtype != item.type.dtype or array.shape != item.type.shape:
            raise _unfit(item, array, job)
        arrays.append(array)
    return arrays


def arrays_given(job: Job) -> dict[str, Any]:
    """A job's inputs and seeds as they came, by the names of the lowered graph's inputs."""
    given: dict[str, Any] = dict(job.inputs)
    for number, seed in enumerate(job.seeds):
        given.update({seed_name(number, name): array for name, array in seed.items()})
    return given


def _unfit(item: Input, array: NDArray, job: Job) -> InputError:
    """An array of another type than its input's, or than what its seed is a direction in."""
    for number, seed in enumerate(job.seeds):
        for name in seed:
            if seed_name(number, name) == item.name:
                return InputError(
                    f"seed {number} is {type_of(array)} for {name!r}, which is {item.type}; a seed "
                    "has the dtype and the shape of what it is a direction in",
                    field=f"seeds[{number}].{name}",
                )
    return InputError(
        f"input {item.name!r} is {type_of(array)}, the graph takes {item.type}; cast or "
        "reshape it, or retype the graph with with_shapes",
        field=f"inputs.{item.name}",
    )


def _check_names(given: Mapping[str, Any], wanted: Sequence[str]) -> None:
    known = set(wanted)
    takes = ", ".join(wanted) or "none"
    for name in wanted:
        if name not in given:
            raise InputError(
                f"input {name!r} is missing; the graph takes: {takes}", field=f"inputs.{name}"
            )
    unknown = next(name for name in given if name not in known)
    raise InputError(
        f"the graph has no input {unknown!r}; it takes: {takes}", field=f"inputs.{unknown}"
    )
