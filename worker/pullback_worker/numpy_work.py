"""What a graph asks of a machine on NumPy: amounts of work by unit, to be priced by measured rates.

A unit is a row's work in one dtype, a row's calls, or memory traffic; no row is named here. Seconds
are the sum of amount times rate, so rates measured on rows price graphs that nobody ran.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from pullback_graph import memory
from pullback_graph.graph import Graph, Node, bodies_of
from pullback_graph.op import Cost
from pullback_graph.ops.rules import broadcast_axes
from pullback_graph.types import ArrayType
from pullback_worker.buffer_reuse import overwritten
from pullback_worker.elementwise_chains import chained, live_in, live_out, written_over
from pullback_worker.inner_loops import inner_loops
from pullback_worker.numpy_kernels import NUMPY
from pullback_worker.registers import Registers

MEMORY = "memory bytes"
"""Read or written, of arrays that no near cache holds."""
HELD = "held memory bytes"
"""The same of what a graph made just before, where a last cache may hold all that it works on."""
CROWDED = "crowded memory bytes"
"""The same while another thread reads from memory as well; no graph has it among its work."""
THIN_MEMORY = "thin memory bytes"
"""Read by products with a vector, row after row: no processor sees far ahead in that."""
LOOPS = "loops"
"""Inner loops of elementwise rows, which take the same in all of them."""
STEPS = "steps"
"""Of loops: what each takes besides the nodes of its body."""
FRESH = "fresh bytes"
"""Of arrays that the system hands out anew, page by page."""
LEAST_MEMORY_BYTES = 1 << 19
"""Arrays from this size on come from memory; elementwise nodes on such run in chains."""
THIN = 0.75
"""FLOPs per byte up to which two arrays are multiplied as fast as they are read."""
MOST_HELD_BYTES = 64 << 20
"""What a graph works on at once, of which a server's last cache may hold the most."""
LEAST_FRESH_BYTES = 32 << 20
"""Arrays from this size on never take memory that was used before; see the actor's environment."""

Work: TypeAlias = "Mapping[str, float]"
"""Amounts by unit."""


def work_of(graph: Graph) -> Work:
    """The work of one evaluation; time linear in the nodes, those of subgraphs included."""
    work: dict[str, float] = defaultdict(float)
    _add(work, graph, 1.0)
    return dict(work)


def row_unit(node: Node, operands: Sequence[ArrayType]) -> str:
    """The unit of a node's own work, in the dtype of what it computes with."""
    types = operands or node.types
    floating = [type.dtype for type in types if type.dtype.kind in "fc"]
    return f"{node.op.name} {(floating or [types[0].dtype])[0]}"


def bytes_unit(node: Node, operands: Sequence[ArrayType]) -> str:
    """The unit of what it reads and writes, where its FLOPs are another matter."""
    return f"{row_unit(node, operands)} bytes"


def thin_unit(node: Node, operands: Sequence[ArrayType]) -> str:
    """The unit of bytes of a product that is nothing but read: of a matrix and a vector."""
    return f"{row_unit(node, operands)} thin"


def is_thin(node: Node, operands: Sequence[ArrayType], cost: Cost) -> bool:
    """Whether a node multiplies what is no vector with one: few FLOPs a byte, no inner loops."""
    if node.op.axes is broadcast_axes or len(operands) != 2 or not cost.flops:
        return False
    if min([type.rank for type in operands]) != 1 or max([type.rank for type in operands]) < 2:
        return False
    alike = operands[0].dtype == operands[1].dtype and operands[0].dtype.kind in "fc"
    return alike and cost.flops <= THIN * cost.size_bytes and not inner_loops(node, operands)[1]


def loops_unit(node: Node, kind: str) -> str:
    """The unit of the inner loops it starts, of a kind."""
    return LOOPS if node.op.axes is broadcast_axes else f"{node.op.name} {kind} {LOOPS}"


def call_unit(node: Node) -> str:
    """The unit of a node's calls."""
    return f"{node.op.name} calls"


def scalar_call_unit(node: Node) -> str:
    """The unit of a node's calls on scalars that a loop or a branch makes."""
    return f"{node.op.name} scalar calls"


def amount_of(node: Node, cost: Cost) -> float:
    """How much of its row's work a node does: elements where it broadcasts, else FLOPs."""
    return float(node.types[0].size if node.op.axes is broadcast_axes else cost.flops)


