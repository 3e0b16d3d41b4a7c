"""Shards of random graphs: whatever the planner cuts computes what one task computes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pullback_graph.builder import Builder
from pullback_graph.derivative import lower
from pullback_graph.errors import RequestError
from pullback_graph.graph import Graph
from pullback_graph.job import Options, Split
from pullback_graph.ref import Ref, do
from pullback_graph.types import FLOAT64, INT64, ArrayType
from pullback_graph.want import Gradient
from pullback_server.planner import make_plan
from pullback_worker.numpy_executor import NumpyExecutor, fold
from tests.server.plan_interpreter import run_plan

ROWS, COLUMNS = 6, 3
Step = Callable[[Ref], Ref]


def _mixed(x: Ref) -> Ref:
    """A value back to at most two axes of bounded size, so that steps compose."""
    return x if x.type.size <= 200 and len(x.shape) <= 2 else do.sum(x, axes=(0,), keepdims=False)


STEPS: dict[str, Step] = {
    "sin": do.sin,
    "square": do.square,
    "negative": lambda x: -x,
    "sum first": lambda x: do.sum(x, axes=(0,), keepdims=False) if x.shape else x,
    "sum last, kept": lambda x: (
        do.sum(x, axes=(len(x.shape) - 1,), keepdims=True) if x.shape else x
    ),
    "max first": lambda x: do.max(x, axes=(0,), keepdims=True) if x.shape else x,
    "cumsum first": lambda x: do.cumsum(x, axis=0) if x.shape else x,
    "cumsum last": lambda x: do.cumsum(x, axis=len(x.shape) - 1) if x.shape else x,
    "transpose": lambda x: do.permute_dims(x, axes=tuple(range(len(x.shape)))[::-1]),
    "flatten": lambda x: do.reshape(x, shape=(x.type.size,)),
    "expand": lambda x: do.expand_dims(x, axes=(0,)) if len(x.shape) < 2 else x,
    "flip first": lambda x: do.flip(x, axes=(0,)) if x.shape else x,
    "head": lambda x: (
        do.slice(x, starts=(0,) * len(x.shape), stops=(1, *x.shape[1:]), steps=(1,) * len(x.shape))
        if x.shape
        else x
    ),
    "broadcast": lambda x: do.broadcast_to(x, shape=(2, *x.shape)) if len(x.shape) < 2 else x,
    "pair": lambda x: do.concat(x, do.cos(x), axis=0) if x.shape else x,
    "gram": lambda x: do.matmul(x, do.permute_dims(x, axes=(1, 0))) if len(x.shape) == 2 else x,
    "logsumexp": lambda x: do.logsumexp(x, axes=(0,), keepdims=False) if x.shape else x,
    "prod first": lambda x: do.prod(x, axes=(0,), keepdims=False) if x.shape else x,
    "min last": lambda x: do.min(x, axes=(len(x.shape) - 1,), keepdims=False) if x.shape else x,
    "cumprod first, reversed": lambda x: do.cumprod(x, axis=0, reverse=True) if x.shape else x,
    "shift first": lambda x: do.shift(x, axis=0, offset=1, fill=2.0) if x.shape else x,
    "sort first": lambda x: do.sort(x, axis=0) if x.shape else x,
    "sort last": lambda x: do.sort(x, axis=len(x.shape) - 1) if x.shape else x,
    "roll first": lambda x: do.roll(x, shifts=(1,), axes=(0,)) if x.shape else x,
    "tile": lambda x: do.tile(x, repeats=(2,) * len(x.shape)),
    "repeat first": lambda x: do.repeat(x, repeats=2, axis=0) if x.shape else x,
    "stack": lambda x: do.stack(x, do.sin(x), axis=0),
    "pad": lambda x: do.pad(
        x, x.builder.constant(np.array(0.5)), low=(1,) * len(x.shape), high=(0,) * len(x.shape)
    ),
    "split first": lambda x: (
        do.reshape(x, shape=(x.shape[0] // 2, 2, *x.shape[1:]))
        if x.shape and x.shape[0] % 2 == 0
        else x
    ),
    "merge first": lambda x: (
        do.reshape(x, shape=(x.shape[0] * x.shape[1], *x.shape[2:])) if len(x.shape) > 1 else x
    ),
    "take some": lambda x: (
        do.take(x, x.builder.constant(np.array([0, 0, -1])), axis=0) if x.shape else x
    ),
    "take sorted": lambda x: do.take(x, do.argsort(x, axis=0), axis=0) if len(x.shape) == 1 else x,
    "take along": lambda x: do.take_along_axis(x, do.argsort(x, axis=0), axis=0) if x.shape else x,
    "take by": lambda x: do.take(
        x.builder.constant(np.arange(5.0) * 0.1), do.astype(x, dtype=INT64), axis=0
    ),
    "gather pair": lambda x: (
        do.gather(
            x,
            x.builder.constant(np.array([0, 1, 0])),
            x.builder.constant(np.array([0, 0, -1])),
            axes=(0, 1),
        )
        if len(x.shape) == 2
        else x
    ),
    "scatter rows": lambda x: (
        do.scatter_add(x, x.builder.constant(np.arange(x.shape[0]) // 2), do.sin(x), axis=0)
        if x.shape
        else x
    ),
    "one hot": lambda x: do.one_hot(do.argmax(x, axis=0), depth=3, dtype=FLOAT64) if x.shape else x,
    "triangle": lambda x: do.tril(x, k=0) if len(x.shape) == 2 else x,
    "diagonal": lambda x: do.diagonal(x, offset=0) if len(x.shape) == 2 else x,
    "every second": lambda x: (
        do.slice(
            x, starts=(0,) * len(x.shape), stops=x.shape, steps=(2,) + (1,) * (len(x.shape) - 1)
        )
        if x.shape
        else x
    ),
    "mean": lambda x: do.divide(
        do.sum(x, axes=(0,), keepdims=True) if x.shape else x,
        do.size(x, axes=tuple(range(min(1, len(x.shape)))), dtype=FLOAT64),
    ),
    "einsum rows": lambda x: (
        do.einsum(x, do.sin(x), subscripts="ij,ij->i") if len(x.shape) == 2 else x
    ),
    "einsum outer": lambda x: (
        do.einsum(x, do.cos(x), x, subscripts="ij,kj,kl->il") if len(x.shape) == 2 else x
    ),
    "recurrence": lambda x: do.linear_recurrence(do.sin(x) * 0.5, x, axis=0) if x.shape else x,
    "dynamic slice": lambda x: (
        do.dynamic_slice(
            x,
            x.builder.constant(np.array([1] + [0] * (len(x.shape) - 1))),
            sizes=(x.shape[0] - 1, *x.shape[1:]),
        )
        if x.shape and x.shape[0] > 1
        else x
    ),
    "where": lambda x: do.where(do.greater(x, 0.1), x, do.square(x)),
    "clip": lambda x: do.clip(x, -0.5, 0.5),
}
BINARY = ("add", "multiply", "subtract", "maximum")


@st.composite
def batched_graphs(draw: st.DrawFn) -> Graph:
    """A graph of a batch, a matrix of parameters and a vector, ending in a scalar and a value."""
    b = Builder()
    values = [
        b.input("x", ArrayType(FLOAT64, (ROWS, COLUMNS))),
        b.input("w", ArrayType(FLOAT64, (COLUMNS, COLUMNS))),
        b.input("v", ArrayType(FLOAT64, (COLUMNS,))),
        b.constant(np.linspace(-1.0, 1.0, ROWS * COLUMNS).reshape(ROWS, COLUMNS)),
    ]
    values.append(do.matmul(values[0], values[1]))
    for _ in range(draw(st.integers(2, 9))):
        x = values[draw(st.integers(0, len(values) - 1))]
        if draw(st.booleans()):
            values.append(_mixed(STEPS[draw(st.sampled_from(sorted(STEPS)))](x)))
            continue
        others = [y for y in values if _broadcast(x, y)]
        y = others[draw(st.integers(0, len(others) - 1))]
        values.append(_mixed(getattr(do, draw(st.sampled_from(BINARY)))(x, y)))
    last = values[-1]
    loss = do.sum(last, axes=tuple(range(len(last.shape))), keepdims=False)
    return b.build({"loss": do.tanh(loss * 0.01), "last": last})


def _broadcast(x: Ref, y: Ref) -> bool:
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        return False
    return True


@st.composite
def graphs_of_terms(draw: st.DrawFn) -> Graph:
    """A shared prefix, different terms of it and of rows of their own, and ways to join them."""
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, (ROWS, COLUMNS)))
    w = b.input("w", ArrayType(FLOAT64, (COLUMNS, COLUMNS)))
    v = b.input("v", ArrayType(FLOAT64, (COLUMNS,)))
    shared, terms = do.tanh(do.matmul(w, v)), []
    for k in range(draw(st.integers(2, 9))):
        row = do.reshape(
            do.slice(x, starts=(k % ROWS, 0), stops=(k % ROWS + 1, COLUMNS), steps=(1, 1)),
            shape=(COLUMNS,),
        )
        term = shared * row if draw(st.booleans()) else do.sin(v) + row
        for _ in range(draw(st.integers(0, 3))):
            step = draw(st.sampled_from(("sin", "square", "negative", "cumsum last", "logsumexp")))
            term = STEPS[step](term)
        terms.append(do.sum(term, axes=tuple(range(len(term.shape))), keepdims=False))
    total = terms[0]
    for term in terms[1:]:
        total = getattr(do, draw(st.sampled_from((*BINARY, "add", "add"))))(total, term)
    last = do.tanh(total * 0.01) if draw(st.booleans()) else total
    stacked = do.stack(*terms, axis=0)
    if draw(st.booleans()):
        last = last + do.logsumexp(stacked, axes=(0,), keepdims=False)
    return b.build({"loss": last, "last": stacked if draw(st.booleans()) else terms[0]})


def _check_split(graph: Graph, split: Split) -> None:
    """Value and gradient of the graph, split so and in one task, are the same."""
    lowered = lower(graph, Gradient(("x", "w", "v"), "loss"), fold=fold)
    try:
        plan = make_plan(lowered.graph, Options(split=split), values=lowered.value_count)
    except RequestError:
        assume(False)
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=item.type.shape) for item in lowered.graph.inputs]
    whole = NumpyExecutor().compile(lowered.graph)(arrays)
    for one, other in zip(whole, run_plan(plan, arrays), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-9)


KINDS = ("shard", "branch", "stage")
SPLITS = st.builds(Split, st.sampled_from(KINDS), st.integers(2, 6))


@settings(max_examples=300)
@given(batched_graphs(), st.integers(2, 6))
def test_any_shards_equal_one_task(graph: Graph, count: int) -> None:
    """Value and gradient of a random graph are the same for every number of shards."""
    _check_split(graph, Split("shard", count))


@settings(max_examples=100)
@given(batched_graphs() | graphs_of_terms(), SPLITS)
def test_any_split_equals_one_task(graph: Graph, split: Split) -> None:
    """So they are for branches and stages, also of graphs that are sums of terms."""
    _check_split(graph, split)


@pytest.mark.slow
@settings(max_examples=5000)
@given(batched_graphs() | graphs_of_terms(), SPLITS)
@pytest.mark.timeout(1200)
def test_any_split_equals_one_task_at_length(graph: Graph, split: Split) -> None:
    """The same on many more graphs, drawn anew each time."""
    _check_split(graph, split)
