"""A cluster of several hosts: server, head and workers apart, over links; one host is lost."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from tests.system.host_cluster import HostCluster, cluster_of_hosts
from tests.system.hosts import can_make_hosts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_make_hosts(), reason="needs root, util-linux and iproute2"),
]

ROWS, COLUMNS = 40_000, 50


@pytest.fixture(scope="module")
def cluster() -> Iterator[HostCluster]:
    """Two workers, and three hosts they may be on."""
    with cluster_of_hosts(3, 2) as made:
        yield made


def loss(w, x, y):
    """A mean over rows."""
    return pnp.mean((pnp.tanh(x @ w) - y) ** 2)


def test_each_host_is_sent_its_rows_and_what_stays_is_sent_once(cluster: HostCluster):
    """Rows cross once, to the host of their shard; data sent ahead is there for the second job."""
    generator = np.random.default_rng(1)
    x, y = generator.normal(size=(ROWS, COLUMNS)), generator.normal(size=(ROWS, 1))
    w = generator.normal(size=(COLUMNS, 400))  # work that is worth a second host
    with pb.connect(cluster.address) as service:
        graph = pb.trace(loss, w, x, y)
        held = {"x": service.put(x), "y": service.put(y)}
        first, second = (
            service.gradient(graph, {"w": w, **held}, "w", split="shard(8)") for _ in range(2)
        )
    np.testing.assert_array_equal(first.gradients["w"], second.gradients["w"])
    assert first.metrics.workers == second.metrics.workers == 2
    data_bytes = x.nbytes + y.nbytes
    assert data_bytes <= first.metrics.network_bytes <= 1.1 * data_bytes
    assert second.metrics.network_bytes <= 0.3 * data_bytes  # a shard taken over, at most two


def deep_loss(w, x, y):
    """A mean over rows, of as many tanh layers as there are matrices."""
    for layer in range(w.shape[0]):
        x = pnp.tanh(x @ w[layer])
    return pnp.mean((x - y) ** 2)


def test_new_parameters_cross_once_for_each_worker_in_every_call(cluster: HostCluster):
    """Large ones there, and a sum of gradients back; no shard's gradient goes anywhere alone."""
    generator = np.random.default_rng(2)
    x, y = generator.normal(size=(2, 512, 500))
    layers = generator.normal(0.0, 500**-0.5, (6, 500, 500))
    with pb.connect(cluster.address) as service:
        graph = pb.trace(deep_loss, layers, x, y)
        held = {"x": service.put(x), "y": service.put(y)}
        calls = []
        for number in range(4):
            inputs = {"w": service.put(layers + number / 1000), **held}
            calls.append(service.gradient(graph, inputs, "w", split="shard(8)").metrics)
    for call in calls:
        least_bytes = 2 * call.workers * layers.nbytes
        assert call.network_bytes <= 1.1 * least_bytes + x.nbytes + y.nbytes


def test_a_job_crosses_hosts_and_survives_the_loss_of_each_in_turn(cluster: HostCluster):
    """The bits are those of a cluster that is whole; megabytes of inputs cross the links."""
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(ROWS, COLUMNS)), generator.normal(size=ROWS)
    w = generator.normal(size=COLUMNS)
    with pb.connect(cluster.address) as service, pb.local() as here:
        value_and_grad = service.value_and_grad(loss, wrt="w", split="shard(8)", reproducible=True)
        value, gradient = value_and_grad(w, x, y)
        _, alone = here.value_and_grad(loss, wrt="w")(w, x, y)
        np.testing.assert_allclose(gradient, alone, rtol=1e-12)
        for lost in cluster.workers[:2]:
            lost.lose()
            again, same = value_and_grad(w, x, y)
            assert again == value
            np.testing.assert_array_equal(same, gradient)