def node_work(node: Node, operands: Sequence[ArrayType], cost: Cost) -> dict[str, float]:
    """The work of one call of a node without subgraphs, on operands that are near.

    Bytes are work besides FLOPs where it does not broadcast: a matrix has n² of them, and n³.
    Products with a vector have bytes alone, as each is read for two FLOPs.
    """
    work = {call_unit(node): 1.0}
    if is_thin(node, operands, cost):
        return work | {thin_unit(node, operands): cost.size_bytes}
    amount, size_bytes = amount_of(node, cost), cost.size_bytes
    if amount:
        work[row_unit(node, operands)] = amount
    if size_bytes and node.op.axes is not broadcast_axes:
        work[bytes_unit(node, operands)] = size_bytes
    kind, loops = inner_loops(node, operands) if amount or size_bytes else ("", 0)
    if loops:
        work[loops_unit(node, kind)] = float(loops)
    return work


def _add(work: dict[str, float], graph: Graph, times: float, inside: bool = False) -> None:
    """Add the work of so many evaluations.

    Args:
        inside: whether the graph is a body, whose scalars are not arrays.
    """
    types = graph.types
    for node, cost in zip(graph.nodes, graph.node_costs, strict=True):
        operands = [types[i] for i in node.operands]
        if node.op.graphs:
            work[call_unit(node)] += times
            _add_bodies(work, node, cost, times)
        elif inside and not any([type.shape for type in (*operands, *node.types)]):
            work[scalar_call_unit(node)] += times
        else:
            for unit, amount in node_work(node, operands, cost).items():
                work[unit] += times * amount
    for unit, size_bytes in _traffic(graph).items():
        work[unit] += times * size_bytes


def _add_bodies(work: dict[str, float], node: Node, cost: Cost, times: float) -> None:
    """Add the work of a loop's or a branch's bodies, as often as its own calls say."""
    bodies = bodies_of(node)
    calls = sum([body.cost.calls for body in bodies])
    steps = times * cost.calls / max(calls, 1.0)
    work[STEPS] += steps
    for body in bodies:
        _add(work, body, steps, inside=True)


def _traffic(graph: Graph) -> Counter[str]:
    """Bytes to and from memory; what passes inside a chain of elementwise nodes stays near."""
    traffic: Counter[str] = Counter()
    if max([type.size_bytes for type in graph.types], default=0) < LEAST_MEMORY_BYTES:
        return traffic
    functions = [node.op.run(NUMPY, **node.attributes) for node in graph.nodes]
    made = chained(graph, functions, LEAST_MEMORY_BYTES)
    if made is not None:
        graph, functions = made.graph, [functions[position] for position in made.positions]
    registers = Registers(graph)
    targets = overwritten(graph, functions, registers, LEAST_MEMORY_BYTES)
    held_from = _first_held(graph)
    inside = set[int]()
    for span in made.spans if made is not None else ():
        inside.update(range(span.start, span.stop))
        results = live_out(graph, registers.last, span)
        over = written_over(graph, registers.last, span, targets)
        _move(traffic, graph, (*live_in(graph, span), *results), held_from)
        _hand_out(traffic, graph, [v for v, at in zip(results, over, strict=True) if at < 0])
    for position, (node, cost) in enumerate(zip(graph.nodes, graph.node_costs, strict=True)):
        if position not in inside and cost.size_bytes:
            first = graph.first_results[position]
            results = list(range(first, first + len(node.types)))
            thin = is_thin(node, [graph.types[i] for i in node.operands], cost)
            far = THIN_MEMORY if thin else MEMORY
            _move(traffic, graph, (*node.operands, *results), held_from, far)
            _hand_out(traffic, graph, results if targets[position] < 0 else ())
    return traffic


def _first_held(graph: Graph) -> int:
    """The first value that a cache may still hold when it is read; all after it are such."""
    small = memory.peak_bytes(graph) <= MOST_HELD_BYTES
    return len(graph.inputs) + len(graph.constants) if small else len(graph.types)


def _move(
    traffic: Counter[str],
    graph: Graph,
    values: Iterable[int],
    held_from: int,
    far: str = MEMORY,
) -> None:
    """Count what is read and written of values: what no cache holds, by its unit."""
    for value in values:
        size_bytes = graph.types[value].size_bytes
        if size_bytes >= LEAST_MEMORY_BYTES:
            traffic[HELD if value >= held_from else far] += size_bytes


def _hand_out(traffic: Counter[str], graph: Graph, values: Iterable[int]) -> None:
    """Count values for which there is no memory yet."""
    sizes = [graph.types[value].size_bytes for value in values]
    traffic[FRESH] += sum([size for size in sizes if size >= LEAST_FRESH_BYTES])
