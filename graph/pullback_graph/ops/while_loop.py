"""The loop that ends when a condition says so: a body run on what is carried while it holds.

Operands: constants, first values of the carries. Condition and body take both; the body gives the
next carries. Results: the last carries; with `keep`, how many steps there were and every carry
before each of them, stacked, zeros behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pullback_graph.attributes import Attribute, Kind
from pullback_graph.errors import AttributeFault, DTypeError
from pullback_graph.graph import Graph
from pullback_graph.op import VARIADIC, Both, Cost, Domain, Example, Interval, Op
from pullback_graph.ops.bodies import (
    blocked,
    check_counts,
    check_inputs,
    mismatch,
    output_types,
    repeated_cost,
    working_bytes,
)
from pullback_graph.ops.deferred import deferred
from pullback_graph.ops.rules import moved_bytes
from pullback_graph.ops.scan import MAX_STEPS, stacked_type
from pullback_graph.types import BOOL, INT64, ArrayType

ASSUMED_STEPS = 1000
"""What an estimate takes a loop without a bound for."""


def _type(
    *operands: ArrayType, cond: Graph, body: Graph, consts: int, max_steps: int, keep: bool
) -> tuple[ArrayType, ...]:
    check_counts(consts=consts, max_steps=max_steps)
    carries = operands[consts:]
    if not carries:
        raise AttributeFault("nothing is carried, so the condition could never change")
    if max_steps > MAX_STEPS or (keep and not max_steps):
        raise AttributeFault(
            f"'max_steps' is {max_steps}; give one to {MAX_STEPS}, or 0 for a loop without a bound "
            "that keeps nothing"
        )
    for name, graph in (("cond", cond), ("body", body)):
        check_inputs(name, graph, operands, lambda i: _operand_name(i, consts))
    if output_types(cond) != (ArrayType(BOOL, ()),):
        listed = ", ".join(map(str, output_types(cond)))
        raise DTypeError(f"'cond' gives {listed}; it must give one truth value, bool[]")
    outputs = output_types(body)
    if len(outputs) != len(carries):
        raise AttributeFault(f"'body' gives {len(outputs)} value(s) for {len(carries)} carrie(s)")
    for k, (before, after) in enumerate(zip(carries, outputs, strict=True)):
        if before != after:
            name = body.inputs[consts + k].name
            raise mismatch(
                f"carry {k} ({name!r}) is {before} before a step and {after} after it",
                before,
                after,
            )
    if not keep:
        return carries
    return (*carries, ArrayType(INT64, ()), *[stacked_type(x, max_steps) for x in carries])


def _operand_name(position: int, consts: int) -> str:
    return f"constant {position}" if position < consts else f"carry {position - consts}"


def _bodies(operands: Sequence[ArrayType], **_: Any) -> Mapping[str, Sequence[ArrayType]]:
    return {"cond": operands, "body": operands}


def _cost(
    operands: Sequence[ArrayType],
    results: Sequence[ArrayType],
    *,
    cond: Graph,
    body: Graph,
    max_steps: int,
    **_: Any,
) -> Cost:
    steps = max_steps or ASSUMED_STEPS
    one = repeated_cost(cond, steps + 1, 0.0)
    other = repeated_cost(body, steps, moved_bytes((), results))
    return Cost(one.flops + other.flops, one.size_bytes + other.size_bytes, one.calls + other.calls)


def _scratch(operands: Sequence[ArrayType], *, cond: Graph, body: Graph, **_: Any) -> int:
    return working_bytes(cond, body)


_BELOW = """graph(a: float64[2], x: float64[2], y: float64[2]) {
  %3 = constant float64[] 6.0
  %4 = sum(y, axes=(0,), keepdims=false) : float64[]
  %5 = less(%4, %3) : bool[]
  return r = %5
}"""
_GROWING = """graph(a: float64[2], x: float64[2], y: float64[2]) {
  %3 = multiply(a, x) : float64[2]
  %4 = sin(%3) : float64[2]
  %5 = square(%4) : float64[2]
  %6 = add(y, %5) : float64[2]
  %7 = constant float64[] 0.75
  %8 = add(%6, %7) : float64[2]
  return x = %4, y = %8
}"""

WHILE_LOOP = Op(
    "while_loop",
    operands=VARIADIC,
    attributes=(
        Attribute("cond", Kind.GRAPH),
        Attribute("body", Kind.GRAPH),
        Attribute("consts", Kind.INT),
        Attribute("max_steps", Kind.INT, 0),
        Attribute("keep", Kind.BOOL, False),
    ),
    type=_type,
    run=lambda k, *, cond, body, consts, max_steps, keep: k.control.while_loop(
        cond, body, consts, max_steps, keep
    ),
    derivative=Both(
        deferred("derivative.while_loop", "jvp"),
        deferred("derivative.while_loop", "vjp"),
        selective=True,
    ),
    axes=blocked,
    cost=_cost,
    scratch=_scratch,
    bodies=_bodies,
    mapping=deferred("vmap.bodies", "map_while"),
    follow=deferred("sparsity.bodies", "while_loop"),
    domain=Domain(
        (Interval(0.5, 2.0), Interval(0.5, 1.5), Interval(0.0, 0.4)),
        (
            Example(
                ((2,), (2,), (2,)),
                {"cond": _BELOW, "body": _GROWING, "consts": 1, "max_steps": 9},
            ),
            Example(
                ((2,), (2,), (2,)),
                {"cond": _BELOW, "body": _GROWING, "consts": 1, "max_steps": 2},
            ),
        ),
    ),
    doc="The loop that runs `body` on what is carried while `cond` holds; both take constants and "
    "carries. It ends after `max_steps` at the latest (0: never by itself): a reverse derivative "
    "needs that bound, a forward one does not. `keep` is for the reverse pass: the count of steps "
    "and all carries are results too.",
)


ROWS: tuple[Op, ...] = (WHILE_LOOP,)
