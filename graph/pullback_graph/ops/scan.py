"""The loop over a leading axis: a body run for each position, with values carried along.

Operands: constants, first values of the carries, arrays that each step takes one entry of. The
body takes the same (entries without the leading axis) and gives the next carries, entries of the
results, and terms of sums. Results: the last carries, the entries stacked, the sums.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pullback_graph.attributes import Attribute, Kind
from pullback_graph.errors import AttributeFault, DTypeError, ShapeError
from pullback_graph.graph import Graph
from pullback_graph.kernels import Kernels, Loop
from pullback_graph.op import VARIADIC, Axes, Both, Cost, Domain, Example, Interval, Op
from pullback_graph.ops.bodies import (
    check_counts,
    check_inputs,
    mismatch,
    output_types,
    repeated_cost,
    working_bytes,
)
from pullback_graph.ops.body_axes import body_axes
from pullback_graph.ops.deferred import deferred
from pullback_graph.ops.rules import moved_bytes
from pullback_graph.types import Array, ArrayType

MAX_STEPS = 1 << 40
"""The longest loop: products of nested lengths stay finite numbers."""


def step_type(x: ArrayType) -> ArrayType:
    """The type of one entry along the leading axis."""
    return ArrayType(x.dtype, x.shape[1:])


def stacked_type(y: ArrayType, length: int) -> ArrayType:
    """The type of so many entries along a new leading axis."""
    return ArrayType(y.dtype, (length, *y.shape))


def steps_of(stacked: Sequence[ArrayType], length: int) -> int:
    """How many steps a loop takes: what its stacked operands say, or the attribute `length`.

    Raises:
        ShapeError: a stacked operand is 0-d, or lengths differ, or nothing says it.
    """
    lengths: dict[str, int] = {}
    for i, x in enumerate(stacked):
        if not x.shape:
            raise ShapeError(f"stacked operand {i} is 0-d; the loop runs over its leading axis")
        lengths[f"stacked operand {i}"] = x.shape[0]
    if length != -1 or not stacked:
        lengths["attribute 'length'"] = length
    first, *others = lengths.items()
    for what, size in others:
        if size != first[1]:
            raise ShapeError(f"{first[0]} has {first[1]} steps, {what} has {size}; give one length")
    if not 0 <= first[1] <= MAX_STEPS:
        raise ShapeError(
            f"{first[0]} is {first[1]}; a loop without stacked operands needs a length, zero or "
            f"more and at most {MAX_STEPS}"
        )
    return first[1]


def _type(
    *operands: ArrayType,
    body: Graph,
    consts: int,
    carries: int,
    sums: int,
    length: int,
    segment: int,
    slots: int,
    **_: Any,
) -> tuple[ArrayType, ...]:
    check_counts(consts=consts, carries=carries, sums=sums, segment=segment, slots=slots)
    first = consts + carries
    if first > len(operands):
        raise AttributeFault(
            f"{consts} constant(s) and {carries} carrie(s) are more than {len(operands)} operand(s)"
        )
    steps = steps_of(operands[first:], length)
    given = (*operands[:first], *[step_type(x) for x in operands[first:]])
    check_inputs("body", body, given, lambda i: _operand_name(i, consts, carries))
    outputs = output_types(body)
    if len(outputs) < carries + sums:
        raise AttributeFault(
            f"'body' gives {len(outputs)} value(s): fewer than {carries} carrie(s) and {sums} "
            "sum(s)"
        )
    for k, (before, after) in enumerate(zip(given[consts:first], outputs, strict=False)):
        if before != after:
            raise mismatch(
                f"carry {k} ({body.inputs[consts + k].name!r}) is {before} before a step and "
                f"{after} after it",
                before,
                after,
            )
    last = len(outputs) - sums
    for term in outputs[last:]:
        if term.dtype.kind == "b":
            raise DTypeError(f"a sum has terms of type {term}; truth values do not add up")
    stacked = [stacked_type(y, steps) for y in outputs[carries:last]]
    return (*outputs[:carries], *stacked, *outputs[last:])


def _operand_name(position: int, consts: int, carries: int) -> str:
    if position < consts:
        return f"constant {position}"
    if position < consts + carries:
        return f"carry {position - consts}"
    return f"an entry of stacked operand {position - consts - carries}"


def _bodies(
    operands: Sequence[ArrayType], *, consts: int, carries: int, **_: Any
) -> Mapping[str, Sequence[ArrayType]]:
    first = consts + carries
    return {"body": [*operands[:first], *[step_type(x) for x in operands[first:]]]}


def _run(
    k: Kernels,
    *,
    body: Graph,
    consts: int,
    carries: int,
    sums: int,
    length: int,
    reverse: bool,
    **_: Any,
) -> Callable[..., Array]:
    return k.control.scan(body, Loop(consts, carries, sums, length, reverse))


def _axes(
    operands: Sequence[ArrayType],
    results: Sequence[ArrayType],
    *,
    body: Graph,
    consts: int,
    carries: int,
    sums: int,
    **_: Any,
) -> Axes:
    """What each step keeps is kept, or summed over where the loop adds up.

    Without carries the steps are independent, so the leading axis is kept too.
    """
    inside = body_axes(body, consts, carries, sums)
    steps = (
        max(
            [f for own in (*inside.inputs, *inside.outputs) for f in own if f is not None],
            default=-1,
        )
        + 1
    )
    leading = steps if not carries and len(operands) > consts else None
    first, last = consts + carries, len(results) - sums
    summed = {*inside.summed, *([steps] if leading is not None and sums else [])}
    return Axes(
        (*inside.inputs[:first], *[(leading, *own) for own in inside.inputs[first:]]),
        (
            *inside.outputs[:carries],
            *[(leading, *own) for own in inside.outputs[carries:last]],
            *inside.outputs[last:],
        ),
        dict.fromkeys(sorted(summed), "add"),
    )


def _cost(
    operands: Sequence[ArrayType],
    results: Sequence[ArrayType],
    *,
    body: Graph,
    consts: int,
    carries: int,
    length: int,
    **_: Any,
) -> Cost:
    stacked = operands[consts + carries :]
    return repeated_cost(body, steps_of(stacked, length), moved_bytes(stacked, results))


def _scratch(operands: Sequence[ArrayType], *, body: Graph, **_: Any) -> int:
    return working_bytes(body)


_DECAY = """graph(a: float64[], h: float64[2], x: float64[2]) {
  %3 = multiply(h, a) : float64[2]
  %4 = tanh(%3) : float64[2]
  %5 = add(%4, x) : float64[2]
  %6 = sin(%5) : float64[2]
  %7 = multiply(%5, x) : float64[2]
  return h = %5, y = %6, energy = %7
}"""
_POINTWISE = """graph(a: float64[3], x: float64[3], y: float64[]) {
  %3 = multiply(a, x) : float64[3]
  %4 = exp(%3) : float64[3]
  %5 = multiply(%4, y) : float64[3]
  return z = %5, total = %4
}"""
_POWER = """graph(a: float64[2,2], v: float64[2]) {
  %2 = matmul(a, v) : float64[2]
  %3 = tanh(%2) : float64[2]
  return v = %3
}"""

SCAN = Op(
    "scan",
    operands=VARIADIC,
    attributes=(
        Attribute("body", Kind.GRAPH),
        Attribute("consts", Kind.INT),
        Attribute("carries", Kind.INT),
        Attribute("sums", Kind.INT, 0),
        Attribute("length", Kind.INT, -1),
        Attribute("reverse", Kind.BOOL, False),
        Attribute("segment", Kind.INT, 0),
        Attribute("slots", Kind.INT, 0),
    ),
    type=_type,
    run=_run,
    derivative=Both(
        deferred("derivative.scan", "jvp"), deferred("derivative.scan", "vjp"), selective=True
    ),
    axes=_axes,
    cost=_cost,
    scratch=_scratch,
    bodies=_bodies,
    mapping=deferred("vmap.bodies", "map_scan"),
    follow=deferred("sparsity.bodies", "scan"),
    domain=Domain(
        (Interval(),),
        (
            Example(((), (2,), (4, 2)), {"body": _DECAY, "consts": 1, "carries": 1, "sums": 1}),
            Example(
                ((), (2,), (3, 2)),
                {"body": _DECAY, "consts": 1, "carries": 1, "reverse": True},
            ),
            Example(
                ((), (2,), (7, 2)),
                {"body": _DECAY, "consts": 1, "carries": 1, "sums": 1, "segment": 3},
            ),
            Example(
                ((), (2,), (7, 2)),
                {"body": _DECAY, "consts": 1, "carries": 1, "segment": 2, "slots": 2},
            ),
            Example(((), (2,), (0, 2)), {"body": _DECAY, "consts": 1, "carries": 1}),
            Example(((3,), (4, 3), (4,)), {"body": _POINTWISE, "consts": 1, "carries": 0}),
            Example(
                ((3,), (4, 3), (4,)),
                {"body": _POINTWISE, "consts": 1, "carries": 0, "sums": 1},
            ),
            Example(((2, 2), (2,)), {"body": _POWER, "consts": 1, "carries": 1, "length": 3}),
        ),
    ),
    doc="The loop over a leading axis: `body` takes constants, carries and an entry of each "
    "stacked operand, and gives the next carries, entries of the stacked results and terms of "
    "the `sums`. Without stacked operands it takes `length` steps. `segment` is for the reverse "
    "pass alone: it keeps the insides of so many steps at a time and computes them again from the "
    "carries at their start (0: it keeps all), of which it holds at most `slots` (0: all).",
)


ROWS: tuple[Op, ...] = (SCAN,)
