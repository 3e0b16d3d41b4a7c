"""Rows that sort along one axis: stable, ascending, NaN last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log2

from pullback_graph.kernels import Kernels
from pullback_graph.op import Both, Cost, Op, RunRule, Zero
from pullback_graph.ops.domains import axis_examples
from pullback_graph.ops.rules import (
    AXIS,
    ORDERED,
    along_axis,
    blocked_axis,
    moved_bytes,
    reals,
)
from pullback_graph.ref import Ref, do
from pullback_graph.types import INT64, Array, ArrayType

_same = along_axis(ORDERED)


def _positions_type(x: ArrayType, *, axis: int) -> ArrayType:
    return ArrayType(INT64, _same(x, axis=axis).shape)


def _run(name: str) -> RunRule:
    def run(k: Kernels, *, axis: int) -> Callable[..., Array]:
        function = getattr(k.xp, name)
        return lambda x: function(x, axis=axis, stable=True)

    return run


def _sort_cost(operands: Sequence[ArrayType], results: Sequence[ArrayType], *, axis: int) -> Cost:
    """Comparisons of a merge sort; operands read, results written."""
    x = operands[0]
    depth = log2(max(x.shape[axis], 2))
    return Cost(x.size * depth, moved_bytes(operands, results))


def _order(x: Ref, axis: int) -> Ref:
    order: Ref = do.argsort(x, axis=axis)
    return order


def _sort_jvp(tangents: Sequence[Ref], z: Ref, x: Ref, *, axis: int) -> Ref:
    tangent: Ref = do.take_along_axis(tangents[0], _order(x, axis), axis=axis)
    return tangent


def _sort_vjp(g: Ref, z: Ref, x: Ref, *, axis: int) -> list[Ref | None]:
    """Sorting the order gives the inverse permutation."""
    inverse = _order(_order(x, axis), axis)
    return [do.take_along_axis(g, inverse, axis=axis)]


ROWS: tuple[Op, ...] = (
    Op(
        "sort",
        operands=1,
        attributes=(AXIS,),
        type=_same,
        run=_run("sort"),
        derivative=Both(_sort_jvp, _sort_vjp),
        axes=blocked_axis,
        cost=_sort_cost,
        domain=reals(1, special=(0.0, 1.0), examples=axis_examples()),
        doc="The elements in ascending order along `axis`, NaN last. The derivative goes to the "
        "place each came from; equal elements keep their order.",
    ),
    Op(
        "argsort",
        operands=1,
        attributes=(AXIS,),
        type=_positions_type,
        run=_run("argsort"),
        derivative=Zero(),
        axes=blocked_axis,
        cost=_sort_cost,
        domain=reals(1, special=(0.0, 1.0, float("nan")), examples=axis_examples()),
        doc="The positions (int64) that sort along `axis`, NaN last; equal elements keep their "
        "order.",
    ),
)
