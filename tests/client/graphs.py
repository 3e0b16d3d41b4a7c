"""Small graphs that the client's tests send."""

from __future__ import annotations

from pullback_graph.builder import Builder
from pullback_graph.graph import Graph
from pullback_graph.ref import do
from pullback_graph.types import FLOAT64, ArrayType


def square(size: int | None = None) -> Graph:
    """y = x * x, of a scalar or of a vector's elements, summed."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, () if size is None else (size,)))
    y = x * x
    return builder.build({"y": y if size is None else do.sum(y, axes=(0,), keepdims=False)})


def scaled(factor: float) -> Graph:
    """y = factor * x: another graph for each factor."""
    builder = Builder()
    return builder.build({"y": builder.input("x", ArrayType(FLOAT64, ())) * factor})


def product() -> Graph:
    """y = a * b, of scalars."""
    builder = Builder()
    a, b = (builder.input(name, ArrayType(FLOAT64, ())) for name in "ab")
    return builder.build({"y": a * b})
