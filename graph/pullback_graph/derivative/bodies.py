"""Parts of bodies: inputs of distinct names, and what of a graph some of its values need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pullback_graph.builder import Builder, distinct
from pullback_graph.derivative.activity import active_values
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref
from pullback_graph.types import ArrayType


def add_inputs(builder: Builder, wanted: Iterable[tuple[str, ArrayType]]) -> list[Ref]:
    """Inputs of a builder that has none, in order; a name that is taken gets a mark."""
    pairs = list(wanted)
    names = distinct([name for name, _ in pairs])
    return [builder.input(name, type) for name, (_, type) in zip(names, pairs, strict=True)]


def build(builder: Builder, outputs: Sequence[Ref]) -> Graph:
    """The graph of a body that gives these values, in order."""
    return builder.build([(f"r{i}", ref) for i, ref in enumerate(outputs)])


def as_tuple(results: Any) -> tuple[Ref, ...]:
    """The results of a node, one or several."""
    return results if isinstance(results, tuple) else (results,)


def replay_needed(
    builder: Builder, graph: Graph, known: Mapping[int, Ref], wanted: Sequence[int]
) -> list[Ref]:
    """Replay of `graph` what `wanted` needs beyond the `known`; the wanted values.

    Args:
        known: values by number; every input that is needed is among them.
    """
    needed = needed_nodes(graph, wanted, known)
    refs = dict(known)
    held = len(graph.inputs)
    for position in needed:
        node, first = graph.nodes[position], graph.first_results[position]
        for i in node.operands:
            if i not in refs:
                refs[i] = builder.constant(graph.constants[i - held])
        numbers = builder.replay(node, tuple([refs[i].index for i in node.operands]))
        refs.update((first + k, Ref(builder, number)) for k, number in enumerate(numbers))
    for i in wanted:
        if i not in refs:
            refs[i] = builder.constant(graph.constants[i - held])
    return [refs[i] for i in wanted]


def needed_nodes(graph: Graph, wanted: Iterable[int], known: Iterable[int] = ()) -> list[int]:
    """Positions, ascending, of the nodes that values need where the `known` ones are at hand."""
    stop = set(known)
    live = set(wanted) - stop
    found = []
    for position in range(len(graph.nodes) - 1, -1, -1):
        node, first = graph.nodes[position], graph.first_results[position]
        if any([first + k in live for k in range(len(node.types))]):
            found.append(position)
            live.update([i for i in node.operands if i not in stop])
    return found[::-1]


def dependent(graph: Graph, inputs: Iterable[int]) -> list[bool]:
    """Per value, whether it depends on one of these inputs in any way."""
    flags = [False] * len(graph.types)
    for i in inputs:
        flags[i] = True
    for first, node in zip(graph.first_results, graph.nodes, strict=True):
        if any([flags[i] for i in node.operands]):
            flags[first : first + len(node.types)] = [True] * len(node.types)
    return flags


def active_inputs(body: Graph, carries: range, given: Sequence[bool]) -> list[bool]:
    """Per input of a loop's body, whether it carries a derivative at some step.

    Args:
        carries: positions of the carries among the inputs; the first outputs are their next values.
        given: per input, whether it does at the first step (a constant: at each).
    """
    flags = [flag and item.type.is_floating for flag, item in zip(given, body.inputs, strict=True)]
    while True:
        active = active_values(body, [i for i, flag in enumerate(flags) if flag])
        grown = [i for k, i in enumerate(carries) if active[body.outputs[k].value] and not flags[i]]
        if not grown:
            return flags
        for i in grown:
            flags[i] = True


def reached_carries(
    body: Graph, carries: range, flags: Sequence[bool], seeded: Sequence[bool]
) -> list[int]:
    """Which carries (by their order) have a cotangent at some step.

    Args:
        flags: per input, whether it carries a derivative.
        seeded: per output, whether a cotangent comes to it from outside.
    """
    active = active_values(body, [i for i, flag in enumerate(flags) if flag])
    values = [item.value for item in body.outputs]
    reached = {k for k in range(len(carries)) if seeded[k] and flags[carries[k]]}
    while True:
        roots = {values[k] for k in reached}
        roots |= {values[k] for k in range(len(carries), len(values)) if seeded[k]}
        live = {v for v in roots if active[v]}
        for position in needed_nodes(body, live):
            live.update([i for i in body.nodes[position].operands if active[i]])
        found = {k for k, i in enumerate(carries) if i in live and flags[i]} | reached
        if found == reached:
            return sorted(reached)
        reached = found
