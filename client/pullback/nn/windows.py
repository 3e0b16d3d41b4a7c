"""Strides, paddings and dilations as users write them, to the entries an axis that rows take."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from pullback_graph.errors import AttributeFault, ShapeError
from pullback_graph.types import Shape
from pullback_graph.windows import span


def entries(name: str, value: Any, rank: int) -> Shape:
    """One integer for each of `rank` axes, from one for all or from one each.

    Raises:
        AttributeFault: it is neither; the message calls it by `name`.
    """
    given = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else None
    try:
        found = [operator.index(item) for item in given or [value] * rank]
    except TypeError:
        found = []
    if len(found) != rank or given == []:
        raise AttributeFault(
            f"{name} is {value!r}; give an integer, or one for each of {rank} axes"
        )
    return tuple(found)


def paddings(
    value: Any, shape: Sequence[int], sizes: Shape, strides: Shape, dilation: Shape
) -> tuple[Shape, Shape]:
    """What is added before and after each axis of `shape`.

    Args:
        value: an integer for all, one an axis, a pair an axis, "VALID" for none, or "SAME" for as
            much as gives size / stride results, rounded up, the larger half after.

    Raises:
        AttributeFault: it is none of these.
    """
    if isinstance(value, str):
        return _named(value.upper(), shape, sizes, strides, dilation)
    if isinstance(value, Sequence) and any([isinstance(item, Sequence) for item in value]):
        pairs = [entries("a pair of padding", item, 2) for item in value]
        if len(pairs) != len(shape):
            raise AttributeFault(f"padding is {value!r}; give a pair for each of {len(shape)} axes")
        return tuple([low for low, _ in pairs]), tuple([high for _, high in pairs])
    both = entries("padding", value, len(shape))
    return both, both


def _named(
    name: str, shape: Sequence[int], sizes: Shape, strides: Shape, dilation: Shape
) -> tuple[Shape, Shape]:
    if name not in ("SAME", "VALID"):
        raise AttributeFault(f"padding is {name!r}; give 'SAME', 'VALID', integers or pairs")
    if name == "VALID" or min(strides) < 1:
        return (0,) * len(shape), (0,) * len(shape)
    rows = zip(shape, sizes, strides, dilation, strict=True)
    missing = [
        max((-(-n // stride) - 1) * stride + span(size, apart) - n, 0)
        for n, size, stride, apart in rows
    ]
    return tuple([n // 2 for n in missing]), tuple([n - n // 2 for n in missing])


def spatial_rank(name: str, x: Any) -> int:
    """How many axes follow those of batch and channels.

    Raises:
        ShapeError: none does.
    """
    if x.ndim < 3:
        raise ShapeError(
            f"{name} needs axes N C spatial, got shape {x.shape}; add axes with expand_dims"
        )
    return int(x.ndim) - 2
