"""Parameters of 200 MB and many shards: how many bytes move, over the least that could.

The least: each worker is given all parameters once and its own rows once, and sends one array of
the parameters' size, the sum of its shards' gradients. Rows stay with the workers, so after the
first call only parameters and gradients move.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.parameters_process import (
    LARGE,
    OURS,
    SMALL,
    THEIRS,
    Called,
    Problem,
    Setting,
)
from benchmarks.report import Figure, Goal, Report, Request
from tests.system.host_cluster import LINK_MEGABITS_PER_S, cluster_of_hosts
from tests.system.hosts import can_make_hosts

WORKERS = 2
ROUNDS = 3
PLACES = MACHINE, HOSTS = "machine", "hosts"
MOVED = Goal("at_most", 1.1)
STORE_BYTES = 1 << 30
NO_HOSTS = "large parameters on several hosts: needs root, util-linux and iproute2"
QUICK = "large parameters on several hosts: not in a quick run"


class Place(NamedTuple):
    """Where the process runs: what goes before its command, its setting, and what crossed so far.

    Attributes:
        crossed_bytes: what hosts sent each other by now; 0 on one machine.
    """

    prefix: Sequence[str]
    setting: Setting
    environment: Mapping[str, str]
    crossed_bytes: Callable[[], int]


class Observed(NamedTuple):
    """A call, and the bytes that crossed cables meanwhile."""

    called: Called
    crossed_bytes: int


def run(request: Request) -> Report:
    """Measure both on one machine, and on hosts where there can be some and time is no matter.

    Of these, the places that the request names, `machine` and `hosts`.
    """
    problem = SMALL if request.quick else LARGE
    workload = [
        f"gradient by {problem.parameters_bytes / 1e6:,.3g} MB of parameters: {problem.layers} "
        f"layers of {problem.side} tanh units, {problem.rows:,} rows, {problem.shards} shards, "
        f"{WORKERS} workers; new parameters every call",
        "the least: each worker gets the parameters once and its rows once (the first call; they "
        "stay), and sends one array of the parameters' size; a job kept on one worker moves half",
        f"hosts: network namespaces of this machine, {LINK_MEGABITS_PER_S} Mbit/s each; bytes by "
        "their interfaces, headers and all",
        f"{1 if request.quick else ROUNDS} later call(s) of each in turn; medians",
    ]
    setting = Setting(problem, WORKERS, 1 if request.quick else ROUNDS)
    places = request.only or PLACES
    figures: list[Figure] = []
    left_out = []
    if MACHINE in places:
        figures += _figures(problem, "one machine", _observe(Place((), setting, {}, lambda: 0)))
    if HOSTS in places and (request.quick or not can_make_hosts()):
        left_out = [QUICK if request.quick else NO_HOSTS]
    elif HOSTS in places:
        with _on_hosts(setting) as place:
            figures += _figures(problem, "hosts", _observe(place))
    return Report("parameters", "", workload, figures, left_out)


# --- the calls ------------------------------------------------------------------------------------


def _observe(place: Place) -> dict[str, list[Observed]]:
    """The calls of both, in order; the first of each brings the rows.

    Raises:
        RuntimeError: the process failed; its own words.
    """
    command = [*place.prefix, sys.executable, "-m", "benchmarks.parameters_process"]
    found: dict[str, list[Observed]] = defaultdict(list)
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            [*command, json.dumps(place.setting)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **place.environment, "PYTHONPATH": _import_path()},
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            before_bytes = place.crossed_bytes()
            process.stdin.write("\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            if answer:
                crossed_bytes = place.crossed_bytes() - before_bytes
                called = Called(**json.loads(answer))
                found[json.loads(line)["calls"]].append(Observed(called, crossed_bytes))
        if process.wait():
            errors.seek(0)
            raise RuntimeError(errors.read().decode(errors="replace")[-2000:])
    return found


def _import_path() -> str:
    """Where Python finds this package from within a host, which starts at its own root."""
    own = str(Path(__file__).resolve().parent.parent)
    return os.pathsep.join(filter(None, [own, os.environ.get("PYTHONPATH", "")]))


def _figures(
    problem: Problem, where: str, found: Mapping[str, Sequence[Observed]]
) -> Iterator[Figure]:
    """Bytes over the least, at first and later, and times."""
    for title, first, calls in (("first call", True, slice(1)), ("later", False, slice(1, None))):
        least_bytes = problem.least_bytes(WORKERS, first)
        for name, bytes_of in COUNTERS.items():
            for who in (OURS, THEIRS):
                ratio = median(bytes_of(call) for call in found[who][calls]) / least_bytes
                if ratio:
                    goal = MOVED if who == OURS else None
                    yield Figure(
                        f"{where}, {title}: {who}, {name} over the least", ratio, "x", goal
                    )
    seconds = {who: [call.called.seconds for call in own[1:]] for who, own in found.items()}
    for who in (OURS, THEIRS):
        yield Figure(f"{where}: {who}", median(seconds[who]), "s")
    ratio = median(a / b for a, b in zip(seconds[OURS], seconds[THEIRS], strict=True))
    yield Figure(f"{where}: {OURS} over {THEIRS}", ratio, "x")


COUNTERS: dict[str, Callable[[Observed], int]] = {
    "bytes moved": lambda call: call.called.moved_bytes,
    "bytes between machines": lambda call: call.called.network_bytes,
    "bytes on the cables": lambda call: call.crossed_bytes,
}
"""The first two as the job's metrics have them, which know nothing of what is written by hand."""


# --- hosts ----------------------------------------------------------------------------------------


@contextmanager
def _on_hosts(setting: Setting) -> Iterator[Place]:
    """A head, a server beside which the process runs, and a host for each worker."""
    workers = setting.workers
    with cluster_of_hosts(workers, workers, store_bytes=STORE_BYTES) as cluster:
        everyone = (cluster.head, cluster.server, *cluster.workers)
        yield Place(
            cluster.server.command(),
            setting._replace(server=cluster.address, cluster=f"{cluster.head.address}:6379"),
            cluster.environment,
            lambda: sum([host.sent_bytes for host in everyone]),
        )
