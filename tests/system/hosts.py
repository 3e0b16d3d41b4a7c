"""Hosts on one machine: network, process and mount namespaces of their own, joined by a bridge.

What runs on a host sees the host's address, processes, /tmp and shared memory alone. A host is lost
as a machine is: everything on it ends at once. Its cable is one of the kernel's, which has a rate,
or one of ours, which has latency and loss and can be cut (`link.py`; few kernels have netem).
Needs root, util-linux and Debian's iproute2.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import NamedTuple

NETWORKS = [IPv4Network(f"10.213.{number}.0/24") for number in range(256)]
"""Not routed anywhere: the bridges that carry them have no way out. One for each who has hosts."""
TOOLS = ("ip", "tc", "unshare", "nsenter")
LINK = Path(__file__).with_name("link.py")
LEAST_SHARED_BYTES = 1 << 30
OWN_FOLDERS = "mount -t tmpfs tmpfs /tmp && mount -t tmpfs -o size=1g tmpfs /dev/shm"
"""Ray finds machines by what lies there."""


def can_make_hosts() -> bool:
    """Whether this process may make network namespaces, and has the tools for it."""
    if os.geteuid() or not all(map(shutil.which, TOOLS)):
        return False
    probe = subprocess.run(["unshare", "--net", "--pid", "--fork", "true"], check=False)
    return probe.returncode == 0


def can_impair() -> bool:
    """Whether their cables may have latency and loss besides."""
    return can_make_hosts() and os.access("/dev/net/tun", os.R_OK | os.W_OK)


@dataclass(frozen=True, slots=True)
class Host:
    """A host: its name, its address, its cable, and its first process, which all end with.

    Attributes:
        link: what carries its frames, where the kernel does not.
    """

    name: str
    address: str
    cable: str
    first: subprocess.Popen[bytes]
    link: subprocess.Popen[bytes] | None = None
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def command(self, *words: str) -> list[str]:
        """The command that runs those words here."""
        (inside,) = _children(self.first.pid)
        return ["nsenter", f"--target={inside}", "--net", "--pid", "--mount", "--", *words]

    def start(self, *words: str, environment: Mapping[str, str]) -> None:
        """Start a command that goes on until the host is lost, or it ends by itself."""
        self.started.append(
            subprocess.Popen(
                self.command(*words),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **environment},
            )
        )

    def lose(self) -> None:
        """End everything on the host at once, as a power cut would."""
        self.first.kill()
        for process in (self.first, *self.started):
            process.wait()
        if self.link is not None:
            self.link.communicate()
        _try("ip", "link", "del", self.cable)

    def make_room(self, shared_bytes: int) -> None:
        """Let so much lie in the host's shared memory, or what it began with if that is more."""
        size_bytes = max(shared_bytes, LEAST_SHARED_BYTES)
        _run(*self.command("mount", "-o", f"remount,size={size_bytes}", "/dev/shm"))

    @property
    def sent_bytes(self) -> int:
        """All that left this host so far: what this end of its cable received."""
        words = ["ip", "-statistics", "-json", "link", "show", "dev", self.cable]
        (cable,) = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
        return int(cable["stats64"]["rx"]["bytes"])

    def limit_rate(self, megabits_per_s: int) -> None:
        """Let no more leave this host in a second."""
        shape = ["tbf", "rate", f"{megabits_per_s}mbit", "burst", "256k", "latency", "50ms"]
        _run(*self.command("tc", "qdisc", "replace", "dev", "eth0", "root", *shape))

    def impair(self, latency_ms: float, loss: float) -> None:
        """Let what comes and what goes be so much later, and a share of both never arrive."""
        assert self.link is not None
        assert self.link.stdin is not None
        self.link.stdin.write(b"%g %g\n" % (latency_ms, loss))
        self.link.stdin.flush()

    def cut(self) -> None:
        """Let nothing through, either way."""
        self.impair(0.0, 1.0)


@contextmanager
def hosts(*names: str, impaired: bool = False) -> Iterator[Sequence[Host]]:
    """Hosts of these names for as long as the block lasts; this process reaches all of them.

    Args:
        impaired: whether their cables are ours, with a latency and a loss that are zero at first.
    """
    with ExitStack() as stack:
        bridge = _new_bridge()
        stack.callback(_run, "ip", "link", "del", bridge.name)
        _run("ip", "addr", "add", f"{bridge.address}/{bridge.prefix}", "dev", bridge.name)
        _run("ip", "link", "set", bridge.name, "up")
        made = []
        for number, name in enumerate(names):
            made.append(_host(name, number, bridge, impaired))
            stack.callback(made[-1].lose)
        yield made


class Bridge(NamedTuple):
    """What joins hosts: its name and address, their addresses, and the length of the prefix."""

    name: str
    address: str
    addresses: Sequence[str]
    prefix: int


def _new_bridge() -> Bridge:
    """A bridge that nobody else has, since a name is there once, and its network."""
    for number, network in enumerate(NETWORKS):
        try:
            _run("ip", "link", "add", f"pb{number}", "type", "bridge")
        except subprocess.CalledProcessError:
            continue
        own, *others = [str(address) for address in network.hosts()]
        return Bridge(f"pb{number}", own, others, network.prefixlen)
    raise RuntimeError("all bridges are taken; remove what `ip link` shows as pb0 to pb255")


def _host(name: str, number: int, bridge: Bridge, impaired: bool) -> Host:
    """Make a host and lay a cable from it to the bridge."""
    cable, address = f"{bridge.name}-{number}", bridge.addresses[number]
    first = subprocess.Popen(
        ["unshare", "--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc",
         "sh", "-c", f"{OWN_FOLDERS} && echo ready && exec sleep infinity"],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert first.stdout is not None
    with first.stdout:
        ready = first.stdout.readline().strip()
    if ready != b"ready":
        first.kill()
        raise RuntimeError(f"host {name} could not be made")
    (inside,) = _children(first.pid)
    link = _lay(cable, inside, impaired)
    host = Host(name, address, cable, first, link)
    _run("ip", "link", "set", cable, "master", bridge.name, "up")
    # Ray finds a machine's address by the way to the world, which nothing here goes.
    for words in (
        ("addr", "add", f"{address}/{bridge.prefix}", "dev", "eth0"),
        ("link", "set", "eth0", "up"),
        ("link", "set", "lo", "up"),
        ("route", "add", "default", "via", bridge.address),
    ):
        _run(*host.command("ip", *words))
    return host


def _lay(cable: str, inside: str, impaired: bool) -> subprocess.Popen[bytes] | None:
    """Make both ends of a cable, the far one inside a namespace; what carries frames, if any."""
    _try("ip", "link", "del", cable)
    if not impaired:
        _run("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", inside)
        return None
    far = f"{cable}-far"
    link = subprocess.Popen(
        [sys.executable, str(LINK), cable, far], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert link.stdout is not None
    assert link.stdout.readline() == b"ready\n"
    _run("ip", "link", "set", far, "netns", inside, "name", "eth0")
    return link


def _children(process: int) -> list[str]:
    with open(f"/proc/{process}/task/{process}/children") as file:
        return file.read().split()


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def _try(*words: str) -> None:
    """The same, where it does not matter whether there is anything to do."""
    subprocess.run(words, check=False, capture_output=True)
