"""Shards of models: reductions in the middle, batches that meet themselves, seeds as a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback_graph.builder import Builder
from pullback_graph.derivative import many_seeds
from pullback_graph.graph import Graph
from pullback_graph.job import Split
from pullback_graph.ref import Ref, do
from pullback_graph.types import FLOAT64, ArrayType
from pullback_graph.want import Gradient, Hessian, Jacobian, Value, Vjp, Want
from pullback_server.planner import Phase
from tests.server.plan_interpreter import assert_computes, planned

BATCH = 37
Shapes = tuple[tuple[int, ...], ...]


def batch_normalised(x: Any, w: Any, scale: Any, shift: Any) -> Any:
    """Mean and variance over the batch stand between two sharded parts."""
    h = x @ w
    mean = pnp.mean(h, axis=0)
    variance = pnp.mean((h - mean) ** 2, axis=0)
    return pnp.mean(pnp.tanh((h - mean) / pnp.sqrt(variance + 1e-5) * scale + shift) ** 2)


def softmax_over_the_batch(x: Any, w: Any, y: Any) -> Any:
    """A log-sum-exp along the batch."""
    scores = x @ w
    top = pnp.max(scores, axis=0)
    total = top + pnp.log(pnp.sum(pnp.exp(scores - top), axis=0))
    return pnp.sum((scores - total) * y)


def normalised_loss(x: Any, w: Any, y: Any) -> Any:
    """A loss over another sum of the batch, and a maximum over it."""
    predicted = x @ w
    return pnp.sum((predicted - y) ** 2) / pnp.sum(y**2) + pnp.max(pnp.abs(predicted))


def contrastive(x: Any, w: Any) -> Any:
    """Similarities of all pairs of the batch: a value with the batch axis twice."""
    z = pnp.tanh(x @ w)
    z = z / pnp.sqrt(pnp.sum(z * z, axis=1, keepdims=True))
    similar = z @ z.T * 2.0
    top = pnp.max(similar, axis=1, keepdims=True)
    total = pnp.log(pnp.sum(pnp.exp(similar - top), axis=1)) + top[:, 0]
    return pnp.mean(total - pnp.sum(z * z, axis=1))


def two_towers(x: Any, y: Any, w: Any, v: Any) -> Any:
    """Two batched inputs, and sums over pairs along both axes."""
    a, b = pnp.tanh(x @ w), pnp.tanh(y @ v)
    pairs = a @ b.T
    along = pnp.log(pnp.sum(pnp.exp(pairs), axis=1))
    across = pnp.log(pnp.sum(pnp.exp(pairs), axis=0))
    return pnp.mean(along + across - 2 * pnp.sum(a * b, axis=1))


def kernel(x: Any, a: Any) -> Any:
    """A quadratic form of a kernel matrix over the batch."""
    distances = pnp.sum((x[:, None, :] - x[None, :, :]) ** 2, axis=2)
    return a @ (pnp.exp(-distances) @ a)


def moved_axes(x: Any, w: Any) -> Any:
    """The batch axis goes through a transpose and two reshapes."""
    turned = pnp.transpose(x, (2, 0, 1))
    return pnp.sum(pnp.sin(pnp.reshape(turned, (4 * BATCH, 3)) @ w))


def attention(x: Any, w: Any) -> Any:
    """Batches of matrices: products, and a softmax of rows."""
    scores = x @ w @ pnp.transpose(x, (0, 2, 1))
    weights = pnp.exp(scores - pnp.max(scores, axis=2, keepdims=True))
    return pnp.mean((weights / pnp.sum(weights, axis=2, keepdims=True) @ x) ** 2)


def recurrent(x: Any, wi: Any, wh: Any, h: Any) -> Any:
    """A loop with gates, scanned over time: the batch is the second axis of its inputs."""

    def step(carry: Any, now: Any) -> Any:
        hidden, cell = carry
        z = now @ wi + hidden @ wh
        gates = 1.0 / (1.0 + pnp.exp(-z[:, :9]))
        cell = gates[:, :3] * cell + gates[:, 3:6] * pnp.tanh(z[:, 9:])
        hidden = gates[:, 6:] * pnp.tanh(cell)
        return (hidden, cell), hidden

    (hidden, cell), every = pb.lax.scan(step, (h, h * 0.5), x)
    return pnp.mean(every**2) + pnp.sum(hidden * cell)


def pairs(x: Any, w: Any) -> Any:
    """Neighbours in the batch belong together."""
    h = pnp.reshape(pnp.tanh(x @ w), (BATCH, 2, 3))
    return pnp.sum(h[:, 0] * h[:, 1])


def each_example(x: Any, w: Any) -> Any:
    """An output an example."""
    return pnp.sum(pnp.tanh(x @ w), axis=1)


MODELS: list[tuple[Callable[..., Any], Shapes, Want]] = [
    (batch_normalised, ((BATCH, 5), (5, 4), (4,), (4,)), Gradient(("w", "scale", "x"))),
    (softmax_over_the_batch, ((BATCH, 5), (5, 3), (BATCH, 3)), Gradient(("w", "x"))),
    (normalised_loss, ((BATCH, 5), (5,), (BATCH,)), Gradient(("w", "x", "y"))),
    (contrastive, ((BATCH, 5), (5, 3)), Gradient(("w", "x"))),
    (two_towers, ((BATCH, 5), (BATCH, 4), (5, 3), (4, 3)), Gradient(("w", "v", "x"))),
    (kernel, ((BATCH, 3), (BATCH,)), Gradient(("x", "a"))),
    (moved_axes, ((BATCH, 3, 4), (3,)), Gradient(("w", "x"))),
    (attention, ((BATCH, 6, 3), (3, 3)), Gradient(("w", "x"))),
    (recurrent, ((9, BATCH, 4), (4, 12), (3, 12), (BATCH, 3)), Gradient(("wi", "wh", "h"))),
    (each_example, ((BATCH, 5), (5, 3)), Vjp(("w", "x"), (("result",),))),
    (each_example, ((BATCH, 5), (5, 3)), Jacobian(("w",))),
]


def _traced(model: Callable[..., Any], shapes: Shapes) -> Graph:
    return pb.trace(model, *[np.ones(shape) for shape in shapes])


@pytest.mark.parametrize("count", [2, 8])
@pytest.mark.parametrize(("model", "shapes", "want"), MODELS)
def test_a_batch_is_sharded_whatever_its_model(
    model: Callable[..., Any], shapes: Shapes, want: Want, count: int
) -> None:
    """Along the batch, whose length no count divides: values, parameters and examples' adjoints."""
    plan, graph = planned(_traced(model, shapes), want, Split("shard", count))
    assert_computes(plan, graph)
    if count == 8:  # no other axis is that long
        assert f"of length {BATCH}" in plan.reason
        assert {task.shard for task in plan.tasks} == set(range(8))


