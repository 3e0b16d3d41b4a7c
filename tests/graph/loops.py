"""Loops for tests: bodies drawn at random, and the same loops written out step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from pullback_graph.builder import Builder, copy_values
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref, do
from pullback_graph.types import FLOAT64, ArrayType

UNARY = ("sin", "tanh", "sigmoid", "square", "negative")
BINARY = ("add", "subtract", "multiply", "maximum")
VECTOR, SCALAR = ArrayType(FLOAT64, (3,)), ArrayType(FLOAT64, ())


@st.composite
def bodies(draw: st.DrawFn) -> Graph:
    """A body of one constant, two carries and one entry: next carries, an entry, a term."""
    builder = Builder()
    values = [
        builder.input("a", SCALAR),
        builder.input("h", VECTOR),
        builder.input("c", SCALAR),
        builder.input("x", VECTOR),
    ]
    for _ in range(draw(st.integers(0, 8))):
        pick = st.integers(0, len(values) - 1)
        if draw(st.booleans()):
            values.append(getattr(do, draw(st.sampled_from(UNARY)))(values[draw(pick)]))
        else:
            one, other = values[draw(pick)], values[draw(pick)]
            values.append(do.tanh(getattr(do, draw(st.sampled_from(BINARY)))(one, other)))
    some = st.sampled_from(values)
    outputs = [_vector(draw(some)), _scalar(draw(some)), draw(some), draw(some)]
    return builder.build({f"r{i}": ref for i, ref in enumerate(outputs)}, prune=False)


def _vector(x: Ref) -> Ref:
    return x if x.shape else do.broadcast_to(x, shape=(3,))


def _scalar(x: Ref) -> Ref:
    return do.sum(x, axes=(0,), keepdims=False) if x.shape else x


def scanned(body: Graph, steps: int, **attributes: Any) -> Graph:
    """The sum of squares of all that a scan of such a body gives."""
    builder = Builder()
    inputs = _inputs(builder, steps)
    results = builder.add("scan", *inputs, body=body, consts=1, carries=2, sums=1, **attributes)
    return builder.build({"s": _squares(results)})


def unrolled(body: Graph, steps: int, *, reverse: bool = False) -> Graph:
    """The same without a loop."""
    builder = Builder()
    a, h, c, x = _inputs(builder, steps)
    entries: dict[int, Ref] = {}
    total: Ref | None = None
    for i in reversed(range(steps)) if reverse else range(steps):
        entry = do.squeeze(do.slice(x, starts=(i, 0), stops=(i + 1, 3), steps=(1, 1)), axes=(0,))
        values = copy_values(builder, body, [a, h, c, entry])
        h, c, entries[i], term = [values[item.value] for item in body.outputs]
        total = term if total is None else total + term
    assert total is not None, "a step or more"
    stacked = do.stack(*[entries[i] for i in range(steps)], axis=0)
    return builder.build({"s": _squares([h, c, stacked, total])})


def _inputs(builder: Builder, steps: int) -> list[Ref]:
    return [
        builder.input("a", SCALAR),
        builder.input("h", VECTOR),
        builder.input("c", SCALAR),
        builder.input("x", ArrayType(FLOAT64, (steps, 3))),
    ]


def _squares(results: Sequence[Ref]) -> Ref:
    terms = [do.sum(do.square(z), axes=tuple(range(len(z.shape))), keepdims=False) for z in results]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def point(steps: int, seed: int = 0) -> list[np.ndarray[Any, Any]]:
    """Arrays for the inputs."""
    rng = np.random.default_rng(seed)
    shapes: list[tuple[int, ...]] = [(), (3,), (), (steps, 3)]
    return [np.asarray(rng.normal(size=shape)) for shape in shapes]
