"""Estimated memory of one evaluation: the largest sum of values alive at once."""

from __future__ import annotations

from pullback_graph.graph import Graph


def last_uses(graph: Graph) -> list[int]:
    """Per value, the position of the last node reading it; the node count for outputs, else -1."""
    last = [-1] * len(graph.types)
    for position, node in enumerate(graph.nodes):
        for index in node.operands:
            last[index] = position
    for output in graph.outputs:
        last[output.value] = len(graph.nodes)
    return last


def held_bytes(graph: Graph) -> int:
    """Bytes of inputs and constants, which are there throughout."""
    return sum(t.size_bytes for t in graph.types[: len(graph.inputs) + len(graph.constants)])


def profile(graph: Graph) -> list[int]:
    """Bytes alive while each node runs, when every value is freed after its last use.

    Inputs and constants count throughout; views are counted as if they were copies, so this is an
    upper bound for an executor that allocates nothing else than what rows state as `scratch`.
    """
    types, last = graph.types, last_uses(graph)
    alive = held_bytes(graph)
    held = len(graph.inputs) + len(graph.constants)
    found = []
    for position, (first, node) in enumerate(zip(graph.first_results, graph.nodes, strict=True)):
        alive += sum([t.size_bytes for t in node.types])
        scratch = node.op.scratch
        operands = [types[i] for i in node.operands] if scratch else []
        found.append(alive + (scratch(operands, **node.attributes) if scratch else 0))
        for index in {*node.operands, *range(first, first + len(node.types))}:
            if index >= held and last[index] <= position:
                alive -= types[index].size_bytes
    return found


def peak_bytes(graph: Graph) -> int:
    """Bytes alive at the fullest moment; see `profile`."""
    return max(profile(graph), default=held_bytes(graph))
