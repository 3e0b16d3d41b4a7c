"""The forward pass: carry tangents along the nodes, from the inputs to the outputs.

Griewank & Walther 2008, section 3.1. The pass names no operator: rules come from the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pullback_graph.builder import Builder
from pullback_graph.derivative.linear_space import broadcast_to, total, zeros
from pullback_graph.derivative.located import undefined_at
from pullback_graph.graph import Graph, Node
from pullback_graph.op import Both, JointTranspose, Partials, Transpose, Undefined, Zero
from pullback_graph.ref import Ref, apply


def push(
    builder: Builder, graph: Graph, values: Sequence[Ref], seeds: Mapping[int, Ref]
) -> list[Ref | None]:
    """Push tangents of some inputs of `graph` forward, adding the nodes to `builder`.

    Args:
        values: the Ref in `builder` of every value of `graph`, by number.
        seeds: tangents by value number, each of its value's type.

    Returns:
        A tangent per value of `graph`; None where it is zero.

    Raises:
        NotDifferentiable: a row without a derivative is on the path.
    """
    tangents: list[Ref | None] = [None] * len(values)
    for index, seed in seeds.items():
        tangents[index] = seed
    builder.phase = "tangent"
    for position, (first, node) in enumerate(zip(graph.first_results, graph.nodes, strict=True)):
        builder.position = position
        own = [tangents[i] for i in node.operands]
        if type(node.op.derivative) is Zero or not any([t is not None for t in own]):
            continue
        if not any([t.is_floating for t in node.types]):
            continue
        if type(node.op.derivative) is Undefined:
            raise undefined_at(graph, position)
        z = [values[first + k] for k in range(len(node.types))]
        operands = [values[i] for i in node.operands]
        for offset, tangent in enumerate(_tangents(builder, node, own, z, operands)):
            if tangent is not None and node.types[offset].is_floating:
                tangents[first + offset] = broadcast_to(tangent, z[offset].shape)
    builder.phase = ""
    return tangents


def _tangents(
    builder: Builder,
    node: Node,
    tangents: list[Ref | None],
    z: list[Ref],
    operands: list[Ref],
) -> Sequence[Ref | None]:
    """A tangent per result (before broadcasting), by the kind of the row's derivative."""
    rule = node.op.derivative
    attributes = node.attributes
    if type(rule) is Both:
        written = rule.jvp(
            tuple(tangents), z[0] if len(z) == 1 else tuple(z), *operands, **attributes
        )
        return written if isinstance(written, tuple) else (written,)
    if type(rule) is JointTranspose:
        linear = range(len(operands)) if rule.linear is None else rule.linear
        if all(tangents[i] is None for i in linear):
            return (None,)
        mixed: list[Ref] = list(operands)
        for i in linear:
            mixed[i] = tangents[i] or zeros(builder, operands[i].type)
        return (apply(node.op.name, *mixed, **attributes),)
    terms: list[Ref] = []
    for i, tangent in enumerate(tangents):
        term = None if tangent is None else _term(node, i, tangent, z, operands)
        if term is not None:
            terms.append(broadcast_to(term, z[0].shape))
    return (total(terms) if terms else None,)


def _term(node: Node, i: int, tangent: Ref, z: list[Ref], operands: list[Ref]) -> Ref | None:
    """What operand `i`'s tangent adds to the result's, for the two per-operand kinds of rule."""
    rule: Any = node.op.derivative
    if type(rule) is Partials:
        term: Ref = rule.maps[i](tangent, z[0], *operands, **node.attributes)
        return term
    assert type(rule) is Transpose
    if rule.transposes[i] is None:
        return None
    replaced = [*operands[:i], tangent, *operands[i + 1 :]]
    linear: Ref = apply(node.op.name, *replaced, **node.attributes)
    return linear
