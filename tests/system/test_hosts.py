"""A cluster of several hosts: server, head and workers apart, over links; one host is lost."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from tests.system.hosts import Host, can_make_hosts, hosts
from tests.system.running_link import wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_make_hosts(), reason="needs root, util-linux and iproute2"),
]

BIN = Path(sys.executable).parent
STORE = "--object-store-memory=100000000"
LINK_MEGABITS_PER_S = 1000
ROWS, COLUMNS = 40_000, 50
NODE_TIMEOUT_S = 120.0
Cluster = tuple[str, Sequence[Host]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """The server's address, and the hosts of two workers that may be lost."""
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    environment = {**secret, "RAY_USAGE_STATS_ENABLED": "0"}
    with hosts("head", "one", "two", "three", "server") as (head, *workers, server):
        for host in (head, *workers, server):
            host.limit_rate(LINK_MEGABITS_PER_S)
        address = f"{head.address}:6379"
        ray = [str(BIN / "ray"), "start", "--block", STORE, "--include-dashboard=false"]
        own = ["--head", "--port=6379", f"--node-ip-address={head.address}", "--num-cpus=0"]
        head.start(*ray, *own, environment=environment)
        for host, cpus in ((server, 0), *((worker, 1) for worker in workers)):
            words = [f"--address={address}", f"--node-ip-address={host.address}"]
            host.start(*ray[:-1], *words, f"--num-cpus={cpus}", environment=environment)
        flags = ["--host", server.address, "--http-host", server.address, "--ray-address", address]
        serve = [str(BIN / "pullback"), "serve", *flags, "--workers", "2"]
        server.start(*serve, environment=environment)
        wait_for(lambda: workers_up(server) == 2, NODE_TIMEOUT_S)
        yield f"{server.address}:50051", workers


def workers_up(server: Host) -> int:
    """How many workers the server has, by its metrics; none while it does not answer."""
    try:
        with urlopen(f"http://{server.address}:9464/metrics", timeout=5) as page:
            lines = str(page.read(), "utf-8").splitlines()
    except (URLError, OSError):
        return 0
    found = [line.rsplit(" ", 1) for line in lines if line.startswith("pullback_workers{")]
    return int(sum(float(count) for name, count in found if "starting" not in name))


def loss(w, x, y):
    """A mean over rows."""
    return pnp.mean((pnp.tanh(x @ w) - y) ** 2)


def test_each_host_is_sent_its_rows_and_what_stays_is_sent_once(cluster: Cluster):
    """Rows cross once, to the host of their shard; data sent ahead is there for the second job."""
    address, _ = cluster
    generator = np.random.default_rng(1)
    x, y = generator.normal(size=(ROWS, COLUMNS)), generator.normal(size=ROWS)
    w = generator.normal(size=COLUMNS)
    with pb.connect(address) as service:
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


def test_a_job_crosses_hosts_and_survives_the_loss_of_each_in_turn(cluster: Cluster):
    """The bits are those of a cluster that is whole; megabytes of inputs cross the links."""
    address, workers = cluster
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(ROWS, COLUMNS)), generator.normal(size=ROWS)
    w = generator.normal(size=COLUMNS)
    with pb.connect(address) as service, pb.local() as here:
        value_and_grad = service.value_and_grad(loss, wrt="w", split="shard(8)")
        value, gradient = value_and_grad(w, x, y)
        _, alone = here.value_and_grad(loss, wrt="w")(w, x, y)
        np.testing.assert_allclose(gradient, alone, rtol=1e-12)
        for lost in workers[:2]:
            lost.lose()
            again, same = value_and_grad(w, x, y)
            assert again == value
            np.testing.assert_array_equal(same, gradient)
