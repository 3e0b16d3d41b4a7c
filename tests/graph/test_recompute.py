"""Recomputation under a memory cap: the same bits, less memory, the work reported and bounded."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pullback as pb
import pullback.numpy as pnp
from pullback_graph.derivative import lower
from pullback_graph.errors import LimitExceeded
from pullback_graph.graph import Graph
from pullback_graph.memory import held_bytes, peak_bytes, profile
from pullback_graph.recompute import fit
from pullback_graph.recompute.binomial import runs, split, stacked, treeverse
from pullback_graph.recompute.blocks import chain, turning_point
from pullback_graph.want import Gradient
from pullback_worker.numpy_executor import NumpyExecutor, fold
from tests.graph.random_graphs import random_graph


def gradient_of(graph: Graph, output: str = "") -> Graph:
    """The graph that computes value and gradient by all inputs."""
    return lower(graph, Gradient(graph.input_names, output), fold=fold).graph


def results(graph: Graph) -> list[bytes]:
    """The bits of the outputs at fixed inputs."""
    random = np.random.default_rng(0)
    inputs = [np.asarray(random.normal(size=i.type.shape), i.type.dtype) for i in graph.inputs]
    return [array.tobytes() for array in NumpyExecutor().compile(graph)(inputs)]


def long_chain(length: int, width: int = 1000) -> Graph:
    """The gradient of a long chain of steps on one vector."""

    def function(x):
        for _ in range(length):
            x = pnp.sin(x) * 1.01 + x * x * 0.01
        return pnp.sum(x)

    return gradient_of(pb.trace(function, np.zeros(width)))


def wide_elementwise(x):
    """Large values that are cheap to compute again, all wanted by the derivative."""
    terms = [pnp.exp(x * float(i)) * pnp.sin(x) for i in range(1, 12)]
    return pnp.sum(pnp.tanh(sum(terms[1:], terms[0])))


# --- the whole ------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10_000), share=st.floats(0.2, 1.0))
def test_random_graphs_keep_their_bits_within_the_cap(seed: int, share: float):
    """Whatever the graph and the cap: the same outputs to the bit, or a refusal."""
    graph = gradient_of(random_graph(seed, nodes=25, smooth=True, scalar=True), "total")
    cap = int(peak_bytes(graph) * share)
    try:
        made = fit(graph, cap)
    except LimitExceeded:
        return
    assert peak_bytes(made.graph) == made.peak_bytes <= cap
    assert results(made.graph) == results(graph)


@pytest.mark.parametrize(("share", "most"), [(0.7, 1.3), (0.3, 1.5), (0.1, 1.8), (0.04, 4.5)])
def test_a_chain_trades_memory_for_a_little_work(share: float, most: float):
    """A tenth of the memory for less than twice the work, as the theory of treeverse has it."""
    graph = long_chain(200)
    made = fit(graph, int(peak_bytes(graph) * share))
    assert made.method == "treeverse"
    assert 1.0 < made.factor <= most
    assert results(made.graph) == results(graph)


def test_single_values_are_enough_where_they_are_cheap():
    """On a graph that is wide rather than long, what is cheapest for its bytes goes first."""
    graph = gradient_of(pb.trace(wide_elementwise, np.zeros(1000)))
    made = fit(graph, int(peak_bytes(graph) * 0.7))
    assert made.method == "values"
    assert made.factor < 1.5
    assert results(made.graph) == results(graph)


def test_what_fits_is_left_alone():
    """No work is added where there is no need."""
    graph = long_chain(3)
    made = fit(graph, peak_bytes(graph))
    assert made.graph is graph
    assert (made.factor, made.method) == (1.0, "none")


def test_what_cannot_fit_is_refused_with_what_would():
    """Both where nothing can help, and where what was tried is not enough."""
    graph = long_chain(50)
    with pytest.raises(LimitExceeded, match="inputs, outputs and the widest node alone take"):
        fit(graph, held_bytes(graph))
    with pytest.raises(LimitExceeded, match=r"by computing values again \d+ would do"):
        fit(graph, held_bytes(graph) + 4 * 8000)


def test_a_graph_without_nodes():
    """There is nothing to compute again."""
    graph = pb.trace(lambda x: x, np.zeros(3))
    assert fit(graph, 100).method == "none"
    with pytest.raises(LimitExceeded):
        fit(graph, 1)


# --- the parts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [1, 2, 3, 5])
@pytest.mark.parametrize("sweeps", [1, 2, 3])
def test_the_schedule_is_the_optimal_one(kept: int, sweeps: int):
    """C(c + r, c) blocks are reversed with r sweeps over any: Griewank & Walther 2000, (2)."""
    length = comb(kept + sweeps, kept)
    found = runs(length, kept)
    assert max(found) == sweeps + 1
    steps_ahead = sweeps * length - comb(kept + sweeps, kept + 1)
    assert sum(found) == steps_ahead + length


@given(length=st.integers(2, 300), kept=st.integers(0, 20))
def test_a_split_leaves_something_on_either_side(length: int, kept: int):
    """So that every schedule ends; and states are stacked as deep as allowed, not deeper."""
    assert 1 <= split(length, kept) <= length - 1
    assert len(runs(length, kept)) == length
    assert stacked([1] * length, kept) <= kept + 2


@pytest.mark.parametrize("blocks", [1, 2, 7, 64])
@pytest.mark.parametrize("kept", [0, 1, 4, 64])
def test_every_schedule_gives_the_same_bits(blocks: int, kept: int):
    """However the chain is cut, and however few states are kept."""
    graph = long_chain(20, 8)
    turn = turning_point(profile(graph))
    cut = chain(graph, turn, blocks)
    assert cut.bounds[0] == 0
    assert cut.bounds[-1] == turn
    assert sorted(p for own in cut.served for p in own) == list(range(turn, len(graph.nodes)))
    assert results(treeverse(graph, cut, kept)) == results(graph)


def test_the_peak_is_the_fullest_moment_of_the_profile():
    """A chain fills up to the turning point and empties from there on."""
    graph = long_chain(30)
    alive = profile(graph)
    turn = turning_point(alive)
    assert max(alive) == peak_bytes(graph) == alive[turn]
    assert alive[turn // 2] < alive[turn] > alive[(turn + len(alive)) // 2]