@pytest.mark.parametrize("model", [contrastive, two_towers, batch_normalised])
def test_batches_that_meet_themselves_are_sharded_unasked(model: Callable[..., Any]) -> None:
    """Pairs are rows by whole: almost all of the work is sharded, and no task has all pairs."""
    rows = 4000
    shapes = {
        contrastive: ((rows, 64), (64, 64)),
        two_towers: ((rows, 64), (rows, 64), (64, 64), (64, 64)),
        batch_normalised: ((50 * rows, 64), (64, 64), (64,), (64,)),
    }[model]
    plan, _ = planned(_traced(model, shapes), Gradient(("w",)), Split())
    assert plan.split.kind == "shard"
    assert plan.split.count >= 8
    assert "99%" in plan.reason or "100%" in plan.reason
    assert max(task.peak_bytes for task in plan.tasks) < 8 * rows * rows


def unrolled(x: Any, w: Any, u: Any) -> Any:
    """A recurrence written out: every step adds to the adjoints of the same weights."""
    state = pnp.zeros((BATCH, 3))
    for k in range(x.shape[0]):
        state = pnp.tanh(x[k] @ w + state @ u)
    return pnp.sum(state**2)


def test_what_shards_add_to_one_value_is_added_before_it_travels() -> None:
    """A partial value a result, not one a step; and the same numbers."""
    graph = _traced(unrolled, ((9, BATCH, 4), (4, 3), (3, 3)))
    plan, whole = planned(graph, Gradient(("w", "u")), Split("shard", 4))
    joins = [task for task in plan.tasks if task.phase is Phase.REDUCE]
    assert {len(task.graph.outputs) for task in joins} == {3}  # the loss and two adjoints
    assert_computes(plan, whole)


def largest_of_two(x: Any, w: Any) -> Any:
    """Maxima over the batch, and a maximum of those; then sums of both, and a maximum of those."""
    z = x @ w
    tops = pnp.maximum(pnp.max(z, axis=0), pnp.max(-z, axis=0))
    return pnp.sum(tops) + pnp.max(pnp.maximum(pnp.sum(z, axis=0), pnp.sum(z * z, axis=0)))


def test_only_the_joining_row_keeps_values_partial() -> None:
    """A maximum of maxima is one still; a maximum of sums is not, and waits for them."""
    plan, whole = planned(_traced(largest_of_two, ((BATCH, 4), (4, 3))), Value(), Split("shard", 4))
    joins = [task for task in plan.tasks if task.phase is Phase.REDUCE]
    assert {len(task.graph.outputs) for task in joins} == {3}  # the maximum and two sums
    assert_computes(plan, whole)


