"""Jacobians and Hessians: every mode gives the same blocks, many seeds are one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pullback_graph.builder import Builder
from pullback_graph.derivative import dense, jacobian, jvp, lower, many_seeds, vjp
from pullback_graph.derivative.blocks import Blocks, Problem
from pullback_graph.derivative.draft import Derivative, Draft, Mode
from pullback_graph.derivative.linear_part import LinearPart
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref, do
from pullback_graph.types import FLOAT64, ArrayType, Shape
from pullback_graph.want import DerivativeKey, Hessian, Hvp, Jacobian, Jvp, Vjp, seed_name
from pullback_worker.numpy_executor import NumpyExecutor, fold
from tests.graph.drawing import Case, NDArray, draw, spread
from tests.graph.interpreter import evaluate
from tests.graph.row_derivatives import differentiable_cases, differentiable_operands, row_graph

Way = Callable[[Draft, Problem, list[LinearPart]], Blocks]


def by_mode(graph: Graph, wrt: Sequence[int], *, forward: bool) -> Graph:
    """The graph's Jacobian in one mode, whatever it costs: outputs by inputs, in order."""
    values = tuple(dict.fromkeys([output.value for output in graph.outputs]))
    problem, draft = Problem(graph, values, tuple(wrt)), Draft.of(graph, Builder)
    blocks = (
        dense.forward(draft, problem, problem.ahead())
        if forward
        else dense.reverse(draft, problem, problem.back())
    )
    found = [
        Derivative(DerivativeKey(str(v), str(i)), blocks.get((v, i)), problem.block_type(v, i))
        for v in values
        for i in wrt
    ]
    return draft.finish(found, Mode("", ""), keep=()).graph


def by_rows(graph: Graph, wrt: Sequence[int], arrays: Sequence[NDArray]) -> list[NDArray]:
    """The Jacobian row by row: one vjp for each element of each output."""
    names = tuple(graph.input_names[i] for i in wrt)
    blocks: list[NDArray] = []
    for position, output in enumerate(graph.outputs):
        shape = graph.output_type(position).shape
        pulled = vjp(graph, names, [(output.name,)])
        rows = [
            evaluate(pulled.graph, [*arrays, row.reshape(shape)])[pulled.value_count :]
            for row in np.eye(graph.output_type(position).size)
        ]
        for i, index in enumerate(wrt):
            size = (len(rows), *graph.types[index].shape)
            stacked = np.stack([row[i] for row in rows]) if rows else np.zeros(size)
            blocks.append(stacked.reshape(shape + graph.types[index].shape))
    return blocks


@pytest.mark.parametrize("case", spread(differentiable_cases(), 3), ids=str)
def test_both_modes_give_the_jacobian_of_every_row(case: Case) -> None:
    """Forward and reverse mode, all seeds in a pass, equal one vjp for each element."""
    arrays = draw(case)
    graph, wrt = row_graph(case, arrays), differentiable_operands(case)
    expected = by_rows(graph, wrt, arrays)
    for forward in (True, False):
        found = evaluate(by_mode(graph, wrt, forward=forward), arrays)
        for block, want in zip(found, expected, strict=True):
            np.testing.assert_allclose(block, want, rtol=1e-9, atol=1e-9, strict=True)


def network(sizes: Sequence[int]) -> Graph:
    """(w0, w1, ..., x) -> tanh(... tanh(x @ w0) @ w1 ...), and its sum of squares."""
    builder = Builder()
    pairs = list(pairwise(sizes))
    weights = [builder.input(f"w{i}", ArrayType(FLOAT64, pair)) for i, pair in enumerate(pairs)]
    y = builder.input("x", ArrayType(FLOAT64, (sizes[0],)))
    for w in weights:
        y = do.tanh(y @ w)
    return builder.build({"y": y, "loss": total(do.square(y))})


def total(x: Ref) -> Ref:
    """The sum of all elements."""
    z: Ref = do.sum(x, axes=tuple(range(len(x.shape))), keepdims=False)
    return z


def jax_network(arrays: Sequence[Any]) -> Any:
    """What `network` computes first."""
    *weights, y = arrays
    for w in weights:
        y = jnp.tanh(y @ w)
    return y


