"""A job that takes its workers' memory, among others under load, fails alone, by its own error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from benchmarks.process_faults import memory_limit
from examples.server_process import RunningServer, running_server
from tests.system.running_link import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

WORKER = "ray::WorkerActor"
LIMIT_BYTES = 700 << 20
"""Of a worker's own memory: what has more is killed, as by the limit of a container."""
JOBS, POISON_EVERY = 120, 40
LOSSES = 3
"""Of workers, after which a task is not run again."""


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A server with two workers."""
    with running_server("--workers", "2") as running:
        running.wait_for_workers(2)
        yield running


def loss(w: Any, x: Any) -> Any:
    """A mean over rows."""
    return pnp.mean(pnp.tanh(x @ w) ** 2)


def jobs() -> Iterator[Any]:
    """Good jobs, and after every so many of them one that takes a gigabyte."""
    x, matrix = np.random.default_rng(0).normal(size=(2000, 10)), np.ones((11_000, 8))
    good = pb.trace(loss, np.zeros(10), x)
    poison = pb.trace(lambda a: pnp.sum(pnp.tanh(a @ a.T)), matrix)
    for k in range(JOBS):
        inputs = {"w": np.full(10, k / JOBS), "x": x}
        options = pb.Options(split=pb.Split("shard", 2), reproducible=True)
        yield pb.Job(good, inputs, pb.Gradient(("w",)), options=options)
        if k % POISON_EVERY == POISON_EVERY // 2:
            yield pb.Job(poison, {"a": matrix}, options=pb.Options(split=pb.Split("none")))


def gradients(outcomes: list[Any]) -> list[bytes]:
    """The bits of the good jobs' gradients; all of them are there."""
    good = [found for found in outcomes if not isinstance(found, pb.PullbackError)]
    return [found.gradients["w"].tobytes() for found in good]


def test_a_poison_job_fails_alone_and_names_what_it_cost(server: RunningServer):
    """Each costs three workers and no more; who ran beside it has the bits of a run without."""
    with pb.connect(server.address) as service:
        whole = [job for job in jobs() if isinstance(job.want, pb.Gradient)]
        expected = gradients(list(service.map(whole)))
        with memory_limit(WORKER, LIMIT_BYTES, server.processes) as hits:
            outcomes = list(service.map(jobs()))
        poisoned = [found for found in outcomes if isinstance(found, pb.PullbackError)]
        assert gradients(outcomes) == expected
        assert len(expected) == JOBS
        assert len(poisoned) == JOBS // POISON_EVERY
        for error in poisoned:
            assert isinstance(error, pb.ExecutionError)
            assert f"took {LOSSES} workers down" in str(error)
        assert hits.count == LOSSES * len(poisoned)
        wait_for(lambda: server.metrics()['pullback_workers{kind="cpu",state="idle"}'] == 2)
        assert gradients(list(service.map(whole))) == expected
