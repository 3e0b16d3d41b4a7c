"""Jobs on workers while processes are hurt under them: none lost, none wrong, none twice.

Every answer is compared to the bit with that of a run in which nothing was hurt. What a hit costs
is the time a run takes longer than that one, over the number of hits. Peers have jobs of the same
kind, larger ones, and only their workers are killed.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

import pullback as pb
import pullback.numpy as pnp
from benchmarks.classifier import NAMES, Sizes, loss
from benchmarks.fault_jobs import Answer
from benchmarks.fault_peers import PEERS
from benchmarks.fault_process import MOST_HITS, PeerFailed, PeerOutcome, peer_outcome
from benchmarks.process_faults import Blow, Hits, hurting, memory_limit
from benchmarks.report import Figure, Goal, Report, Request
from examples.server_process import RunningServer, running_server

WORKERS = 2
SHARDS = 2
"""Of every job: two tasks and their reduction, all of them on workers."""
NONE = Goal("at_most", 0.0)
BESIDE = "peers"
"""What chooses the jobs beside peers, with `--only`."""
QUICK_PEERS = ("process pool, in a loop",)
POISON = 11_000, 8
"""Shape of a matrix whose product with itself takes 1 GB."""
MEMORY_LIMIT_BYTES = 700 << 20

FEW = 4
"""A job that five dispatchers in turn had when they ended is given up, and a slow machine may get
nowhere between two hits."""

WORKER = Blow("ray::WorkerActor", signal.SIGKILL)
DISPATCHER = Blow("pullback_server.dispatcher", signal.SIGKILL)


class Fault(NamedTuple):
    """One row of the table: what is hurt and how, and how often.

    Attributes:
        name: what chooses it, with `--only`.
        period_s: between two hits; longer where what was hit takes longer to come back.
        until_redone: whether what was stopped goes on when its work was given to another.
        poison: every so manieth job takes more memory than a worker may have, and is beside those
            that are counted.
        most: hits of a run.
    """

    name: str
    title: str
    blows: tuple[Blow, ...]
    period_s: float
    until_redone: bool = False
    poison: int = 0
    most: int = 100


FAULTS = (
    Fault("worker", "worker killed", (WORKER,), 2.0),
    Fault("silence", "worker stopped for good", (Blow(WORKER.named, signal.SIGSTOP),), 4.0),
    Fault("late", "worker stopped, answers late", (Blow(WORKER.named, signal.SIGSTOP),), 3.0, True),
    Fault("memory", "worker out of memory", (), 0.0, poison=2000),
    Fault("dispatcher", "dispatcher killed", (DISPATCHER,), 3.0, most=FEW),
    Fault("both", "worker and dispatcher killed", (WORKER, DISPATCHER), 3.0, most=FEW),
    Fault("node", "Ray's node killed", (Blow("raylet/raylet", signal.SIGKILL),), 3.0, most=FEW),
    Fault("head", "Ray's head killed", (Blow("gcs_server", signal.SIGKILL),), 3.0, most=FEW),
)


@dataclass
class Outcome:
    """What became of the jobs of one run.

    Attributes:
        answers: by job.
        failed: errors in place of answers.
        poisoned: errors in place of answers to jobs that are to fail.
        ended: jobs that the server says it ended, which is one for each.
        hits: what was hurt meanwhile.
        retries: tasks that the server ran again.
    """

    answers: dict[int, Answer] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    poisoned: list[pb.PullbackError | None] = field(default_factory=list)
    ended: float = 0.0
    seconds: float = 0.0
    hits: int = 0
    retries: int = 0


class Load(NamedTuple):
    """How many jobs of what size, and how often a worker is killed where peers take part."""

    jobs: int
    sizes: Sizes
    peer_jobs: int
    peer_sizes: Sizes
    period_s: float


FULL = Load(10_000, Sizes(400, 8, 8, 4), 1_000, Sizes(20_000, 16, 16, 8), 3.0)
QUICK = Load(120, Sizes(200, 4, 4, 3), 120, Sizes(2_000, 8, 8, 4), 0.5)


def run(request: Request) -> Report:
    """Run the same jobs unharmed, and then under each fault; then others beside peers.

    Raises:
        ValueError: `only` names what there is not.
    """
    load = QUICK if request.quick else FULL
    faults, with_peers = chosen(request)
    own = [*(_own(load, faults) if faults else ()), *(_beside(load) if with_peers else ())]
    missing = [name for name, peer in PEERS.items() if find_spec(peer.module) is None]
    wanted = (QUICK_PEERS if request.quick else PEERS) if with_peers else ()
    beside, left_out = _peers(load, [name for name in wanted if name not in missing])
    workload = [
        f"{load.jobs:,} jobs by one `map`: value and gradient of a classifier of "
        f"{load.sizes.rows} rows, other weights in each, {SHARDS} shards and a reduction on "
        f"{WORKERS} workers",
        "wrong: another bit than in the run that nothing was hurt in",
        *[_described(fault) for fault in faults],
    ]
    if with_peers:
        workload.append(
            f"beside peers: {load.peer_jobs:,} jobs of {load.peer_sizes.rows:,} rows, a worker "
            f"killed every {load.period_s:g} s; peers run a job whole, on data that their workers "
            "have"
        )
    left_out += [f"{name}: not installed (make bench brings it)" for name in missing]
    return Report("faults", "", workload, [*own, *beside], left_out)


def chosen(request: Request) -> tuple[tuple[Fault, ...], bool]:
    """The faults that are asked for, and whether peers are."""
    if not request.only:
        return (FAULTS[:1] if request.quick else FAULTS), True
    names = (*[fault.name for fault in FAULTS], BESIDE)
    if unknown := sorted(set(request.only) - set(names)):
        raise ValueError(f"no fault {', '.join(unknown)}; there are {', '.join(names)}")
    return tuple([fault for fault in FAULTS if fault.name in request.only]), BESIDE in request.only


def _described(fault: Fault) -> str:
    """A line on a row."""
    often = f"one hit every {fault.period_s:g} s"
    if fault.poison:
        often = (
            f"one job in {fault.poison:,} takes more than {MEMORY_LIMIT_BYTES >> 20} MiB, which "
            "kills a worker"
        )
    return f"{fault.title}: {often}"


def _own(load: Load, faults: tuple[Fault, ...]) -> Iterator[Figure]:
    """The figures of all faults."""
    with running_server("--workers", str(WORKERS)) as server:
        server.wait_for_workers(WORKERS)
        hold = partial(_hold, server)
        hold(load.jobs // 10, load.sizes, None)  # what the workers compile and load, they have then
        unharmed = hold(load.jobs, load.sizes, None)
        yield from _row("nothing", unharmed, None)
        for fault in faults:
            yield from _row(fault.title, hold(load.jobs, load.sizes, fault), unharmed)
            server.wait_for_workers(WORKERS)  # what was hurt last comes back first


def _beside(load: Load) -> Iterator[Figure]:
    """The figures of our jobs beside the peers', on a server that was not hurt before.

    What was hurt last on another may still be on its way back, and count as time unharmed.
    """
    with running_server("--workers", str(WORKERS)) as server:
        server.wait_for_workers(WORKERS)
        hold = partial(_hold, server, load.peer_jobs, load.peer_sizes)
        hold(None)  # whatever a server compiles at its start, it has then
        expected = hold(None)
        yield Figure("Pullback: time unharmed", expected.seconds, "s")
        killed = Fault("", "Pullback", (WORKER,), load.period_s, most=MOST_HITS)
        yield from _row("Pullback", hold(killed), expected)


def _peers(load: Load, names: list[str]) -> tuple[list[Figure], list[str]]:
    """The figures of peers, and a line for each that could not be run."""
    figures: list[Figure] = []
    failed = []
    for name in names:
        try:
            found = peer_outcome(name, load.peer_jobs, load.peer_sizes, load.period_s)
        except PeerFailed as error:
            failed.append(f"{name}: {error}")
        else:
            figures += _peer_row(name, found)
    return figures, failed


def _peer_row(title: str, found: PeerOutcome) -> Iterator[Figure]:
    """The figures of a peer; none of them is a goal of ours."""
    title += f" ({found.error})" if found.error else ""
    yield Figure(f"{title}: time unharmed", found.unharmed_s, "s")
    yield Figure(f"{title}: jobs lost", float(found.lost), "")
    yield Figure(f"{title}: jobs wrong", float(found.wrong), "")
    yield Figure(f"{title}: jobs answered twice", float(found.twice), "")
    yield Figure(f"{title}: hits", float(found.hits), "")
    yield Figure(f"{title}: jobs run again", float(found.repeats), "")
    if not found.lost:  # else it did not do the same work
        lost_s = (found.seconds - found.unharmed_s) / max(found.hits, 1)
        yield Figure(f"{title}: time lost a hit", lost_s, "s")


def _row(title: str, found: Outcome, expected: Outcome | None) -> Iterator[Figure]:
    """The figures of one run; of one that nothing was hurt in, fewer."""
    yield Figure(f"{title}: time", found.seconds, "s")
    yield Figure(f"{title}: jobs lost", float(len(found.failed)), "", NONE)
    if expected is None:
        return
    wrong = sum(answer != expected.answers[job] for job, answer in found.answers.items())
    yield Figure(f"{title}: jobs wrong", float(wrong), "", NONE)
    twice = found.ended - len(found.answers) - len(found.failed) - len(found.poisoned)
    yield Figure(f"{title}: jobs ended twice", twice, "", NONE)
    if found.poisoned:
        own = sum("workers down" in str(error) for error in found.poisoned)
        yield Figure(f"{title}: poison jobs", float(len(found.poisoned)), "")
        yield Figure(
            f"{title}: not failed by their own error", float(len(found.poisoned) - own), "", NONE
        )
    yield Figure(f"{title}: hits", float(found.hits), "")
    yield Figure(f"{title}: tasks run again", float(found.retries), "")
    lost_s = (found.seconds - expected.seconds) / max(found.hits, 1)
    yield Figure(f"{title}: time lost a hit", lost_s, "s")


def _hold(server: RunningServer, jobs: int, sizes: Sizes, fault: Fault | None) -> Outcome:
    """One map of all jobs, with something being hurt all the while."""
    outcome = Outcome()
    x, y = sizes.data()
    with pb.connect(server.address) as service, _harm(server, fault) as hits:
        held = {"x": service.put(x), "y": service.put(y)}
        graph = pb.trace(loss, *sizes.weights(0), x, y)
        poison = fault.poison if fault else 0

        def items() -> Iterator[Any]:
            for job in range(jobs):
                if poison and job % poison == poison // 2:
                    yield _poison()
                yield graph, {**dict(zip(NAMES, sizes.weights(job), strict=True)), **held}

        split, before = f"shard({SHARDS})", _ended(server)
        start_s = time.monotonic()
        found = service.map(items(), gradient=NAMES, split=split, reproducible=True)
        for job in range(jobs):
            if poison and job % poison == poison // 2:
                answer = next(found)
                outcome.poisoned.append(answer if isinstance(answer, pb.PullbackError) else None)
            _take(job, next(found), outcome)
        outcome.seconds = time.monotonic() - start_s
        outcome.ended = _ended(server) - before
    outcome.hits = hits.count
    return outcome


def _poison() -> pb.Job:
    """A job that takes its worker's memory: the sum of an array that is made whole."""
    matrix = np.ones(POISON)
    graph = pb.trace(lambda a: pnp.sum(pnp.tanh(a @ a.T)), matrix)
    whole = pb.Options(split=pb.Split("none"))  # in parts it would fit
    return pb.Job(graph, {"a": matrix}, options=whole)


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


def _harm(server: RunningServer, fault: Fault | None) -> AbstractContextManager[Hits]:
    """What a fault does to a server's processes while a block lasts."""
    if fault is None:
        return nullcontext(Hits())
    if fault.poison:
        return memory_limit(WORKER.named, MEMORY_LIMIT_BYTES, server.processes)
    redone = partial(_tried_twice, server) if fault.until_redone else None
    return hurting(fault.blows, fault.period_s, server.processes, fault.most, redone)


def _tried_twice(server: RunningServer) -> float:
    """How many tasks were given to a second worker."""
    return server.metrics().get("pullback_speculated_tasks_total", 0.0)
