"""Derivatives of the row `scan`: loops again, over the derivative of the body.

The forward derivative carries tangents beside the carries, and keeps nothing. The reverse one lets
the loop keep what its backward loop needs (the loop itself is superseded, not run twice), then runs
the other way; cotangents of constants are sums over the steps. Griewank & Walther 2008, chapter 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pullback_graph.builder import Builder, copy_values
from pullback_graph.derivative.bodies import (
    active_inputs,
    add_inputs,
    as_tuple,
    build,
    reached_carries,
)
from pullback_graph.derivative.forward import push
from pullback_graph.derivative.linear_space import zeros
from pullback_graph.derivative.linearized import linearized
from pullback_graph.derivative.loop_back import Back
from pullback_graph.derivative.reverse import pull
from pullback_graph.derivative.schedule import scheduled
from pullback_graph.derivative.segments import segmented
from pullback_graph.graph import Graph
from pullback_graph.ops.scan import steps_of
from pullback_graph.ref import Ref


class Layout(NamedTuple):
    """Which inputs and outputs of a body are what."""

    consts: range
    carries: range
    entries: range
    next: range
    stacked: range
    sums: range


def layout(body: Graph, consts: int, carries: int, sums: int) -> Layout:
    """The layout of a scan's body."""
    first, last = consts + carries, len(body.outputs) - sums
    return Layout(
        range(consts),
        range(consts, first),
        range(first, len(body.inputs)),
        range(carries),
        range(carries, last),
        range(last, len(body.outputs)),
    )


# --- forward --------------------------------------------------------------------------------------


def jvp(
    tangents: Sequence[Ref | None],
    z: Any,
    *operands: Ref,
    body: Graph,
    consts: int,
    carries: int,
    sums: int,
    **attributes: Any,
) -> tuple[Ref | None, ...]:
    """Tangents of the results: one loop for values and tangents, which supersedes the loop."""
    builder = operands[0].builder
    parts = layout(body, consts, carries, sums)
    flags = active_inputs(body, parts.carries, [t is not None for t in tangents])
    inner = builder.inner()
    joint = _Joint(inner, body, parts, flags)
    given: list[Ref] = []
    for group in (parts.consts, parts.carries, parts.entries):
        given += [operands[i] for i in group]
        given += [tangents[i] or zeros(builder, operands[i].type) for i in group if flags[i]]
    results = iter(
        as_tuple(
            builder.add(
                "scan",
                *given,
                body=joint.graph,
                consts=consts + sum([flags[i] for i in parts.consts]),
                carries=carries + sum([flags[i] for i in parts.carries]),
                sums=sums + sum([joint.moving[k] for k in parts.sums]),
                **attributes,
            )
        )
    )
    values: list[Ref] = []
    pushed: list[Ref | None] = []
    for group in (parts.next, parts.stacked, parts.sums):
        values += [next(results) for _ in group]
        pushed += [next(results) if joint.moving[k] else None for k in group]
    builder.supersede(as_tuple(z), values)
    return tuple(pushed)


class _Joint:
    """A body with its tangents: inputs and outputs of each group, then their tangents.

    Attributes:
        moving: per output of the body, whether it has a tangent.
    """

    def __init__(self, builder: Builder, body: Graph, parts: Layout, flags: Sequence[bool]) -> None:
        order: list[tuple[int, bool]] = []
        for group in (parts.consts, parts.carries, parts.entries):
            order += [(i, False) for i in group] + [(i, True) for i in group if flags[i]]
        names = [(f"d({body.inputs[i].name})" if t else body.inputs[i].name) for i, t in order]
        types = [body.inputs[i].type for i, _ in order]
        refs = dict(zip(order, add_inputs(builder, zip(names, types, strict=True)), strict=True))
        values = copy_values(builder, body, [refs[i, False] for i in range(len(body.inputs))])
        seeds = {i: ref for (i, is_tangent), ref in refs.items() if is_tangent}
        pushed = push(builder, body, values, seeds)
        numbers = [item.value for item in body.outputs]
        self.moving = [pushed[i] is not None for i in numbers]
        for k in parts.next:
            self.moving[k] = flags[parts.carries[k]]
        outputs: list[Ref] = []
        for group in (parts.next, parts.stacked, parts.sums):
            outputs += [values[numbers[k]] for k in group]
            outputs += [
                pushed[numbers[k]] or zeros(builder, values[numbers[k]].type)
                for k in group
                if self.moving[k]
            ]
        self.graph = build(builder, outputs)


# --- reverse --------------------------------------------------------------------------------------


def vjp(
    g: Sequence[Ref | None],
    active: Sequence[bool],
    z: Sequence[Ref],
    *operands: Ref,
    body: Graph,
    consts: int,
    carries: int,
    sums: int,
    length: int,
    reverse: bool,
    segment: int,
    slots: int,
) -> list[Ref | None]:
    """Cotangents of the operands."""
    builder = operands[0].builder
    parts = layout(body, consts, carries, sums)
    steps = steps_of([operands[i].type for i in parts.entries], length)
    counted = {"consts": consts, "carries": carries, "sums": sums, "reverse": reverse}
    if 1 < segment < steps and not slots:
        whole = segmented(body, [x.type for x in operands], steps, segment, counted)
        return _pulled_through(whole, g, active, z, operands)
    flags = active_inputs(body, parts.carries, active)
    seeded = [item is not None for item in g]
    reached = reached_carries(body, parts.carries, flags, seeded)
    keep = segment != 1 or slots > 0
    line = linearized(builder, body, parts, flags, seeded, reached, keep=keep, operands=operands)
    loop = Back(builder, body, parts, line, flags, reached, sums, reverse)
    if 0 < segment < steps and slots:
        found = scheduled(loop, g, z, operands, steps, segment, slots)
    else:
        kept, superseding = loop.forward(operands, length)
        if superseding:
            builder.supersede(z, superseding)
        found = loop.backward(g, z, operands, kept, steps)
    return [found.get(i) if flag else None for i, flag in enumerate(active)]


def _pulled_through(
    whole: Graph,
    g: Sequence[Ref | None],
    active: Sequence[bool],
    z: Sequence[Ref],
    operands: Sequence[Ref],
) -> list[Ref | None]:
    """Cotangents by way of a graph that computes the same."""
    builder = operands[0].builder
    values = copy_values(builder, whole, operands)
    numbers = [item.value for item in whole.outputs]
    builder.supersede(z, [values[i] for i in numbers])
    wanted = [i for i, flag in enumerate(active) if flag]
    pulled = pull(builder, whole, values, _seeds(numbers, g), wanted)
    found = dict(zip(wanted, pulled, strict=True))
    return [found.get(i) for i in range(len(operands))]


def _seeds(numbers: Sequence[int], g: Sequence[Ref | None]) -> dict[int, Ref]:
    """Cotangents by value; where two outputs are one value, their sum."""
    seeds: dict[int, Ref] = {}
    for i, cotangent in zip(numbers, g, strict=True):
        if cotangent is not None:
            seeds[i] = seeds[i] + cotangent if i in seeds else cotangent
    return seeds
