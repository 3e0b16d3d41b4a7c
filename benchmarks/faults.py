"""Jobs on workers while processes are killed under them: none lost, none wrong, none twice.

Every answer is compared to the bit with that of a run in which nothing was hurt. What a kill costs
is the time a run takes longer than that one, over the number of kills.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np

import pullback as pb
from benchmarks.classifier import NAMES, Sizes, loss
from benchmarks.report import Figure, Goal, Report, Request
from examples.server_process import RunningServer, running_server

WORKERS = 2
SHARDS = 2
"""Of every job: two tasks and their reduction, all of them on workers."""
NONE = Goal("at_most", 0.0)

Answer: TypeAlias = "tuple[bytes, ...]"
"""The bits of a value and its gradient."""


class Fault(NamedTuple):
    """One row of the table: what is hurt, how its processes are known, by what, and how often.

    Attributes:
        named: part of the command line of a process that may be hit.
        period_s: between two hits; longer where what was hit takes longer to come back.
    """

    title: str
    named: str
    signal: signal.Signals
    period_s: float


FAULTS = (
    Fault("worker killed", "ray::WorkerActor", signal.SIGKILL, 3.0),
    Fault("dispatcher killed", "pullback_server.dispatcher", signal.SIGKILL, 20.0),
    Fault("Ray's node killed", "raylet/raylet", signal.SIGKILL, 25.0),
    Fault("Ray's head killed", "gcs_server", signal.SIGKILL, 25.0),
)


@dataclass
class Outcome:
    """What became of the jobs of one run.

    Attributes:
        answers: by job.
        ended: jobs that the server says it ended, which is one for each.
        failed: errors in place of answers.
        hits: processes that were hurt meanwhile.
        retries: tasks that the server ran again.
    """

    answers: dict[int, Answer] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    ended: float = 0.0
    seconds: float = 0.0
    hits: int = 0
    retries: int = 0


def run(request: Request) -> Report:
    """Run the same jobs unharmed, and then under each fault."""
    jobs, sizes = (120, Sizes(200, 4, 4, 3)) if request.quick else (10_000, Sizes(400, 8, 8, 4))
    faults = FAULTS[:1] if request.quick else FAULTS
    runs: dict[str, Outcome] = {}
    with running_server("--workers", str(WORKERS)) as server:
        server.wait_for_workers(WORKERS)
        _hold(server, jobs // 10, sizes, None)  # what the workers compile and load, they have then
        expected = runs["nothing"] = _hold(server, jobs, sizes, None)
        for fault in faults:
            runs[fault.title] = _hold(server, jobs, sizes, fault)
            server.wait_for_workers(WORKERS)  # what was hurt last comes back first
    workload = [
        f"{jobs:,} jobs by one `map`: value and gradient of a classifier of {sizes.rows} rows, "
        f"other weights in each, {SHARDS} shards and a reduction on {WORKERS} workers",
        "wrong: another bit than in the run that nothing was hurt in",
        *[f"{fault.title}: one every {fault.period_s:g} s" for fault in faults],
    ]
    figures = [figure for title, found in runs.items() for figure in _row(title, found, expected)]
    return Report("faults", "", workload, figures)


def _row(title: str, found: Outcome, expected: Outcome) -> Iterator[Figure]:
    """The figures of one run."""
    wrong = sum(answer != expected.answers[job] for job, answer in found.answers.items())
    yield Figure(f"{title}: time", found.seconds, "s")
    yield Figure(f"{title}: jobs lost", float(len(found.failed)), "", NONE)
    if found is expected:
        return
    yield Figure(f"{title}: jobs wrong", float(wrong), "", NONE)
    twice = found.ended - len(found.answers) - len(found.failed)
    yield Figure(f"{title}: jobs ended twice", twice, "", NONE)
    yield Figure(f"{title}: hits", float(found.hits), "")
    yield Figure(f"{title}: tasks run again", float(found.retries), "")
    lost_s = (found.seconds - expected.seconds) / max(found.hits, 1)
    yield Figure(f"{title}: time lost a hit", lost_s, "s")


def _hold(server: RunningServer, jobs: int, sizes: Sizes, fault: Fault | None) -> Outcome:
    """One map of all jobs, with something being hurt all the while."""
    outcome = Outcome()
    x, y = sizes.data()
    with pb.connect(server.address) as service, _hurting(server, fault, outcome):
        held = {"x": service.put(x), "y": service.put(y)}
        graph = pb.trace(loss, *sizes.weights(0), x, y)
        points = (
            (graph, {**dict(zip(NAMES, sizes.weights(job), strict=True)), **held})
            for job in range(jobs)
        )
        split, before = f"shard({SHARDS})", _ended(server)
        start_s = time.monotonic()
        for job, found in enumerate(
            service.map(points, gradient=NAMES, split=split, reproducible=True)
        ):
            _take(job, found, outcome)
        outcome.seconds = time.monotonic() - start_s
        outcome.ended = _ended(server) - before
    return outcome


def _ended(server: RunningServer) -> float:
    """How many jobs the server has ended, well or not."""
    return sum(n for name, n in server.metrics().items() if name.startswith("pullback_jobs_total"))


def _take(job: int, found: Any, outcome: Outcome) -> None:
    if isinstance(found, pb.PullbackError):
        outcome.failed.append(str(found))
        return
    arrays = [*found.outputs.values(), *(found.gradients[name] for name in NAMES)]
    outcome.answers[job] = tuple([np.asarray(array).tobytes() for array in arrays])
    outcome.retries += found.metrics.retries


@contextmanager
def _hurting(server: RunningServer, fault: Fault | None, outcome: Outcome) -> Iterator[None]:
    """Hurt one process every so often while the block lasts."""
    if fault is None:
        yield
        return
    over, chosen = threading.Event(), random.Random(0)

    def hurt() -> None:
        while not over.wait(fault.period_s):
            outcome.hits += _hit(server.processes(), fault, chosen)

    thread = threading.Thread(target=hurt, name="faults", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _hit(processes: Mapping[int, str], fault: Fault, chosen: random.Random) -> bool:
    """Hurt one of the processes that the fault is for; False where there is none now."""
    found = sorted(pid for pid, command in processes.items() if fault.named in command)
    if not found:
        return False
    try:
        os.kill(chosen.choice(found), fault.signal)
    except ProcessLookupError:
        return False
    return True
