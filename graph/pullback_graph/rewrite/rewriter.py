"""Looks at each node before it is added: folds constants, applies the rules, drops broadcasts.

Used as a Builder's `rewrite`, so that a graph is simplified while it is built; common
subexpressions are the builder's `reuse`, dead code its `prune`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from pullback_graph.builder import Builder, Rewrite, copy_inputs, copy_values
from pullback_graph.graph import Graph
from pullback_graph.op import Op, Partials
from pullback_graph.ref import Ref, apply
from pullback_graph.rewrite.rules import RULES
from pullback_graph.types import ArrayType

Fold: TypeAlias = Callable[[Op, Sequence["np.ndarray[Any, Any]"], Mapping[str, Any]], Sequence[Any]]
"""Evaluates one node on constant operands: `(op, arrays, attributes)` -> result arrays."""

MAX_FOLDED_BYTES = 64 * 1024
"""Folding never makes a constant larger than this."""

MAX_FOLDED_WORK = 1e7
"""Nor does it take more operations, or move more bytes: results may be small and work large."""


def simplify(graph: Graph, fold: Fold | None = None) -> Graph:
    """The graph without dead or repeated nodes, constants folded, rules applied.

    Inputs and outputs keep their names, order and types. Simplifying again changes nothing more
    than one sweep can see.
    """
    builder = Builder(reuse=True, rewrite=rewriter(fold))
    values = copy_values(builder, graph, copy_inputs(builder, graph))
    return builder.build([(item.name, values[item.value]) for item in graph.outputs])


def rewriter(fold: Fold | None = None) -> Rewrite:
    """The rewrite hook of a simplifying builder."""
    simplified: dict[str, Graph] = {}

    def rewrite(
        builder: Builder, op: Op, operands: tuple[int, ...], attributes: Mapping[str, Any]
    ) -> Ref | tuple[Ref, ...] | None:
        if op.graphs:
            return _with_simple_bodies(builder, op, operands, attributes, simplified)
        if fold is not None:
            folded = _folded(builder, op, operands, attributes, fold)
            if folded is not None:
                return folded
        rules = RULES.get(op.name)
        if rules is not None:
            refs = [Ref(builder, i) for i in operands]
            for rule in rules:
                replacement = rule(*refs, **attributes)
                if replacement is not None and _fits(builder, op, refs, attributes, replacement):
                    return replacement
        if type(op.derivative) is Partials and len(operands) > 1:
            return _without_broadcast(builder, op, operands, attributes)
        return None

    return rewrite


def _with_simple_bodies(
    builder: Builder,
    op: Op,
    operands: tuple[int, ...],
    attributes: Mapping[str, Any],
    simplified: dict[str, Graph],
) -> tuple[Ref, ...] | None:
    """The node with its subgraphs simplified; None where they are."""

    def simple(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple([simple(item) for item in value])
        return None if value is None else _simple_body(builder, value, simplified)

    bodies = {name: simple(attributes[name]) for name in op.graphs}
    if all([attributes[name] == body for name, body in bodies.items()]):
        return None
    numbers = builder.append(op, operands, {**attributes, **bodies})
    return tuple([Ref(builder, number) for number in numbers])


def _simple_body(builder: Builder, body: Graph, simplified: dict[str, Graph]) -> Graph:
    """A subgraph simplified as the graph around it is; one that was before is done."""
    found = simplified.get(body.fingerprint)
    if found is None:
        inner = builder.inner()
        values = copy_values(inner, body, copy_inputs(inner, body))
        found = inner.build([(item.name, values[item.value]) for item in body.outputs])
        simplified[body.fingerprint] = simplified[found.fingerprint] = found
    return found


def _result_type(builder: Builder, op: Op, operands: Sequence[int], attributes: Any) -> Any:
    return op.type(*[builder.types[i] for i in operands], **attributes)


def _fits(
    builder: Builder, op: Op, refs: list[Ref], attributes: Mapping[str, Any], replacement: Ref
) -> bool:
    """Whether the replacement has the very type the node would have."""
    wanted = _result_type(builder, op, [ref.index for ref in refs], attributes)
    return bool(replacement.type == wanted)


def _folded(
    builder: Builder, op: Op, operands: tuple[int, ...], attributes: Mapping[str, Any], fold: Fold
) -> Ref | None:
    """The node's result as a constant, where all operands are constants and it stays small."""
    arrays = []
    for index in operands:
        array = builder.constant_value(index)
        if array is None:
            return None
        arrays.append(array)
    types = _result_type(builder, op, operands, attributes)
    if type(types) is not ArrayType or types.size_bytes > MAX_FOLDED_BYTES:
        return None
    if types.size > max((array.size for array in arrays), default=types.size) and types.size > 1:
        return None  # a broadcast is cheaper left as it is
    cost = op.cost([builder.types[i] for i in operands], (types,), **attributes)
    if max(cost.flops, cost.size_bytes) > MAX_FOLDED_WORK:
        return None
    (result,) = fold(op, arrays, attributes)
    return builder.constant(np.asarray(result, types.dtype).reshape(types.shape))


def _without_broadcast(
    builder: Builder, op: Op, operands: tuple[int, ...], attributes: Mapping[str, Any]
) -> Ref | None:
    """An elementwise node on what its operands were before an explicit broadcast, where it fits."""
    sources = tuple([_broadcast_source(builder, i) for i in operands])
    if sources == operands:
        return None
    wanted = _result_type(builder, op, operands, attributes)
    chosen = list(operands)
    for position, source in enumerate(sources):
        trial = [*chosen[:position], source, *chosen[position + 1 :]]
        if source != chosen[position] and (_result_type(builder, op, trial, attributes) == wanted):
            chosen = trial
    if tuple(chosen) == operands:
        return None
    result: Ref = apply(op.name, *[Ref(builder, i) for i in chosen], **attributes)
    return result


def _broadcast_source(builder: Builder, index: int) -> int:
    node = builder.node(index)
    return node.operands[0] if node is not None and node.op.name == "broadcast_to" else index
