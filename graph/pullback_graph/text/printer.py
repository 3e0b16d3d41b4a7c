"""Graphs to text."""

from __future__ import annotations

from collections.abc import Sequence

from pullback_graph.graph import Graph, Node
from pullback_graph.subgraphs import Subgraphs, subgraphs
from pullback_graph.text.literals import constant_text, name_text, value_text
from pullback_graph.types import ArrayType

EXCERPT_NODES = 2
"""Nodes shown before, and after, the one at fault."""


def to_text(graph: Graph, *, abbreviate: bool = False) -> str:
    """The text of a graph, which `parse` reads back exactly.

    With `abbreviate`, constants of more than a few elements are shown by their size alone: shorter
    to read, but not to be parsed.
    """
    table = subgraphs(graph)
    texts = [
        f"@{position} = {_graph_text(body, table, abbreviate)}"
        for position, body in enumerate(table.graphs)
    ]
    return "\n".join([*texts, _graph_text(graph, table, abbreviate)])


def _graph_text(graph: Graph, table: Subgraphs, abbreviate: bool) -> str:
    names = _value_names(graph)
    inputs = ", ".join([f"{name_text(name)}: {type}" for name, type in graph.inputs])
    lines = [f"graph({inputs}) {{"]
    for number, array in enumerate(graph.constants, len(graph.inputs)):
        type = ArrayType(array.dtype, array.shape)
        literal = constant_text(array, abbreviate=abbreviate)
        lines.append(f"  {names[number]} = constant {type} {literal}")
    for first, node in zip(graph.first_results, graph.nodes, strict=True):
        lines.append(f"  {_node_text(node, first, names, table)}")
    outputs = [f"{name_text(name)} = {names[value]}" for name, value in graph.outputs]
    lines += [f"  return {', '.join(outputs)}", "}"]
    return "\n".join(lines) + "\n"


def excerpt(graph: Graph, node_index: int) -> str:
    """The node at fault, marked, among its neighbours; a line each, without a final newline."""
    names, table = _value_names(graph), subgraphs(graph)
    start = max(0, node_index - EXCERPT_NODES)
    stop = min(len(graph.nodes), node_index + EXCERPT_NODES + 1)
    lines = []
    for index in range(start, stop):
        mark = ">" if index == node_index else " "
        text = _node_text(graph.nodes[index], graph.first_results[index], names, table)
        lines.append(f"{mark} {_cut(text)}")
    return "\n".join(lines)


def _node_text(node: Node, first: int, names: Sequence[str], table: Subgraphs) -> str:
    results = ", ".join([names[first + k] for k in range(len(node.types))])
    arguments = [names[number] for number in node.operands]
    for name, value in node.attributes.items():
        if name not in node.op.graphs:
            arguments.append(f"{name}={value_text(value)}")
        elif value is not None:
            arguments.append(f"{name}={_places_text(table.at(value))}")
    types = ", ".join(map(str, node.types))
    return f"{results} = {node.op.name}({', '.join(arguments)}) : {types}"


def _places_text(places: int | tuple[int, ...]) -> str:
    """`@3`, or `(@0, @1)`; a tuple of one keeps its comma."""
    if isinstance(places, int):
        return f"@{places}"
    listed = ", ".join([f"@{place}" for place in places])
    return f"({listed},)" if len(places) == 1 else f"({listed})"


def _value_names(graph: Graph) -> list[str]:
    """How each value is referred to, by number."""
    names = [name_text(name) for name in graph.input_names]
    return names + [f"%{number}" for number in range(len(names), len(graph.types))]


def _cut(text: str, characters: int = 160) -> str:
    return text if len(text) <= characters else text[: characters - 3] + "..."
