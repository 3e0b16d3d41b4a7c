"""A Ray cluster of several nodes on this machine, a raylet each, of which any can be killed.

Run as a program it holds the cluster: it says the address, takes lines with a verb of `VERBS`, says
`done` after each, and ends with its standard input.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import kill
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest
from ray.cluster_utils import Cluster

from pullback_server.dispatcher.lifeline import end_session
from pullback_server.owned_folder import OwnedFolder
from tests.system.running_link import name_of, ticks, wait_for

STORE_BYTES = 200 << 20
WORKER = "ray::Worker"
LEAST_TICKS = 5
"""Hundredths of a second of a processor that a worker has used if it is at work."""


@dataclass(frozen=True, slots=True)
class RayNodes:
    """A running cluster: a head, which computes nothing, and nodes of one processor."""

    address: str
    process: subprocess.Popen[str]

    def lose(self) -> None:
        """End the node whose worker works most, and all on it, at once; there is a new one then."""
        self._tell("lose")

    def lose_head(self) -> None:
        """End the head at once, and the nodes with it; there are new ones at the same address."""
        self._tell("lose_head")

    def _tell(self, verb: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(verb, file=self.process.stdin, flush=True)
        assert self.process.stdout.readline() == "done\n"


@contextmanager
def ray_nodes(count: int) -> Iterator[RayNodes]:
    """A cluster of a head and so many nodes, with a secret that this process has while it lasts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.system.ray_nodes", str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={"RAY_USAGE_STATS_ENABLED": "0", **os.environ},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with process.stdin, process.stdout:
                yield RayNodes(process.stdout.readline().strip(), process)
            process.wait(30)
        finally:
            end_session(process.pid)


class Holder:
    """The cluster, where it is held."""

    def __init__(self, count: int, folder: Path) -> None:
        self._count, self._folder = count, folder
        with socket.socket() as probe:
            probe.bind(("", 0))
            self._port: int = probe.getsockname()[1]
        self._start()

    @property
    def address(self) -> str:
        """Where the head is."""
        return str(self._cluster.address)

    def lose(self) -> None:
        """End the node whose worker works most."""
        node = self._busiest()
        raylet, children = _raylet(node), _children(node)
        for process in (raylet, *children):  # a worker would otherwise go on for some seconds
            kill(process, SIGKILL)
        self._cluster.remove_node(node, allow_graceful=False)
        self._add()

    def _busiest(self) -> Any:
        """The node whose worker has used most processor time since the first look."""
        first = self._ticks()

        def found() -> Any:
            used = {node: now - first.get(node, now) for node, now in self._ticks().items()}
            node = max(used, key=used.__getitem__, default=None)
            return node if used.get(node, 0) >= LEAST_TICKS else None

        return wait_for(found)

    def _ticks(self) -> dict[Any, int]:
        """Processor time so far of the worker on each node that has one."""
        return {
            node: ticks(child)
            for node in self._cluster.worker_nodes
            for child in _children(node)
            if WORKER in name_of(child)
        }

    def lose_head(self) -> None:
        """End the head, and have another."""
        head: Any = self._cluster.head_node
        self._cluster.remove_node(head, allow_graceful=False)
        self.end()
        self._start()

    def end(self) -> None:
        """End all nodes."""
        for node in tuple(self._cluster.worker_nodes):
            self._cluster.remove_node(node, allow_graceful=False)
        self._cluster.shutdown()

    def _start(self) -> None:
        head = {"num_cpus": 0, "include_dashboard": False, "gcs_server_port": self._port}
        store = {"object_store_memory": STORE_BYTES, "temp_dir": str(self._folder / "ray")}
        self._cluster = Cluster(initialize_head=True, head_node_args={**head, **store})
        for _ in range(self._count):
            self._add()

    def _add(self) -> None:
        self._cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)


def _raylet(node: Any) -> int:
    """The process that all others on a node are children of."""
    return int(node.all_processes["raylet"][0].process.pid)


def _children(node: Any) -> list[int]:
    """Workers on a node, with what else its raylet started."""
    raylet = _raylet(node)
    return [int(n) for n in Path(f"/proc/{raylet}/task/{raylet}/children").read_text().split()]


VERBS = {"lose": Holder.lose, "lose_head": Holder.lose_head}


def say(line: str) -> None:
    """Tell whoever started this."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(count: int) -> None:
    """Hold a cluster until standard input ends."""
    folder = OwnedFolder(Path("/tmp"), "pullback-test-")
    holder = Holder(count, folder.path)
    say(holder.address)
    for line in sys.stdin:
        VERBS[line.strip()](holder)
        say("done")
    holder.end()
    folder.remove()


if __name__ == "__main__":
    main(int(sys.argv[1]))
