"""A server and its Ray cluster on hosts of their own, by the very commands of docs/clusters.md."""

from __future__ import annotations

import re
import secrets
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.system.hosts import Host, hosts
from tests.system.running_link import wait_for

BIN = Path(sys.executable).parent
STORE_BYTES = 100_000_000
LINK_MEGABITS_PER_S = 1000
PAGE = Path(__file__).parents[2] / "docs" / "clusters.md"
NODE_TIMEOUT_S = 300.0
READ = """
import sys, urllib.request
print(str(urllib.request.urlopen(f"http://{sys.argv[1]}:9464/metrics", timeout=5).read(), "utf-8"))
"""


@dataclass(frozen=True, slots=True)
class HostCluster:
    """The hosts, by what they do; `environment` holds the cluster's token."""

    head: Host
    server: Host
    workers: Sequence[Host]
    environment: dict[str, str]
    store_bytes: int = STORE_BYTES

    @property
    def store(self) -> str:
        """The flag of `ray start` for the size of a host's object store."""
        return f"--object-store-memory={self.store_bytes}"

    @property
    def address(self) -> str:
        """Where the server answers."""
        return f"{self.server.address}:50051"

    def metrics(self) -> dict[str, float]:
        """The server's samples by name, asked for on its host; none while it does not answer."""
        read = self.server.command(sys.executable, "-S", "-c", READ, self.server.address)
        page = subprocess.run(read, capture_output=True, text=True, check=False).stdout
        found = (line.rsplit(" ", 1) for line in page.splitlines() if line[:1] not in ("", "#"))
        return {name: float(value) for name, value in found}

    def sample(self, name: str) -> float:
        """The sum of the samples of a metric."""
        found = self.metrics().items()
        return sum(value for key, value in found if key.partition("{")[0] == name)

    def workers_up(self) -> int:
        """How many workers the server has."""
        found = self.metrics().items()
        up = (n for name, n in found if name.startswith("pullback_workers{"))
        starting = (n for name, n in found if "starting" in name)
        return int(sum(up) - sum(starting))

    def join(self, host: Host, cpus: int) -> None:
        """Make a host a node of the cluster; one that the head gave up joins again."""
        role = "the server's machine" if host is self.server else "each machine that computes"
        start = [*documented(role, self.head), self.store, f"--num-cpus={cpus}"]
        for_ever = f"while true; do {shlex.join(start)}; sleep 1; done"
        host.start("sh", "-c", for_ever, environment=self.environment)


def documented(role: str, head: Host) -> list[str]:
    """The command that the page gives for a machine; the programs are those of this Python."""
    found = re.findall(r"^\| (.+) \| `((?:ray|pullback) .+)` \|$", PAGE.read_text(), flags=re.M)
    program, *words = dict(found)[role].replace("HEAD", head.address).split()
    return [str(BIN / program), *words]


@contextmanager
def cluster_of_hosts(
    hosts_of_workers: int,
    workers: int,
    *flags: str,
    impaired: bool = False,
    store_bytes: int = STORE_BYTES,
) -> Iterator[HostCluster]:
    """A cluster with so many workers up, on so many hosts of one processor.

    Args:
        flags: more of `pullback serve`.
        impaired: whether links can have latency and loss; they have a rate otherwise.
        store_bytes: of each host's object store, and half of its shared memory at least.
    """
    environment = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    names = [f"worker-{number}" for number in range(hosts_of_workers)]
    with hosts("head", "server", *names, impaired=impaired) as (head, server, *own):
        if not impaired:
            for host in (head, server, *own):
                host.limit_rate(LINK_MEGABITS_PER_S)
        for host in (head, server, *own):
            host.make_room(2 * store_bytes)
        cluster = HostCluster(head, server, own, environment, store_bytes)
        head.start(*documented("head", head), cluster.store, environment=environment)
        for host, cpus in ((server, 0), *((host, 1) for host in own)):
            cluster.join(host, cpus)
        listen = ["--host", server.address, "--http-host", server.address]
        serve = [*documented("the same", head), "--workers", str(workers), *listen, *flags]
        server.start(*serve, environment=environment)
        wait_for(lambda: cluster.workers_up() == workers, NODE_TIMEOUT_S)
        yield cluster
