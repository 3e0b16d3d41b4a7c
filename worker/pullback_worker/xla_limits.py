"""What compiling with XLA takes, as measured: how long by nodes, and where to stop.

On two cores of 2020s servers, gradients of unrolled graphs: 0.2 s for 100 nodes, about 1 ms a node
up to 1,000, 1 to 3 ms up to 3,000; beyond, fused loops grow faster than graphs do: one of 5,700
nodes took 14 s told to fuse less, and over a minute untold; one of 16,000 was not done in a minute.
"""

from __future__ import annotations

from pullback_graph.graph import Graph

MOST_NODES = 4096
"""Larger graphs are refused: nothing can stop a compiler once it runs."""
MOST_PROMOTED_NODES = 2048
"""Larger ones stay on NumPy unless XLA was asked for."""
LESS_FUSED_NODES = 1024
"""Larger ones are compiled with less fusion, which takes a third of the time and runs as fast."""
BASE_S = 0.15
NODE_S = 1e-3
NODES_DOUBLING = 2048
CALL_S = 12e-6
"""Of a call of a compiled program, for the smallest."""
ARRAY_S = 1.5e-6
"""More for each array in and out."""
PROGRAM_BYTES = 1 << 19
NODE_BYTES = 14 << 10
"""About what a compiled program takes in memory, and more for each node."""


def compile_seconds(nodes: int) -> float:
    """About what compiling a graph of so many nodes takes, subgraphs' included."""
    return BASE_S + NODE_S * nodes * (1.0 + nodes / NODES_DOUBLING)


def call_seconds(arrays: int) -> float:
    """About the least a call takes, of a program of so many inputs and outputs."""
    return CALL_S + ARRAY_S * arrays


def held_bytes(graph: Graph) -> int:
    """About what a graph's program keeps alive: code, what JAX knows of it, and constants."""
    constants_bytes = sum(array.nbytes for array in graph.constants)
    return PROGRAM_BYTES + NODE_BYTES * graph.node_count + constants_bytes
