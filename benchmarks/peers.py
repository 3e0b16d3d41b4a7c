"""Other services that give a remote client a gradient; each takes part where it is installed.

Theirs is a model written in Python on the server, so what is compared is the way there and back.
`python -m benchmarks.peers NAME PORT` serves one of them, until it is ended.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from benchmarks.least_squares import COLUMNS, NDArray, by_hand

Call: TypeAlias = Callable[[NDArray, NDArray, NDArray], NDArray]
"""Weights, inputs, targets -> the gradient by the weights."""
START_S = 20.0


class Peer(NamedTuple):
    """One row: the distribution, its module, how it is served and how it is called."""

    module: str
    serve: Callable[[int], None]
    connect: Callable[[int], Call]


def _serve_pytensor_federated(port: int) -> None:
    """Arrays to arrays over gRPC."""
    service = import_module("pytensor_federated").ArraysToArraysService(by_hand)
    server_class = import_module("grpclib.server").Server

    async def serve() -> None:
        server = server_class([service])
        await server.start("127.0.0.1", port)
        await server.wait_closed()

    asyncio.run(serve())


def _call_pytensor_federated(port: int) -> Call:
    client = import_module("pytensor_federated").ArraysToArraysServiceClient("127.0.0.1", port)
    return lambda w, x, y: np.asarray(client.evaluate(w, x, y)[1])


def _serve_umbridge(port: int) -> None:
    """JSON over HTTP."""
    umbridge = import_module("umbridge")

    class LeastSquares(umbridge.Model):  # type: ignore[misc, name-defined]  # known only here
        def __init__(self) -> None:
            super().__init__("least_squares")

        def gradient(self, _: int, __: int, inputs: Any, sens: Any, config: Any = None) -> Any:
            w, x, y = (np.array(part) for part in inputs)
            return (sens[0] * by_hand(w, x.reshape(-1, COLUMNS), y)[1]).tolist()

        def get_input_sizes(self, config: Any = None) -> list[int]:
            return [3, 24, 8]

        def get_output_sizes(self, config: Any = None) -> list[int]:
            return [1]

        def supports_gradient(self) -> bool:
            return True

    umbridge.serve_models([LeastSquares()], port)


def _call_umbridge(port: int) -> Call:
    model = import_module("umbridge").HTTPModel(f"http://127.0.0.1:{port}", "least_squares")

    def call(w: NDArray, x: NDArray, y: NDArray) -> NDArray:
        inputs = [w.tolist(), x.ravel().tolist(), y.tolist()]
        return np.array(model.gradient(0, 0, inputs, [1.0]))

    return call


PEERS: dict[str, Peer] = {
    "pytensor-federated": Peer(
        "pytensor_federated", _serve_pytensor_federated, _call_pytensor_federated
    ),
    "umbridge": Peer("umbridge", _serve_umbridge, _call_umbridge),
}


@contextmanager
def running_peers() -> Iterator[tuple[dict[str, Call], list[str]]]:
    """The installed peers' calls by name and version, and a line for each that is missing."""
    missing = [name for name, peer in PEERS.items() if find_spec(peer.module) is None]
    with ExitStack() as stack:
        calls = {
            f"{name} {version(name)}": stack.enter_context(_running(name))
            for name in PEERS
            if name not in missing
        }
        yield calls, [f"{name}: not installed (pip install {name})" for name in missing]


@contextmanager
def _running(name: str) -> Iterator[Call]:
    port = _free_port()
    command = [sys.executable, "-m", "benchmarks.peers", name, str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield PEERS[name].connect(port)
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


if __name__ == "__main__":
    PEERS[sys.argv[1]].serve(int(sys.argv[2]))