def inputs_of(graph: Graph, seed: int = 0) -> list[NDArray]:
    """Normal numbers for every input."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=item.type.shape) for item in graph.inputs]


@pytest.mark.parametrize("depth", [2, 6], ids=["a pass each", "one pass for all"])
def test_blocks_of_several_inputs(depth: int) -> None:
    """Few inputs are seeded in a pass each, many in one; each block is jax's."""
    graph = network([3] * depth)
    arrays = inputs_of(graph)
    lowered = lower(graph, Jacobian(graph.input_names, ("y",)), fold=fold)
    found = NumpyExecutor().compile(lowered.graph)(arrays)[lowered.value_count :]
    expected = jax.jacobian(lambda *xs: jax_network(xs), tuple(range(depth)))(*arrays)
    for block, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(block, want, rtol=1e-10, atol=1e-12, strict=True)


def test_hessian_of_several_inputs() -> None:
    """Every pair of blocks, all seeds of an input in a pass."""
    graph = network([3, 2, 2])
    arrays = inputs_of(graph)
    lowered = lower(graph, Hessian(graph.input_names, "loss"), fold=fold)
    found = NumpyExecutor().compile(lowered.graph)(arrays)[lowered.value_count :]
    loss = jax.hessian(lambda *xs: jnp.sum(jax_network(xs) ** 2), (0, 1, 2))
    expected = [block for row in loss(*arrays) for block in row]
    for block, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(block, want, rtol=1e-9, atol=1e-12, strict=True)


def test_the_graph_does_not_grow_with_the_seeds() -> None:
    """A Jacobian or Hessian of 200 columns has the nodes that one of 100 has."""
    counts = {
        size: [
            len(lower(network([size, size]), want, fold=fold).graph.nodes)
            for want in (Jacobian(("x",), ("y",)), Hessian(("x",), "loss"))
        ]
        for size in (100, 200)
    }
    assert counts[100] == counts[200]


def test_the_mode_is_chosen_and_its_reason_given() -> None:
    """Few columns: forward; few rows: reverse; the reason has the numbers."""
    tall = lower(network([2, 40]), Jacobian(("x",), ("y",)))
    wide = lower(network([40, 2]), Jacobian(("x",), ("y",)))
    square = lower(network([12, 12]), Jacobian(("x",), ("y",)))
    assert (tall.mode.name, tall.mode.reason) == ("forward", "2 columns, 40 rows")
    assert (wide.mode.name, wide.mode.reason) == ("reverse", "40 columns, 2 rows")
    assert "forward is estimated at" in square.mode.reason
    assert lower(network([2, 2]), Hessian(("x",), "loss")).mode.name.endswith("over reverse")


