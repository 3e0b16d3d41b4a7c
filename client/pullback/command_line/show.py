"""`pullback show`: a graph in its text form, its fingerprint, its cost, or in another file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from pullback.command_line import flags
from pullback.command_line.graph_file import read_graph
from pullback.command_line.wants import make_want
from pullback_graph.codec import encode_graph
from pullback_graph.derivative import lower
from pullback_graph.errors import RequestError
from pullback_graph.graph import Graph
from pullback_graph.text import to_text


def show(
    graph: flags.GraphFile,
    gradient: flags.Gradient = None,
    fingerprint: Annotated[
        bool, typer.Option("--fingerprint", help="Print the fingerprint alone.")
    ] = False,
    cost: Annotated[
        bool, typer.Option("--cost", help="Print FLOPs and bytes, by operator.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it: .pb serialised, else text."),
    ] = None,
) -> None:
    """Print a graph; with --gradient, the graph that is run for its gradient.

    pullback show loss.graph --gradient w --cost
    """
    shown = read_graph(graph)
    if gradient:
        shown = lower(shown, make_want(shown, None, gradient=gradient)).graph
    if output is not None:
        _write(output, shown)
    elif fingerprint:
        typer.echo(shown.fingerprint)
    elif cost:
        typer.echo(cost_text(shown))
    else:
        typer.echo(to_text(shown))


def cost_text(graph: Graph) -> str:
    """FLOPs and bytes of one evaluation: the sum, then by operator, the dearest first."""
    nodes: Counter[str] = Counter()
    flops: Counter[str] = Counter()
    size_bytes: Counter[str] = Counter()
    for node, cost in zip(graph.nodes, graph.node_costs, strict=True):
        nodes[node.op.name] += 1
        flops[node.op.name] += int(cost.flops)
        size_bytes[node.op.name] += int(cost.size_bytes)
    names = sorted(nodes, key=lambda name: (-flops[name], -size_bytes[name], name))
    rows = [(name, nodes[name], flops[name], size_bytes[name]) for name in names]
    total = ("all", nodes.total(), flops.total(), size_bytes.total())
    header = f"{'operator':<24}{'nodes':>10}{'FLOPs':>14}{'bytes':>14}"
    return "\n".join([header, *[f"{n:<24}{k:>10}{f:>14}{b:>14}" for n, k, f, b in [total, *rows]]])


def _write(path: Path, graph: Graph) -> None:
    serialised = path.suffix == ".pb"
    data = encode_graph(graph).SerializeToString() if serialised else to_text(graph).encode()
    try:
        path.write_bytes(data)
    except OSError as error:
        raise RequestError(f"{path} cannot be written: {error.strerror or error}") from None
