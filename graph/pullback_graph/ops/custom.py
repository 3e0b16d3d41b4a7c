"""Derivatives that a graph brings along: a graph with its own derivative, and a value with none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pullback_graph.attributes import Attribute, Kind
from pullback_graph.errors import AttributeFault
from pullback_graph.graph import Graph
from pullback_graph.op import VARIADIC, Both, Cost, Domain, Example, Interval, Op, Zero
from pullback_graph.ops.bodies import (
    blocked,
    check_counts,
    check_inputs,
    mismatch,
    output_types,
    working_bytes,
)
from pullback_graph.ops.deferred import deferred
from pullback_graph.ops.rules import broadcast_axes, reals, view_cost
from pullback_graph.types import ArrayType

# --- custom ---------------------------------------------------------------------------------------


def floating(types: Sequence[ArrayType]) -> list[ArrayType]:
    """Those that carry derivatives."""
    return [type for type in types if type.is_floating]


def _type(
    *operands: ArrayType, forward: Graph, consts: int, jvp: Graph | None, vjp: Graph | None
) -> tuple[ArrayType, ...]:
    check_counts(consts=consts)
    if jvp is None and vjp is None:
        raise AttributeFault(
            "neither 'jvp' nor 'vjp' is given; give one of the two graphs, or both"
        )
    check_inputs("forward", forward, operands, lambda i: f"operand {i}")
    results = output_types(forward)
    moving = floating(operands[consts:])
    if jvp is not None:
        check_inputs("jvp", jvp, [*operands, *moving], _part(len(operands), "tangent"))
        _check_outputs("jvp", jvp, floating(results), "the tangent of floating result")
    if vjp is not None:
        given = [*operands, *results, *floating(results)]
        check_inputs("vjp", vjp, given, _part(len(operands), "result or cotangent"))
        _check_outputs("vjp", vjp, moving, "the cotangent of floating operand")
    return results


def _part(count: int, rest: str) -> Any:
    return lambda i: f"operand {i}" if i < count else f"{rest} {i - count}"


def _check_outputs(name: str, graph: Graph, wanted: Sequence[ArrayType], what: str) -> None:
    given = output_types(graph)
    if len(given) != len(wanted):
        raise AttributeFault(f"{name!r} gives {len(given)} value(s), it must give {len(wanted)}")
    for k, (one, other) in enumerate(zip(given, wanted, strict=True)):
        if one != other:
            raise mismatch(f"{name!r} gives {one} for {what} {k}, which is {other}", one, other)


def _cost(
    operands: Sequence[ArrayType], results: Sequence[ArrayType], *, forward: Graph, **_: Any
) -> Cost:
    return forward.cost


def _scratch(operands: Sequence[ArrayType], *, forward: Graph, **_: Any) -> int:
    return working_bytes(forward)


def _bodies(
    operands: Sequence[ArrayType],
    *,
    forward: Graph,
    consts: int,
    jvp: Graph | None,
    vjp: Graph | None,
) -> Mapping[str, Sequence[ArrayType]]:
    from pullback_graph.resize import retyped  # noqa: PLC0415  (it builds graphs of rows: a cycle)

    results = output_types(retyped(forward, operands))
    wanted: dict[str, Sequence[ArrayType]] = {"forward": operands}
    if jvp is not None:
        wanted["jvp"] = [*operands, *floating(operands[consts:])]
    if vjp is not None:
        wanted["vjp"] = [*operands, *results, *floating(results)]
    return wanted


_ROOT = """graph(x: float64[3], a: float64[]) {
  %2 = square(x) : float64[3]
  %3 = add(%2, a) : float64[3]
  %4 = sqrt(%3) : float64[3]
  return z = %4
}"""
_ROOT_JVP = """graph(x: float64[3], a: float64[], dx: float64[3], da: float64[]) {
  %4 = square(x) : float64[3]
  %5 = add(%4, a) : float64[3]
  %6 = sqrt(%5) : float64[3]
  %7 = multiply(x, dx) : float64[3]
  %8 = multiply(da, 0.5) : float64[]
  %9 = add(%7, %8) : float64[3]
  %10 = divide(%9, %6) : float64[3]
  return dz = %10
}"""
_ROOT_VJP = """graph(x: float64[3], a: float64[], z: float64[3], g: float64[3]) {
  %4 = divide(g, z) : float64[3]
  %5 = multiply(%4, x) : float64[3]
  %6 = sum(%4, axes=(0,), keepdims=false) : float64[]
  %7 = multiply(%6, 0.5) : float64[]
  return gx = %5, ga = %7
}"""

CUSTOM = Op(
    "custom",
    operands=VARIADIC,
    attributes=(
        Attribute("forward", Kind.GRAPH),
        Attribute("consts", Kind.INT, 0),
        Attribute("jvp", Kind.GRAPH, None),
        Attribute("vjp", Kind.GRAPH, None),
    ),
    type=_type,
    run=lambda k, *, forward, consts, jvp, vjp: k.control.call(forward),
    derivative=Both(
        deferred("derivative.custom", "jvp"),
        deferred("derivative.custom", "vjp"),
        selective=True,
        given=True,
    ),
    axes=blocked,
    cost=_cost,
    scratch=_scratch,
    bodies=_bodies,
    mapping=deferred("vmap.bodies", "map_custom"),
    follow=deferred("sparsity.bodies", "custom"),
    domain=Domain(
        (Interval(-2.0, 2.0), Interval(0.5, 1.0)),
        (
            Example(((3,), ()), {"forward": _ROOT, "jvp": _ROOT_JVP}),
            Example(((3,), ()), {"forward": _ROOT, "vjp": _ROOT_VJP}),
            Example(((3,), ()), {"forward": _ROOT, "jvp": _ROOT_JVP, "vjp": _ROOT_VJP}),
        ),
    ),
    doc="The graph `forward`, with a derivative of its own. `jvp` takes the operands, then "
    "tangents of the floating ones (after the first `consts`, which have no derivative), and gives "
    "those of the floating results; `vjp` takes operands, results and cotangents of the floating "
    "results, and gives those of the operands. Each must be linear in tangents or cotangents; "
    "where one is not given, it is the other transposed.",
)


# --- stop_gradient --------------------------------------------------------------------------------

STOP_GRADIENT = Op(
    "stop_gradient",
    operands=1,
    type=lambda x: x,
    run=lambda k: lambda x: x,
    derivative=Zero(),
    axes=broadcast_axes,
    cost=view_cost,
    domain=reals(1),
    doc="The operand itself, taken for a constant by every derivative.",
)


ROWS: tuple[Op, ...] = (CUSTOM, STOP_GRADIENT)