def test_chunks_that_fit_in_memory_join_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeds beyond what may be held at once are taken in several passes."""
    graph = network([7, 5])
    arrays = inputs_of(graph)
    whole = evaluate(jacobian(graph, ("x",), ("y",)).graph, arrays)
    monkeypatch.setattr(many_seeds, "PASS_BYTES", 400)
    made = jacobian(graph, ("x",), ("y",))
    assert sum(node.op.name == "concat" for node in made.graph.nodes) == 1
    np.testing.assert_array_equal(evaluate(made.graph, arrays)[-1], whole[-1])


def seeded(graph: Graph, kind: str, count: int) -> tuple[Any, list[str], Shape]:
    """A want of that kind with seeds, what each seed is for, and its shape."""
    if kind == "vjp":
        return Vjp(("w0", "x"), (("y",),) * count), ["y"], graph.output_type(0).shape
    names = ("x",)
    want = Jvp((names,) * count) if kind == "jvp" else Hvp(("w0", "x"), (names,) * count, "loss")
    return want, ["x"], graph.inputs[-1].type.shape


@pytest.mark.parametrize("kind", ["vjp", "jvp", "hvp"])
def test_many_seeds_are_one_pass_and_equal_each_alone(kind: str) -> None:
    """Products with many seeds add a slice a seed, not a pass, and give what each alone gives."""
    graph = network([4, 3])
    want, names, shape = seeded(graph, kind, 9)
    alone, _, _ = seeded(graph, kind, 1)
    rng = np.random.default_rng(5)
    seeds = rng.normal(size=(9, *shape))
    many, one = lower(graph, want, fold=fold), lower(graph, alone, fold=fold)
    assert len(many.graph.nodes) < len(one.graph.nodes) + 9 * 2 * 2 + 9
    given = [seeds[k] for k in range(9) for _ in names]
    found = evaluate(many.graph, [*inputs_of(graph), *given])[many.value_count :]
    each = [evaluate(one.graph, [*inputs_of(graph), seed])[one.value_count :] for seed in seeds]
    assert len(many.derivatives) == 9 * len(one.derivatives)
    for z, expected in zip(found, [z for row in each for z in row], strict=True):
        np.testing.assert_allclose(z, expected, rtol=1e-12, atol=1e-14, strict=True)
    assert many.graph.input_names[-1] == seed_name(8, names[0])


def test_seeds_of_different_names_are_taken_by_groups() -> None:
    """Each seed's products are its own, whatever the order the names come in."""
    graph = network([3, 2])
    seeds = [("x",), ("w0",)] * 4
    made = jvp(graph, seeds)
    rng = np.random.default_rng(6)
    shapes = {"x": (3,), "w0": (3, 2)}
    given = [rng.normal(size=shapes[names[0]]) for names in seeds]
    found = evaluate(made.graph, [*inputs_of(graph), *given])[made.value_count :]
    for number, (names, seed) in enumerate(zip(seeds, given, strict=True)):
        lone = jvp(graph, [names])
        expected = evaluate(lone.graph, [*inputs_of(graph), seed])[lone.value_count :]
        for z, want in zip(found[2 * number : 2 * number + 2], expected, strict=True):
            np.testing.assert_allclose(z, want, rtol=1e-12, strict=True)


def test_two_permutations_with_elementwise_nodes_between_become_one():
    """A column block is computed in the order it is wanted in: nothing is permuted after it."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (3,)))
    w = builder.constant(np.arange(12.0).reshape(3, 4))
    turned = do.permute_dims(do.expand_dims(x, axes=(1,)) * w, axes=(1, 0))
    bias = do.reshape(x, shape=(1, 3))
    graph = builder.build({"y": -(turned * 0.5) - bias})
    lowered = lower(graph, Jacobian(("x",)), fold=fold).graph
    names = [node.op.name for node in lowered.nodes]
    assert names.count("permute_dims") == 2  # the value's own, and one for the block
    assert names[-1] != "permute_dims"
    (_, block) = NumpyExecutor().compile(lowered)([np.ones(3)])
    expected = np.zeros((4, 3, 3))
    for k in range(3):
        expected[:, k, k] = -0.5 * np.arange(12.0).reshape(3, 4)[k] - 1.0
    np.testing.assert_array_equal(block, expected)


@pytest.mark.parametrize("forward", [True, False])
def test_blocks_that_are_zero_cost_no_node(forward: bool) -> None:
    """Of 100 scalars by 100, each depending on two: nodes by the hundred, not by the pair."""
    builder = Builder()
    x = [builder.input(f"x{k}", ArrayType(FLOAT64, ())) for k in range(100)]
    graph = builder.build({f"y{k}": do.sin(x[k]) * x[k - 1] for k in range(100)})
    made: list[Builder] = []

    def make_builder() -> Builder:
        made.append(Builder(reuse=True))
        return made[-1]

    problem = Problem(graph, tuple([o.value for o in graph.outputs]), tuple(range(100)))
    draft = Draft.of(graph, make_builder)
    run, parts = (dense.forward, problem.ahead()) if forward else (dense.reverse, problem.back())
    blocks = run(draft, problem, parts)
    assert len(blocks) == 200
    keys = [(v, i) for v in problem.values for i in problem.indices]
    draft.finish(
        [Derivative(DerivativeKey(f"{v}", f"{i}"), blocks.get((v, i)), x[0].type) for v, i in keys],
        Mode("", ""),
    )
    assert len(made[0]) < 2000
    assert len(made[0].types) < 2500
