"""Flags that contradict each other are refused before anything starts, naming the flag."""

from __future__ import annotations

from typing import Any

import pytest

from pullback_graph.errors import RequestError
from pullback_server.config import ServerConfig
from pullback_server.dispatcher.settings import DispatcherSettings
from pullback_server.planner.plan import Placement

CPU, GPU = Placement.CPU, Placement.GPU


@pytest.mark.parametrize(
    ("flags", "field"),
    [
        ({"workers": -1}, "--workers"),
        ({"min_workers": -1}, "--min-workers"),
        ({"max_workers": 0}, "--max-workers"),
        ({"min_workers": 5, "max_workers": 4}, "--min-workers"),
        ({"workers": 0, "max_workers": 4}, "--workers"),
        ({"workers": 0, "min_workers": 1}, "--workers"),
        ({"workers": 0, "gpu_workers": 1, "gpus_per_worker": 1.0}, "--workers"),
        ({"gpu_workers": 2}, "--gpus-per-worker"),
        ({"gpus_per_worker": -0.5}, "--gpus-per-worker"),
        ({"gpus_per_worker": float("nan")}, "--gpus-per-worker"),
        ({"gpus_per_worker": float("inf")}, "--gpus-per-worker"),
        ({"idle_s": 0.0}, "--idle-s"),
        ({"start_timeout_s": 0.0}, "--start-timeout-s"),
        ({"worker_memory_bytes": -1}, "--worker-memory-bytes"),
        ({"cancel_grace_s": 0.0}, "--cancel-grace-s"),
        ({"cancel_grace_s": float("inf")}, "--cancel-grace-s"),
    ],
)
def test_contradictions_are_refused(flags: dict[str, Any], field: str):
    """The error names the flag to change."""
    with pytest.raises(RequestError) as caught:
        ServerConfig(**flags)
    assert caught.value.field == field
    assert field in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "bounds"),
    [
        ({"workers": 3}, (3, 3)),
        ({"workers": 3, "max_workers": 8}, (3, 8)),
        ({"workers": 3, "min_workers": 0}, (0, 3)),
        ({"workers": 3, "min_workers": 5}, (5, 5)),
        ({"workers": 3, "max_workers": 2}, (2, 2)),
        ({"workers": 3, "min_workers": 1, "max_workers": 9}, (1, 9)),
    ],
)
def test_bounds_follow_the_number_of_workers(flags: dict[str, Any], bounds: tuple[int, int]):
    """A bound that is not given is the number of workers, as far as the other allows."""
    config = ServerConfig(**flags)
    assert (config.least_workers, config.most_workers) == bounds


@pytest.mark.parametrize(
    ("flags", "workers"),
    [
        ({"workers": 4}, {CPU: 4}),
        ({"workers": 4, "gpus_per_worker": 0.5}, {GPU: 4}),
        ({"workers": 4, "gpu_workers": 2, "gpus_per_worker": 0.5}, {CPU: 4, GPU: 2}),
    ],
)
def test_workers_are_of_the_kinds_asked_for(flags: dict[str, Any], workers: dict[Placement, int]):
    """GPUs for all workers, or for some beside those without."""
    settings = DispatcherSettings("/tmp/a", "/tmp/b", least_workers=1, **flags)
    assert settings.scheduler.workers == workers
    assert settings.scheduler == DispatcherSettings.from_json(settings.to_json()).scheduler
    if GPU in workers and CPU in workers:
        assert settings.scheduler.least(GPU) == workers[GPU]
