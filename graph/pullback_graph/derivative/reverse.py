"""The reverse pass: walk nodes from the outputs to the inputs, finishing each adjoint once.

A node's adjoint is the sum, over the nodes that use it, of their adjoint times the local derivative
(Griewank & Walther 2008, section 3.2). The pass names no operator: rules come from the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pullback_graph.builder import Builder
from pullback_graph.derivative.activity import active_values
from pullback_graph.derivative.linear_space import flow_into, reduced_to, total, zeros
from pullback_graph.derivative.located import undefined_at
from pullback_graph.graph import Graph, Node
from pullback_graph.op import Both, JointTranspose, Partials, Transpose, Undefined
from pullback_graph.ref import Ref


def pull(
    builder: Builder,
    graph: Graph,
    values: Sequence[Ref],
    seeds: Mapping[int, Ref],
    wrt: Sequence[int],
) -> list[Ref | None]:
    """Pull cotangents of some values of `graph` back to others, adding the nodes to `builder`.

    Args:
        values: the Ref in `builder` of every value of `graph`, by number.
        seeds: cotangents by value number, each of its value's type.
        wrt: numbers of the values whose adjoints are wanted.

    Returns:
        An adjoint per entry of `wrt`; None where no seeded value depends on it.

    Raises:
        NotDifferentiable: a row without a derivative is on the path.
    """
    active = active_values(graph, wrt)
    flowing: dict[int, list[Ref]] = {}
    for index, seed in seeds.items():
        flow_into(flowing, index, seed)
    adjoints: dict[int, Ref] = {}
    wanted = set(wrt)
    positions = range(len(graph.nodes) - 1, -1, -1)
    builder.phase = "adjoint"
    for position, first in zip(positions, reversed(graph.first_results), strict=True):
        numbers = range(first, first + len(graph.nodes[position].types))
        if any([active[i] and i in flowing for i in numbers]):
            builder.position = position
            results = [_finish(builder, flowing, i) for i in numbers]
            found = zip(numbers, results, strict=True)
            adjoints.update((i, g) for i, g in found if g and i in wanted)
            _pass_on(builder, graph, values, active, flowing, results)
    builder.phase = ""
    for index in wrt:
        if index not in adjoints and index in flowing:
            builder.adjoints_finished += 1
            adjoints[index] = total(flowing[index])
    return [adjoints.get(index) for index in wrt]


def _pass_on(
    builder: Builder,
    graph: Graph,
    values: Sequence[Ref],
    active: Sequence[bool],
    flowing: dict[int, list[Ref]],
    results: list[Ref | None],
) -> None:
    """Let the finished adjoints of a node's results flow into its operands."""
    position = builder.position
    node, first = graph.nodes[position], graph.first_results[position]
    builder.adjoints_finished += 1
    if type(node.op.derivative) is Undefined:
        raise undefined_at(graph, position)
    z = [values[first + k] for k in range(len(results))]
    operands = [values[i] for i in node.operands]
    flags = [active[i] for i in node.operands]
    cotangents = _cotangents(node, results, z, operands, flags)
    for i, cotangent in zip(node.operands, cotangents, strict=True):
        if cotangent is not None and active[i]:
            flow_into(flowing, i, reduced_to(cotangent, values[i].shape))


def _finish(builder: Builder, flowing: dict[int, list[Ref]], index: int) -> Ref | None:
    """The finished adjoint of one value: the sum of what flowed into it."""
    contributions = flowing.pop(index, None)
    return None if contributions is None else total(contributions)


def _cotangents(
    node: Node,
    results: list[Ref | None],
    z: list[Ref],
    operands: list[Ref],
    active: list[bool],
) -> Sequence[Ref | None]:
    """A cotangent per operand (before un-broadcasting), by the kind of the row's derivative."""
    rule = node.op.derivative
    attributes = node.attributes
    g: Any = results[0]
    if type(rule) is Partials:
        return [
            partial(g, z[0], *operands, **attributes) if flag else None
            for partial, flag in zip(rule.maps, active, strict=True)
        ]
    if type(rule) is Transpose:
        return [
            transpose(g, *operands, **attributes) if flag and transpose else None
            for transpose, flag in zip(rule.transposes, active, strict=True)
        ]
    if type(rule) is JointTranspose:
        return rule.transpose(g, *operands, **attributes)
    assert type(rule) is Both, f"{node.op.name} has no derivative but carries one"
    if rule.selective:
        return rule.vjp(tuple(results), tuple(active), tuple(z), *operands, **attributes)
    if len(z) == 1:
        return rule.vjp(g, z[0], *operands, **attributes)
    filled = [g or zeros(r.builder, r.type) for g, r in zip(results, z, strict=True)]
    return rule.vjp(tuple(filled), tuple(z), *operands, **attributes)
