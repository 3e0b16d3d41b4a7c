"""`vmap`: a function of one point becomes a function of many, over any axes of its arguments.

The function is traced at one point, and its graph mapped: inside a trace the mapped graph goes
there, and a call on plain arrays is a trace that runs at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from itertools import accumulate
from typing import Any, TypeAlias

from pullback.local_service import local
from pullback.structure import LEAF, Structure, flatten
from pullback.tracing.arguments import Arguments, ArrayLeaf, Parameters, StaticLeaf, take_apart
from pullback.tracing.function_graph import FunctionGraph, trace_function
from pullback.tracing.traced_array import TracedArray
from pullback.tracing.traces import active_trace
from pullback_graph.errors import InputError, ShapeError
from pullback_graph.vmap import vmap as mapped_graph

Function: TypeAlias = Callable[..., Any]
Axis: TypeAlias = "int | None"
Axes: TypeAlias = Any
"""An axis, or a structure of them above that of what they are for."""


def vmap(
    function: Function,
    in_axes: Axes = 0,
    out_axes: Axes = 0,
    *,
    axis_size: int | None = None,
) -> Function:
    """A function that takes many points at once and gives the results of all, as in JAX.

        vmap(f)(x)                      # f of each x[i], stacked
        vmap(f, in_axes=(0, None))      # the second argument is common to all points
        vmap(grad(f), in_axes=({"w": None, "x": 1},))

    It can be nested, differentiated, and used inside traced functions; loops and branches of
    `pullback.lax` are mapped too.

    Args:
        in_axes: the axis of the points in every array of the arguments; or a tuple with an entry
            for each argument, in the order of the signature (also for those that a call passes by
            keyword): an axis, None for what is common to all points, or a structure of both.
        out_axes: where the axis of the points goes in every array of the result, or a structure of
            such axes; None for what is the same at all points.
        axis_size: the number of points; needed only where no argument has an axis of them.

    Raises (the function made):
        InputError: nothing is mapped, an axis is out of range, or the axes are not structured as
            what they are for.
        ShapeError: the arguments have different numbers of points.
    """
    if not callable(function):
        raise InputError(f"{function!r} is no function", field="function")
    parameters = Parameters(function)

    @wraps(function)
    def mapped(*args: Any, **keywords: Any) -> Any:
        bound = parameters.bind(args, keywords)
        axes = parameters.bind(_of_arguments(in_axes, len(args)), dict.fromkeys(keywords, 0))
        return _mapped(function, parameters, bound, axes, out_axes, axis_size)

    made: Function = local().value(mapped)
    return made


def _mapped(
    function: Function,
    parameters: Parameters,
    bound: Mapping[str, Any],
    in_axes: Mapping[str, Any],
    out_axes: Axes,
    axis_size: int | None,
) -> Any:
    """The result for all points, in the active trace."""
    trace = active_trace()
    assert trace is not None, "a call on plain arrays is traced as well"
    arguments = take_apart(bound)
    axes = _per_leaf("in_axes", dict(in_axes), arguments.structure)
    points = _Points(arguments, axes, axis_size)
    one = trace_function(function, parameters, points.one)
    places = _per_leaf("out_axes", out_axes, one.results)
    graph = mapped_graph(one.graph, points.axes, points.size, _named(one, places))
    refs = trace.inline(graph, {**arguments.inputs, **dict(one.captures)})
    arrays = dict(zip(graph.output_names, refs, strict=True))
    leaves = zip(one.leaves, one.static, strict=True)
    return one.results.unflatten(
        [value if name is None else TracedArray(trace, arrays[name]) for name, value in leaves]
    )


class _Points:
    """The arguments of a call with the axis of the points taken away.

    Attributes:
        size: how many points there are.
        axes: where each input that has the axis has it, counted from the front.
        one: the arguments at one point (the values are still those of all).
    """

    def __init__(self, arguments: Arguments, axes: Sequence[Axis], size: int | None) -> None:
        self.axes: dict[str, int] = {}
        self._first = ""
        self.size = -1
        if size is not None:
            self._note(size, "axis_size")
        leaves = [
            self._at_point(name, leaf, axis)
            for name, leaf, axis in zip(arguments.names, arguments.leaves, axes, strict=True)
        ]
        if self.size < 0:
            raise InputError(
                "vmap maps over nothing: no array of the arguments has an axis of points; give one "
                "in in_axes, or axis_size",
                field="in_axes",
            )
        self.one = Arguments(arguments.structure, arguments.values, tuple(leaves))

    def _at_point(
        self, name: str, leaf: ArrayLeaf | StaticLeaf, axis: Axis
    ) -> ArrayLeaf | StaticLeaf:
        if axis is None:
            return leaf
        if isinstance(leaf, StaticLeaf):
            if leaf.kind not in (int, bool):
                return leaf  # no array: the same for all points
            shape: tuple[int, ...] = ()
        else:
            shape = leaf.type.shape
        if not -len(shape) <= axis < len(shape):
            raise InputError(
                f"argument {name!r} has shape {shape}, so no axis {axis} to map over; give "
                "None for what is common to all points",
                field="in_axes",
            )
        assert isinstance(leaf, ArrayLeaf), "what has an axis is an array"
        place = axis % len(shape)
        self._note(shape[place], f"axis {axis} of argument {name!r}")
        self.axes[name] = place
        rest = shape[:place] + shape[place + 1 :]
        return leaf._replace(type=leaf.type._replace(shape=rest))

    def _note(self, size: int, where: str) -> None:
        if self.size < 0:
            self.size, self._first = size, where
        if size != self.size:
            raise ShapeError(
                f"vmap needs one number of points: {self._first} says {self.size}, {where} "
                f"{size}; give None in in_axes for what is common to all points",
                field="in_axes",
            )


def _named(one: FunctionGraph, places: Sequence[Axis]) -> dict[str, Axis]:
    """Where the axis goes, by the names of outputs."""
    pairs = zip(one.leaves, places, strict=True)
    return {name: place for name, place in pairs if name is not None}


# --- structures of axes ---------------------------------------------------------------------------


def _of_arguments(in_axes: Axes, count: int) -> Sequence[Axes]:
    """An entry for each positional argument."""
    if not isinstance(in_axes, tuple | list):
        return [in_axes] * count
    if len(in_axes) != count:
        raise InputError(
            f"in_axes has {len(in_axes)} entries, and the call {count} arguments; give one for "
            "each, or one number for all",
            field="in_axes",
        )
    return in_axes


def _per_leaf(field: str, axes: Axes, structure: Structure) -> list[Axis]:
    """An axis for each leaf of a structure, from axes that may stop above its leaves.

    Raises:
        InputError: they are not structured like it, or one is no axis.
    """
    leaves, own = flatten(axes)
    for leaf in leaves:
        if leaf is not None and (not isinstance(leaf, int) or isinstance(leaf, bool)):
            raise InputError(f"{field} holds {leaf!r}; an axis is a whole number", field=field)
    return list(_spread(field, leaves, own, structure))


def _spread(
    field: str, leaves: Sequence[Axis], own: Structure, structure: Structure
) -> Iterator[Axis]:
    if own == LEAF:
        yield from [leaves[0]] * structure.leaf_count
        return
    starts = accumulate([child.leaf_count for child in own.children], initial=0)
    parts = dict(zip(own.keys, zip(starts, own.children, strict=False), strict=True))
    if structure.kind is None or set(parts) != set(structure.keys):
        raise InputError(
            f"{field} is structured as {[str(key) for key in own.keys]}, what it is for as "
            f"{[str(key) for key in structure.keys] or 'one array'}",
            field=field,
        )
    for key, child in zip(structure.keys, structure.children, strict=True):
        start, part = parts[key]
        yield from _spread(field, leaves[start : start + part.leaf_count], part, child)
