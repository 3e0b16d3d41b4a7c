"""One graph at many points gives what a job for each point gives, in few jobs of few shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pullback as pb
import pullback.numpy as pnp
from pullback.point_blocks import block_length, together
from pullback.remote.map_steps import map_steps
from pullback_graph.job import GraphHash, Metrics, TensorHash
from pullback_graph.want import Gradient, Hessian, Hvp, Jacobian, Jvp, Value, Vjp, Want
from tests.client.mapping import Map

RNG = np.random.default_rng(4)
POINTS = 11
X, W = RNG.normal(size=(POINTS, 3)), RNG.normal(size=(3, 3))
GRAPH = pb.trace(lambda x, w: {"y": pnp.sum(pnp.tanh(x @ w) * x), "w": w * 2.0}, X[0], W)
STACKED = {"x": X, "w": W}


def close(found: Any, want: Any) -> None:
    """Equal to rounding, in shape and dtype too."""
    np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-12, strict=True)


def one_by_one(want: Want, seeds: Any = ()) -> list[pb.Result]:
    """A job for each point; what has the axis in a seed is cut too."""
    found = []
    for k, x in enumerate(X):
        own = [{n: v[k] if v.ndim == 2 else v for n, v in seed.items()} for seed in seeds]
        found.append(pb.local().evaluate(GRAPH, {"x": x, "w": W}, want=want, seeds=own))
    return found


WANTS: list[tuple[Want, list[dict[str, Any]]]] = [
    (Value(), []),
    (Value(("y",)), []),
    (Gradient(("x", "w"), "y"), []),
    (Vjp(("x",), (("y",),)), [{"y": np.asarray(2.0)}]),
    (Jvp((("x",), ("x",))), [{"x": np.ones(3)}, {"x": X * 3.0}]),
    (Hvp(("x",), (("x",),), "y"), [{"x": X + 1.0}]),
    (Jacobian(("x",), ("y",)), []),
    (Hessian(("x",), "y"), []),
]


@pytest.mark.parametrize(("want", "seeds"), WANTS, ids=lambda item: type(item).__name__)
@pytest.mark.parametrize("points_at_once", [None, 4, 1])
def test_every_want_equals_a_job_for_each_point(
    want: Want, seeds: list[dict[str, Any]], points_at_once: int | None
) -> None:
    """Values and derivatives of each point, in whatever blocks; seeds may differ by point too."""
    many = pb.local().evaluate_many(
        GRAPH, STACKED, want=want, seeds=seeds, points_at_once=points_at_once
    )
    alone = one_by_one(want, seeds)
    assert many.outputs.keys() == alone[0].outputs.keys()
    assert many.derivatives.keys() == alone[0].derivatives.keys()
    for name, array in many.outputs.items():
        close(array, np.stack([result.outputs[name] for result in alone]))
    for key, array in many.derivatives.items():
        close(array, np.stack([result.derivatives[key] for result in alone]))


def test_the_figures_of_many_points() -> None:
    """Counts are of the graph of one point, costs of all blocks together."""
    many = pb.local().evaluate_many(GRAPH, STACKED, want=Gradient(("x",), "y"), points_at_once=4)
    alone = pb.local().evaluate(
        GRAPH, {"x": X[0], "w": W}, want=Gradient(("x",), "y"), executor="numpy"
    )
    assert many.metrics.tasks == 3
    assert many.metrics.nodes == alone.metrics.nodes
    assert many.metrics.adjoint_evaluations == alone.metrics.adjoint_evaluations
    assert many.metrics.fused_s > 0.0 == many.metrics.forward_s


def test_no_points() -> None:
    """An empty axis gives empty results, and no job."""
    many = pb.local().evaluate_many(
        GRAPH, {"x": np.ones((0, 3)), "w": W}, want=Gradient(("w",), "y")
    )
    assert many.outputs["y"].shape == (0,)
    assert many.gradients["w"].shape == (0, 3, 3)


def test_a_tape_at_many_points() -> None:
    """A recorded tape is a graph of scalars."""
    tape = pb.Tape()
    x = tape.input("x")
    tape.output("y", x * x + 3.0)
    many = pb.local().evaluate_many(tape, {"x": np.arange(4.0)}, gradient="x")
    close(many.gradients["x"], 2.0 * np.arange(4.0))


# --- blocks ---------------------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.integers(1, 10**5))
def test_blocks_cover_the_points_and_waste_little(count: int, most: int) -> None:
    """A block has at most as many as allowed; blocks have an eighth to spare, all told."""
    length = block_length(count, most)
    assert 1 <= length <= most
    blocks = -(-count // length)
    if count > 8:
        assert count <= blocks * length <= count * 9 / 8 + length * (blocks > 1)


@given(st.integers(1, 10**6))
def test_lengths_of_blocks_are_few(count: int) -> None:
    """In each doubling there are eight lengths."""
    length = block_length(count, 1 << 30)
    step = 1 << max(0, length.bit_length() - 4)
    assert length % step == 0


def test_another_number_of_points_runs_the_same_program() -> None:
    """Numbers of points with one length of block share a compiled program."""
    with pb.LocalService() as service:
        hits = [
            service.evaluate_many(GRAPH, {"x": np.ones((n, 3)), "w": W}).metrics.program_cache_hit
            for n in (97, 100, 103)
        ]
    assert hits == [False, True, True]


def test_a_memory_cap_shortens_blocks() -> None:
    """A tenth of the memory is ten times the blocks, or a few more."""
    count = 4096
    points = {"x": np.ones((count, 3)), "w": W}
    free = pb.local().evaluate_many(GRAPH, points, want=Gradient(("x",), "y"))
    cap = free.metrics.peak_bytes // 10
    capped = pb.local().evaluate_many(
        GRAPH, points, want=Gradient(("x",), "y"), memory_cap_bytes=cap
    )
    assert free.metrics.tasks == 1
    assert 10 <= capped.metrics.tasks <= 20
    assert capped.metrics.peak_bytes <= cap
    close(capped.gradients["x"], free.gradients["x"])


def test_a_memory_cap_counts_what_is_common() -> None:
    """Blocks get what the common inputs leave; where these alone are too much, it says so."""
    graph = pb.trace(lambda x, w: pnp.sum(pnp.tanh(w * x)), 1.0, np.ones(1000))
    points = {"x": np.ones(100), "w": np.ones(1000)}
    with pb.LocalService(promote=False) as service:
        capped = service.evaluate_many(graph, points, gradient="x", memory_cap_bytes=200_000)
        assert capped.metrics.peak_bytes <= 200_000
        assert capped.metrics.tasks > 4
        with pytest.raises(pb.LimitExceeded, match=r"^points 0 to 0: .*cap is 9000"):
            service.evaluate_many(graph, points, gradient="x", memory_cap_bytes=9000)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=4))
def test_figures_add_up(parts: list[tuple[int, int]]) -> None:
    """What adds up is added, what does not is the largest."""
    found = together([Metrics(flops=a, peak_bytes=b, tasks=1) for a, b in parts])
    assert found.flops == sum([a for a, _ in parts])
    assert found.peak_bytes == max([b for _, b in parts], default=0)
    assert found.tasks == max(1, len(parts))


# --- checks ---------------------------------------------------------------------------------------


def roots(points: Any, **options: Any) -> pb.Result:
    """Square roots: finite at 0, where their slope is not."""
    graph = pb.trace(lambda x: pnp.sum(pnp.sqrt(x) * 2.0), np.ones(2))
    return pb.local().evaluate_many(graph, {"x": points}, gradient="x", **options)


def test_the_first_bad_point_is_named() -> None:
    """The error says which point it was, and the node of the graph that was given."""
    points = np.ones((9, 2))
    points[5, 1] = points[7, 0] = 0.0
    with pytest.raises(pb.NonFiniteError, match=r"^point 5: .*in the adjoint of node 0 sqrt") as e:
        roots(points, check="finite", points_at_once=2)
    assert e.value.field == "graph.nodes[0]"
    reported = roots(points, check="report")
    assert reported.metrics.bad_node is not None
    assert (reported.metrics.bad_node.op, reported.metrics.bad_node.phase) == ("sqrt", "adjoint")
    assert reported.metrics.non_finite == {"d(result)/d(x)": 2}
    assert np.isinf(reported.gradients["x"]).sum() == 2
    assert roots(points[:5], check="finite").metrics.non_finite == {}
    assert roots(points).metrics.bad_node is None


def test_bad_values_are_counted_once() -> None:
    """What fills up the last block counts for nothing."""
    points = np.ones((17, 2))
    points[-1] = 0.0
    assert roots(points).metrics.non_finite == {"d(result)/d(x)": 2}


# --- faults ---------------------------------------------------------------------------------------

FAULTS: list[tuple[dict[str, Any], dict[str, Any], type[pb.PullbackError], str]] = [
    ({"x": X[0], "w": W}, {}, pb.InputError, "no input has an axis of points"),
    ({"x": X, "w": np.ones((2, 3, 3))}, {}, pb.InputError, "'w' has 2 points, 'x' has 11"),
    ({"x": X}, {}, pb.InputError, "input 'w' is missing"),
    ({**STACKED, "v": X}, {}, pb.InputError, "no input 'v'"),
    ({"x": X[:, :2], "w": W}, {}, pb.InputError, r"'x' is float64\[11,2\]"),
    ({"x": X.astype(np.float32), "w": W}, {}, pb.InputError, "'x' is float32"),
    ({"x": X, "w": TensorHash("0" * 64)}, {}, pb.InputError, "'w' is a hash"),
    (STACKED, {"certificate": True}, pb.RequestError, "certificate is for one point"),
    (STACKED, {"points_at_once": 0}, pb.RequestError, "points_at_once must be a positive"),
    (STACKED, {"points_at_once": True}, pb.RequestError, "points_at_once must be a positive"),
    (STACKED, {"points_at_once": 2.5}, pb.RequestError, "points_at_once must be a positive"),
    (STACKED, {"gradient": ["x"], "want": Value()}, pb.InputError, "not both"),
    (STACKED, {"gradient": ["v"]}, pb.InputError, "'v'"),
    (STACKED, {"dead_line": 1.0}, pb.RequestError, "no option 'dead_line'"),
]


@pytest.mark.parametrize(("inputs", "how", "kind", "message"), FAULTS)
def test_what_cannot_be_run(
    inputs: dict[str, Any], how: dict[str, Any], kind: type[pb.PullbackError], message: str
) -> None:
    """Wrong inputs and options are typed errors, before anything runs."""
    with pytest.raises(kind, match=message):
        pb.local().evaluate_many(
            GRAPH,
            inputs,
            **{"want": Gradient(("x",), "y"), **how} if "gradient" not in how else how,
        )


def test_a_graph_sent_before_is_refused() -> None:
    """Its hash alone does not say what to map."""
    with pytest.raises(pb.UnsupportedError, match="pass the graph itself"):
        pb.local().evaluate_many(GraphHash("0" * 64), STACKED)


def test_the_mode_of_a_derivative_is_told() -> None:
    """It is that of one point."""
    want = Jacobian(("x",), ("y",))
    alone = pb.local().evaluate(GRAPH, {"x": X[0], "w": W}, want=want, executor="numpy")
    many = pb.local().evaluate_many(GRAPH, STACKED, want=want, executor="numpy")
    assert many.metrics.mode == alone.metrics.mode != ""


def test_a_block_that_fails_names_its_points() -> None:
    """The deadline is for all points together; the error keeps its class."""
    with pytest.raises(pb.DeadlineExceeded, match=r"^points 0 to 10: "):
        pb.local().evaluate_many(GRAPH, STACKED, deadline_s=1e-9)


# --- over the wire --------------------------------------------------------------------------------


class Remote(pb.LocalService):
    """The local service, its map by the steps of the remote one over the wire's own bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.wire = Map(jobs=8)

    def map(self, jobs: Any, **_: Any) -> Any:
        """Outcomes that were encoded and decoded."""
        conversation = self.wire.transport.conversation
        steps = map_steps(conversation, self.wire.size, lambda job: job)
        return self.wire.shell.run(steps, jobs)


def test_blocks_travel() -> None:
    """The mapped graph goes once, then its name; a handle stands for what is common."""
    service = Remote()
    found = service.evaluate_many(GRAPH, STACKED, want=Gradient(("x", "w"), "y"), points_at_once=3)
    close(
        found.gradients["x"],
        pb.local().evaluate_many(GRAPH, STACKED, want=Gradient(("x",), "y")).gradients["x"],
    )
    assert len(service.wire.service.graphs) == 1
