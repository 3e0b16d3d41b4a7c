"""Hosts behind links with latency and loss, cut for seconds or for good: nothing lost or doubled.

What a cut costs is time; how much is in docs/clusters.md.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from tests.system.host_cluster import HostCluster, cluster_of_hosts
from tests.system.hosts import Host, can_impair
from tests.system.running_link import wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not can_impair(), reason="needs root, util-linux, iproute2 and TAP devices"),
]

LATENCY_MS, LOSS = 5.0, 0.005
ROWS, COLUMNS, JOBS = 2_000, 20, 150
CUT_S = 6.0
PATIENCE_S = 240.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[HostCluster]:
    """Two workers, each on a host of its own; every link is bad."""
    with cluster_of_hosts(2, 2, impaired=True) as made:
        for host in (made.head, made.server, *made.workers):
            heal(host)
        yield made


@pytest.fixture
def service(cluster: HostCluster) -> Iterator[Any]:
    """A client, behind the server's link."""
    with pb.connect(cluster.address) as connected:
        yield connected


def heal(host: Host) -> None:
    """Let a link be no worse than it was."""
    host.impair(LATENCY_MS, LOSS)


def loss(w: Any, x: Any, y: Any) -> Any:
    """A mean over rows."""
    return pnp.mean((pnp.tanh(x @ w) - y) ** 2)


def data() -> tuple[Any, Any]:
    """Inputs (N, D) and targets (N,)."""
    generator = np.random.default_rng(0)
    return generator.normal(size=(ROWS, COLUMNS)), generator.normal(size=ROWS)


def answers(service: Any, hurt: threading.Event | None = None) -> list[bytes]:
    """The bits of the gradients of many jobs by one map; `hurt` is set when a third is there."""
    x, y = data()
    held = {"x": service.put(x), "y": service.put(y)}
    graph = pb.trace(loss, np.zeros(COLUMNS), x, y)
    jobs = ((graph, {"w": np.full(COLUMNS, k / JOBS), **held}) for k in range(JOBS))
    found = []
    for outcome in service.map(jobs, gradient="w", split="shard(2)", reproducible=True):
        assert isinstance(outcome, pb.Result), outcome
        found.append(outcome.gradients["w"].tobytes())
        if hurt is not None and len(found) == JOBS // 3:
            hurt.set()
    return found


def test_latency_and_loss_cost_time_alone(cluster: HostCluster, service: Any):
    """Sharded gradients are those of one process; the bits are the same every time."""
    first = answers(service)
    x, y = data()
    with pb.local() as here:
        alone = here.value_and_grad(loss, wrt="w")(np.full(COLUMNS, 2 / JOBS), x, y)[1]
    np.testing.assert_allclose(np.frombuffer(first[2]), alone, rtol=1e-12)
    assert answers(service) == first
    assert cluster.sample("pullback_workers_lost_total") == 0


@pytest.mark.parametrize("cut_off", ["worker", "server", "head"])
def test_a_link_cut_for_seconds_loses_nothing(cluster: HostCluster, service: Any, cut_off: str):
    """A host is cut off under load and comes back; each job is ended once."""
    host = {"worker": cluster.workers[0], "server": cluster.server, "head": cluster.head}[cut_off]
    whole = answers(service)
    before = cluster.sample("pullback_jobs_total")
    hurt = threading.Event()
    with ThreadPoolExecutor(1) as other:
        running = other.submit(answers, service, hurt)
        hurt.wait(PATIENCE_S)
        host.cut()
        threading.Event().wait(CUT_S)
        heal(host)
        assert running.result(PATIENCE_S) == whole
    assert cluster.sample("pullback_jobs_total") == before + JOBS


def slow(x: Any) -> Any:
    """A chain of products that takes a worker minutes."""
    return pnp.sum(pb.lax.fori_loop(0, 1_000_000, lambda _, y: y @ x, x))


def test_a_server_that_is_cut_off_is_given_up_and_lets_its_client_go(
    cluster: HostCluster, service: Any
):
    """Who waits for an answer is told; what was computed for a client that is gone, is stopped."""
    x = np.linalg.qr(np.random.default_rng(0).normal(size=(60, 60)))[0]
    graph = pb.trace(slow, x)
    retry = pb.RetryPolicy(attempts=1)
    with pb.connect(cluster.address, retry=retry) as waiting, ThreadPoolExecutor(1) as other:
        job = other.submit(waiting.evaluate, graph, {"x": x}, split="none")
        wait_for(lambda: cluster.sample("pullback_in_flight_tasks"))
        cluster.server.cut()
        try:
            with pytest.raises(pb.ServiceError):
                job.result(PATIENCE_S)
        finally:
            heal(cluster.server)
    wait_for(lambda: cluster.metrics() and not cluster.sample("pullback_in_flight_tasks"))
    assert answers(service)


def test_a_link_cut_for_good_loses_nothing(cluster: HostCluster, service: Any):
    """The worker behind it is given up, its work done by the other; what comes late is not counted.

    This test is the last: the host does not come back.
    """
    whole = answers(service)
    before = cluster.sample("pullback_jobs_total")
    hurt = threading.Event()
    with ThreadPoolExecutor(1) as other:
        running = other.submit(answers, service, hurt)
        hurt.wait(PATIENCE_S)
        cluster.workers[1].cut()
        assert running.result(PATIENCE_S) == whole
        wait_for(lambda: cluster.sample("pullback_workers_lost_total") >= 1, PATIENCE_S)
        heal(cluster.workers[1])
        assert answers(service) == whole
    assert cluster.sample("pullback_jobs_total") == before + 2 * JOBS
