"""The choice among subgraphs at run time: only the one that is chosen runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pullback_graph.attributes import Attribute, Kind
from pullback_graph.errors import AttributeFault, DTypeError, ShapeError
from pullback_graph.graph import Graph
from pullback_graph.op import VARIADIC, Both, Cost, Domain, Example, Interval, Op
from pullback_graph.ops.bodies import (
    blocked,
    check_inputs,
    mismatch,
    output_types,
    working_bytes,
)
from pullback_graph.ops.deferred import deferred
from pullback_graph.types import BOOL, ArrayType


def _type(
    chosen: ArrayType, *operands: ArrayType, branches: tuple[Graph, ...]
) -> tuple[ArrayType, ...]:
    if chosen.dtype.kind not in "biu":
        raise DTypeError(f"the choice is {chosen}; give a truth value or an integer")
    if chosen.shape:
        raise ShapeError(f"the choice is {chosen}; it must be 0-d (`where` chooses elements)")
    if chosen.dtype == BOOL and len(branches) != 2:
        raise AttributeFault(f"a truth value chooses between 2 branches, there are {len(branches)}")
    for k, branch in enumerate(branches):
        check_inputs(f"branches[{k}]", branch, operands, lambda i: f"operand {i + 1}")
    outputs = output_types(branches[0])
    for k, branch in enumerate(branches[1:], 1):
        _check_alike(k, outputs, output_types(branch))
    return outputs


def _check_alike(k: int, first: Sequence[ArrayType], other: Sequence[ArrayType]) -> None:
    if len(first) != len(other):
        raise AttributeFault(f"branch 0 gives {len(first)} value(s), branch {k} {len(other)}")
    for i, (one, two) in enumerate(zip(first, other, strict=True)):
        if one != two:
            raise mismatch(f"branch 0 gives {one} for result {i}, branch {k} {two}", one, two)


def _bodies(operands: Sequence[ArrayType], **_: Any) -> Mapping[str, Sequence[ArrayType]]:
    return {"branches": operands[1:]}


def _cost(
    operands: Sequence[ArrayType],
    results: Sequence[ArrayType],
    *,
    branches: Sequence[Graph],
) -> Cost:
    """That of the dearest branch."""
    costs = [branch.cost for branch in branches]
    return Cost(
        max([cost.flops for cost in costs]),
        max([cost.size_bytes for cost in costs]),
        1 + max([cost.calls for cost in costs]),
    )


def _scratch(operands: Sequence[ArrayType], *, branches: Sequence[Graph]) -> int:
    return working_bytes(*branches)


_PRODUCT = """graph(x: float64[3], y: float64[]) {
  %2 = sin(x) : float64[3]
  %3 = multiply(%2, y) : float64[3]
  return u = %3, v = y
}"""
_FIRST_ALONE = """graph(x: float64[3], y: float64[]) {
  %2 = square(x) : float64[3]
  %3 = sum(%2, axes=(0,), keepdims=false) : float64[]
  return u = %2, v = %3
}"""
_CHANGED = """graph(x: float64[3], y: float64[]) {
  %2 = add(x, y) : float64[3]
  %3 = exp(y) : float64[]
  return u = %2, v = %3
}"""

COND = Op(
    "cond",
    operands=VARIADIC,
    attributes=(Attribute("branches", Kind.GRAPHS),),
    type=_type,
    run=lambda k, *, branches: k.control.cond(branches),
    derivative=Both(
        deferred("derivative.branches", "jvp"),
        deferred("derivative.branches", "vjp"),
        selective=True,
    ),
    axes=blocked,
    cost=_cost,
    scratch=_scratch,
    bodies=_bodies,
    mapping=deferred("vmap.bodies", "map_cond"),
    follow=deferred("sparsity.bodies", "cond"),
    domain=Domain(
        (Interval(-1, 4, integer=True), Interval(), Interval()),
        (
            Example(((), (3,), ()), {"branches": (_PRODUCT, _FIRST_ALONE)}),
            Example(((), (3,), ()), {"branches": (_PRODUCT, _FIRST_ALONE, _CHANGED)}),
            Example(((), (3,), ()), {"branches": (_CHANGED,)}),
        ),
    ),
    doc="The results of one of the `branches` on the operands after the first, which chooses: "
    "false and true are 0 and 1, an integer out of range takes the nearest branch. The others do "
    "not run.",
)


ROWS: tuple[Op, ...] = (COND,)
