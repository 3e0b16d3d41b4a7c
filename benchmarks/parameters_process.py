"""The process that computes a gradient by 200 MB of parameters, many shards, by us and by hand.

It runs beside the server, on whichever host that is, and says on a line of JSON before and after
each call what it does and did, so that whoever started it can count bytes meanwhile.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from threadpoolctl import threadpool_limits

import pullback as pb
import pullback.numpy as pnp
from examples.server_process import running_server

NDArray: TypeAlias = "np.ndarray[Any, Any]"

OURS, THEIRS = "Pullback", "hand-written Ray"
SAME = 1e-9


class Problem(NamedTuple):
    """A network of `layers` square layers of `side` units, and its rows."""

    layers: int
    side: int
    rows: int
    shards: int

    @property
    def parameters_bytes(self) -> int:
        """Bytes of the parameters, and of their gradient."""
        return 8 * self.layers * self.side**2

    @property
    def data_bytes(self) -> int:
        """Bytes of all rows, inputs and targets."""
        return 2 * 8 * self.rows * self.side

    def least_bytes(self, workers: int, first: bool) -> int:
        """The least that so many workers can be given and send, the first time or later."""
        return 2 * workers * self.parameters_bytes + (self.data_bytes if first else 0)

    def parameters(self, seed: int) -> NDArray:
        """Parameters (L, D, D), such as nobody has seen."""
        shape = (self.layers, self.side, self.side)
        return np.random.default_rng(seed).normal(0.0, self.side**-0.5, shape)

    def data(self) -> tuple[NDArray, NDArray]:
        """Inputs (N, D) and targets (N, D)."""
        x, y = np.random.default_rng(0).normal(size=(2, self.rows, self.side))
        return x, y


LARGE, SMALL = Problem(25, 1_000, 1_024, 16), Problem(4, 100, 320, 16)


class Setting(NamedTuple):
    """What to run.

    Attributes:
        rounds: calls of each, besides a first.
        server, cluster: addresses of a server and its Ray; both are started here where none is
            given.
    """

    problem: Problem
    workers: int
    rounds: int
    server: str = ""
    cluster: str = ""


class Called(NamedTuple):
    """How a call went; bytes as the job's metrics have them, none of what is written by hand."""

    seconds: float
    moved_bytes: int = 0
    network_bytes: int = 0


Call: TypeAlias = "Callable[[NDArray], tuple[Called, float, NDArray]]"
"""Parameters -> how it went, the value and the gradient."""


def loss(w: Any, x: Any, y: Any) -> Any:
    """Mean square error of a network -> a scalar."""
    for k in range(w.shape[0]):
        x = pnp.tanh(x @ w[k])
    return pnp.mean((x - y) ** 2)


class HandWritten:
    """An actor that holds rows, and adds its shards' gradients up before it sends them."""

    def __init__(self) -> None:
        threadpool_limits(1)
        self.shards: list[tuple[NDArray, NDArray]] = []

    def hold(self, *arrays: NDArray) -> None:
        """Keep these rows: inputs and targets in turn."""
        self.shards = list(zip(arrays[::2], arrays[1::2], strict=True))

    def gradient(self, w: NDArray) -> tuple[float, NDArray]:
        """The squares over the rows held, summed, and the gradient of that sum."""
        value, total = 0.0, np.zeros_like(w)
        for x, y in self.shards:
            states = [x]
            for layer in w:
                states.append(np.tanh(states[-1] @ layer))
            error = states[-1] - y
            value += float(np.sum(error * error))
            cotangent = 2.0 * error
            for k in reversed(range(len(w))):
                cotangent = cotangent * (1.0 - states[k + 1] * states[k + 1])
                total[k] += states[k].T @ cotangent
                cotangent = cotangent @ w[k].T
        return value, total


@contextmanager
def by_hand(setting: Setting) -> Iterator[Call]:
    """Actors on the machines of the cluster that compute, each with its run of shards."""
    ray.init(
        address=setting.cluster or "local",
        num_cpus=None if setting.cluster else setting.workers,
        include_dashboard=None if setting.cluster else False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        actors = _actors(setting)

        def call(w: NDArray) -> tuple[Called, float, NDArray]:
            start = time.perf_counter()
            held = ray.put(w)
            (value, total), *others = ray.get([own.gradient.remote(held) for own in actors])
            for other_value, other in others:
                value, total = value + other_value, total + other
            results = setting.problem.rows * setting.problem.side
            gradient = total / results
            return Called(time.perf_counter() - start), value / results, gradient

        yield call
    finally:
        ray.shutdown()


def _actors(setting: Setting) -> list[Any]:
    """Actors that hold their rows."""
    nodes: Any = ray.nodes  # which Ray does not annotate
    machines = [own["NodeID"] for own in nodes() if own["Alive"] and own["Resources"].get("CPU")]
    actor: Any = ray.remote(num_cpus=0)(HandWritten)
    count, shards = setting.workers, setting.problem.shards
    x, y = (np.array_split(array, shards) for array in setting.problem.data())
    actors = []
    for number, run in enumerate(np.array_split(np.arange(shards), count)):
        there = NodeAffinitySchedulingStrategy(machines[number % len(machines)], soft=False)
        actors.append(actor.options(scheduling_strategy=there).remote())
        ray.get(actors[-1].hold.remote(*[array for k in run for array in (x[k], y[k])]))
    return actors


@contextmanager
def by_us(setting: Setting) -> Iterator[Call]:
    """A server with so many workers, and rows that stay with it."""
    with ExitStack() as stack:
        address = setting.server
        if not address:
            server = stack.enter_context(running_server("--workers", str(setting.workers)))
            server.wait_for_workers(setting.workers)
            address = server.address
        service = stack.enter_context(pb.connect(address))
        problem = setting.problem
        x, y = problem.data()
        graph = pb.trace(loss, problem.parameters(0), x, y)
        held = {"x": service.put(x), "y": service.put(y)}
        split = f"shard({problem.shards})"

        def call(w: NDArray) -> tuple[Called, float, NDArray]:
            start = time.perf_counter()
            result = service.gradient(graph, {"w": w, **held}, "w", split=split)
            seconds = time.perf_counter() - start
            (value,), metrics = result.outputs.values(), result.metrics
            called = Called(seconds, metrics.moved_bytes, metrics.network_bytes)
            return called, float(value), result.gradients["w"]

        yield call


def main(setting: Setting) -> None:
    """Call both in turn, waiting for a line before each call, and compare what they give."""
    with by_hand(setting) as theirs, by_us(setting) as ours:
        calls: Mapping[str, Call] = {THEIRS: theirs, OURS: ours}
        for number in range(setting.rounds + 1):
            w = setting.problem.parameters(number)
            found: dict[str, tuple[float, NDArray]] = {}
            for name in (OURS, THEIRS) if number % 2 else (THEIRS, OURS):
                _say({"calls": name, "round": number})
                sys.stdin.readline()
                called, value, gradient = calls[name](w)
                found[name] = value, gradient
                _say(called._asdict())
            (value, gradient), (expected, other) = found[OURS], found[THEIRS]
            np.testing.assert_allclose(value, expected, rtol=SAME)
            np.testing.assert_allclose(gradient, other, rtol=SAME, atol=SAME * np.abs(other).max())


def _say(line: Mapping[str, Any]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    problem, *rest = json.loads(sys.argv[1])
    main(Setting(Problem(*problem), *rest))
