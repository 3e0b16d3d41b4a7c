"""Random graphs that mix ufuncs, views, copies, reductions and constants, with shared values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from pullback_graph.builder import Builder
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref, do
from pullback_graph.types import FLOAT64, ArrayType

Draw = Callable[[st.SearchStrategy[Any]], Any]
SHAPES = ((3,), (2, 3), (3, 2), (), (2, 1), (0, 3))


def _one_axis(x: Ref) -> tuple[int, ...]:
    return tuple(range(len(x.shape)))[-1:]


def _every_other(x: Ref) -> Ref:
    rank = len(x.shape)
    sliced: Ref = do.slice(x, starts=(0,) * rank, stops=x.shape, steps=(2,) * rank)
    return sliced


UNARY: tuple[Callable[[Ref], Ref], ...] = (
    lambda x: -x,
    do.sin,
    do.exp,
    do.sigmoid,
    do.positive,
    lambda x: do.astype(x, dtype="float64"),
    lambda x: do.reshape(x, shape=tuple(reversed(x.shape))),
    lambda x: do.permute_dims(x, axes=tuple(reversed(range(len(x.shape))))),
    lambda x: do.flip(x, axes=_one_axis(x)),
    lambda x: do.expand_dims(x, axes=(0,)) if len(x.shape) < 3 else x,
    lambda x: do.broadcast_to(x, shape=(2, *x.shape)) if len(x.shape) < 3 else x,
    lambda x: do.sum(x, axes=_one_axis(x), keepdims=True),
    lambda x: do.concat(x, x, axis=0) if x.shape and x.type.size < 100 else x,
    lambda x: do.roll(x, shifts=(1,) * len(_one_axis(x)), axes=_one_axis(x)),
    _every_other,
)
BINARY: tuple[Callable[[Ref, Ref], Ref], ...] = (
    lambda x, y: x + y,
    lambda x, y: x * y,
    lambda x, y: x / y,
    do.maximum,
    lambda x, y: do.where(x < y, x, y),
)


@st.composite
def graphs(draw: Draw, max_nodes: int = 25) -> Graph:
    """A graph of float64 values; outputs may be inputs, constants, views, or given twice."""
    builder = Builder()
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3))
    refs = [builder.input(f"x{i}", ArrayType(FLOAT64, s)) for i, s in enumerate(shapes)]
    refs += [
        builder.constant(rng.uniform(-1, 1, shape))
        for shape in draw(st.lists(st.sampled_from(SHAPES), max_size=2))
    ]
    for _ in range(draw(st.integers(1, max_nodes))):
        refs.append(_next(draw, refs))
    chosen = draw(st.lists(st.integers(0, len(refs) - 1), min_size=1, max_size=5))
    outputs = [refs[-1], *[refs[i] for i in chosen]]
    return builder.build([(f"z{i}", ref) for i, ref in enumerate(outputs)])


def _next(draw: Draw, refs: list[Ref]) -> Ref:
    """A new value from one or two before it, recent ones more often."""
    recent = refs[-4:] if draw(st.booleans()) else refs
    x = draw(st.sampled_from(recent))
    partners = [y for y in refs if y.shape == x.shape]
    if draw(st.booleans()):
        binary = draw(st.sampled_from(BINARY))
        both: Ref = binary(x, draw(st.sampled_from(partners)))
        return both
    one: Ref = draw(st.sampled_from(UNARY))(x)
    return one


def operands(graph: Graph, seed: int = 0) -> list[np.ndarray]:
    """Inputs for a graph, read-only, one in Fortran order where it can be."""
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(rng.uniform(-2, 2, item.type.shape)) for item in graph.inputs]
    arrays[-1] = np.array(arrays[-1], order="F")
    for array in arrays:
        array.flags.writeable = False
    return arrays
