"""Shorthands for a row's domain: the intervals and examples that tests draw operands from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pullback_graph.op import Domain, Example, Interval
from pullback_graph.types import Shape


def between(*bounds: tuple[float, float], special: tuple[float, ...] = ()) -> Domain:
    """Floating operands, each from its own interval; the special points are shared."""
    return Domain(tuple(Interval(low, high, special) for low, high in bounds))


def complexes(count: int, *, examples: Sequence[Example] = ()) -> Domain:
    """`count` operands of a complex dtype."""
    return Domain((Interval(complex=True),) * count, tuple(examples))


def booleans(count: int, *, examples: Sequence[Example] = ()) -> Domain:
    """`count` operands of dtype bool."""
    return Domain((Interval(boolean=True),) * count, tuple(examples))


def reduction_examples(
    *, empty: bool = True, shapes: Sequence[Shape] = ((2, 3, 4), (3, 1), (5,), ())
) -> tuple[Example, ...]:
    """Axes of every kind over `shapes`, keepdims in turn; `empty` reduces sizes of zero."""
    choices = [(shape, axes) for shape in shapes for axes in _axis_choices(len(shape))]
    examples = [
        Example((shape,), {"axes": axes, "keepdims": position % 2 == 1})
        for position, (shape, axes) in enumerate(choices)
    ]
    if empty:
        examples += [
            Example(((2, 0),), {"axes": (1,), "keepdims": False}),
            Example(((0,),), {"axes": (0,), "keepdims": True}),
        ]
    return (*examples, Example(((2, 0),), {"axes": (0,), "keepdims": False}))


def _axis_choices(rank: int) -> list[tuple[int, ...]]:
    """All axes, none, the last, and (from rank 3) two that are apart."""
    choices = {tuple(range(rank)), (), tuple(range(rank))[-1:]}
    return sorted(choices | ({(0, 2)} if rank > 2 else set()))


def axis_examples(**attributes: Any) -> tuple[Example, ...]:
    """Shapes with one axis chosen, sizes one and zero included."""
    places = (((5,), 0), ((2, 3), 0), ((2, 3, 4), 1), ((3, 1), 1), ((0, 3), 1))
    return tuple(Example((shape,), {"axis": axis, **attributes}) for shape, axis in places)
