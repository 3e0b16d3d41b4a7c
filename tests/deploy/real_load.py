"""A small real load on a running server: everything that a panel of the dashboard shows."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import Any

import numpy as np

import pullback as pb
import pullback.numpy as pnp

EXAMPLES, FEATURES = 400, 6


class RealLoad:
    """One bout a call, through a client's service; every bout brings graphs not seen before."""

    def __init__(self, service: Any) -> None:
        self._service = service
        self._bouts = count(2)
        random = np.random.default_rng(0)
        self._data = {
            "w": random.normal(size=FEATURES),
            "x": random.normal(size=(EXAMPLES, FEATURES)),
            "y": random.normal(size=EXAMPLES),
        }

    def __call__(self) -> None:
        """Send one bout: small jobs, a batch with broken ones, one over the workers, a bad one."""
        degree = next(self._bouts)
        graph = _loss(degree, self._data)
        small = {name: array[:4] if name != "w" else array for name, array in self._data.items()}
        few = graph.with_shapes({name: array.shape for name, array in small.items()})
        self._service.gradient(few, small, "w")
        self._service.value(few, small)
        jobs = [(few, small), (few, {"w": small["w"]})] * 5
        list(self._service.map(jobs, gradient="w"))
        self._service.gradient(graph, self._data, "w", split="shard(2)")
        with suppress(pb.PullbackError):  # one that is called off while a worker runs it
            self._service.value(LONG, {"x": np.asarray(0.5)}, deadline_s=0.3)
        with suppress(pb.PullbackError):
            self._service.gradient(few, small, "nothing of this name")


def _steps(x: Any) -> Any:
    return pb.lax.fori_loop(0, 3_000_000, lambda _, y: pnp.sin(y), x)


LONG = pb.trace(_steps, np.asarray(0.5))
"""Seconds of work, by steps between which it can be stopped."""


def _loss(degree: int, data: dict[str, Any]) -> pb.Graph:
    def loss(w: Any, x: Any, y: Any) -> Any:
        error = x @ w - y
        power = error
        for _ in range(degree):
            power = power * error / degree
        return (power * power).mean()

    return pb.trace(loss, data["w"], data["x"], data["y"])
