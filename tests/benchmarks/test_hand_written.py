from __future__ import annotations

import numpy as np

import pullback as pb
from benchmarks import classifier, least_squares
from benchmarks.classifier_by_hand import added, shards_of, sum_of_losses
from benchmarks.expressions import small_graphs

SIZES = classifier.Sizes(rows=21, inputs=5, hidden=4, classes=3)


def test_the_hand_written_gradient_is_the_classifier_s():
    """The peer computes the same function: its shards' sums are the traced loss and gradient."""
    weights, (x, y) = SIZES.weights(0), SIZES.data()
    value, gradient = added([sum_of_losses(weights, shard) for shard in shards_of(x, y, 4)])
    wrt = list(classifier.NAMES)
    expected, by_name = pb.local().value_and_grad(classifier.loss, wrt=wrt)(*weights, x, y)
    np.testing.assert_allclose(value / SIZES.rows, expected, rtol=1e-12)
    for own, other in zip(gradient, by_name, strict=True):
        np.testing.assert_allclose(own / SIZES.rows, other, rtol=1e-10, atol=1e-14)


def test_the_tiny_job_by_hand_is_the_traced_one():
    """The peers' model is the service's graph."""
    w, x, y = least_squares.data()
    value, gradient = least_squares.by_hand(w, x, y)
    expected, traced = pb.local().value_and_grad(least_squares.loss)(w, x, y)
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    np.testing.assert_allclose(gradient, traced, rtol=1e-13)


def test_small_graphs_are_all_different():
    """No fingerprint comes twice, within a seed or across seeds."""
    graphs = [graph for seed in (0, 1) for graph in small_graphs(200, seed)]
    assert len({graph.fingerprint for graph in graphs}) == 400