def test_a_forced_count_takes_an_axis_that_is_long_enough() -> None:
    """Not the best axis, where that has fewer elements than shards are asked for."""
    graph = _traced(softmax_over_the_batch, ((BATCH, 5), (5, 3), (BATCH, 3)))
    plan, _ = planned(graph, Gradient(("w",)), Split("shard", 30))
    assert f"length {BATCH}" in plan.reason


def test_a_batch_of_pairs_is_cut_between_pairs() -> None:
    """A reshape splits the batch axis in two: blocks are of whole pairs, not of another axis."""
    graph = _traced(pairs, ((2 * BATCH, 5), (5, 3)))
    plan, whole = planned(graph, Gradient(("w", "x")), Split("shard", 5))
    assert f"axis 0 of 'x' of length {BATCH}" in plan.reason
    assert_computes(plan, whole)


# --- convolutions ---------------------------------------------------------------------------------


def residual_convolutions(rows: int) -> Graph:
    """Convolutions with a way around each, a mean over the image, and a loss."""
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, (rows, 3, 8, 8)))
    labels = b.input("y", ArrayType(FLOAT64, (rows, 3)))
    for k in range(3):
        kernel = b.input(f"w{k}", ArrayType(FLOAT64, (3, 3, 3, 3)))
        x = x + do.tanh(_convolved(x, kernel))
    means = do.sum(x, axes=(2, 3), keepdims=False) / 64.0
    return b.build({"loss": do.sum(do.square(means - labels), axes=(0, 1), keepdims=False)})


def _convolved(x: Ref, kernel: Ref) -> Ref:
    return do.convolution(
        x,
        kernel,
        strides=(1, 1),
        low=(1, 1),
        high=(1, 1),
        lhs_dilation=(1, 1),
        rhs_dilation=(1, 1),
    )


@pytest.mark.parametrize("split", ["shard(5)", "stage(3)"])
def test_a_residual_network_is_split(split: str) -> None:
    """By batch and by depth."""
    graph = residual_convolutions(11)
    want = Gradient(("w0", "w1", "w2", "x"))
    plan, whole = planned(graph, want, Split(split[:5], int(split[6])))
    assert str(plan.split) == split
    assert_computes(plan, whole)


# --- seeds ----------------------------------------------------------------------------------------


def residuals(theta: Any, a: Any) -> Any:
    """Outputs that no batch axis cuts: a cumulative sum goes through them."""
    h = pnp.tanh(a @ pnp.tanh(a.T @ pnp.tanh(a @ theta) * 1e-3))
    return pnp.cumsum(h) * 0.01 + pnp.sin(h)


@pytest.mark.parametrize("count", [2, 7])
def test_columns_of_a_jacobian_are_shards(count: int) -> None:
    """The unit seeds are a batch that the graph makes itself."""
    graph = _traced(residuals, ((30,), (50, 30)))
    plan, whole = planned(graph, Jacobian(("theta",)), Split("shard", count))
    assert "seeds" in plan.reason
    assert_computes(plan, whole)


@pytest.mark.parametrize("kind", ["shard", "branch"])
def test_seeds_in_chunks_are_split(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where seeds go through in several passes, the passes are independent of each other."""
    monkeypatch.setattr(many_seeds, "PASS_BYTES", 20_000)
    graph = _traced(residuals, ((100,), (50, 100)))
    plan, whole = planned(graph, Jacobian(("theta",)), Split(kind, 3))
    assert_computes(plan, whole)


def test_a_hessian_is_split() -> None:
    """Along the batch or along the seeds, whichever is longer."""
    graph = pb.trace(lambda t, x: pnp.sum(pnp.sin(x @ t) ** 2), np.ones(12), np.ones((BATCH, 12)))
    plan, whole = planned(graph, Hessian((graph.input_names[0],)), Split("shard", 4))
    assert_computes(plan, whole)


def test_a_large_jacobian_is_split_unasked() -> None:
    """20,000 by 200: its columns go to workers, and the reason says so."""
    graph = _traced(residuals, ((200,), (20_000, 200)))
    plan, whole = planned(graph, Jacobian(("theta",)), Split())
    assert plan.split.kind == "shard"
    assert plan.split.count >= 4
    assert "seeds" in plan.reason
    assert whole.output_type(1).shape == (20_000, 200)
    one, _ = planned(graph, Jacobian(("theta",)), Split("none"))
    assert max(task.flops for task in plan.tasks) < 0.4 * one.tasks[0].flops
