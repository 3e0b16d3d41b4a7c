"""One peer of the faults in a process of its own, whose descendants are what may be killed.

`python -m benchmarks.fault_process TITLE JOBS SIZES PERIOD_S` runs its jobs unharmed, and again
with a worker killed every so often. The last line printed is JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TextIO

import numpy as np

from benchmarks.classifier import Sizes
from benchmarks.fault_jobs import JOURNAL, START, Answer, Chunk, Work
from benchmarks.fault_peers import PEERS, Run
from benchmarks.process_faults import Blow, hurting
from examples.server_process import MARK, left_behind

WORKERS = 2
CHUNK = 8
LIMIT_S = 300.0
MOST_HITS = 6


@dataclass(frozen=True, slots=True)
class PeerOutcome:
    """What became of a peer's jobs while its workers were killed.

    Attributes:
        lost, wrong, twice: jobs not answered, answered otherwise than unharmed, answered again.
        repeats: times that a job was started beyond the first.
        error: what it gave up with, if it did.
    """

    unharmed_s: float
    seconds: float
    hits: int
    lost: int
    wrong: int
    twice: int
    repeats: int
    error: str


@dataclass
class _Held:
    answers: dict[int, Answer] = field(default_factory=dict)
    times: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0
    error: str = ""


class PeerFailed(Exception):
    """A peer's process ended without an outcome; the message has its last words."""


def peer_outcome(title: str, jobs: int, sizes: Sizes, period_s: float) -> PeerOutcome:
    """The outcome of a peer, in a process of its own.

    Raises:
        PeerFailed: it gave none, or took too long.
    """
    words = [title, str(jobs), json.dumps(sizes), str(period_s)]
    mark = uuid.uuid4().hex
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(  # into files: what it leaves behind would hold a pipe open
            [sys.executable, "-m", "benchmarks.fault_process", *words],
            stdout=output,
            stderr=complaints,
            env={**os.environ, MARK: mark, "RAY_USAGE_STATS_ENABLED": "0"},
        )
        try:
            status = process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            raise PeerFailed(f"no result after {LIMIT_S:.0f} s") from None
        finally:
            _end_all(mark)
            process.wait()
        lines, said = _lines(output), _lines(complaints)
    if status or not lines:
        raise PeerFailed(f"ended with status {status}: {said[-1] if said else 'nothing was said'}")
    return PeerOutcome(**json.loads(lines[-1]))


def _end_all(mark: str) -> None:
    for pid in left_behind(mark):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _lines(file: TextIO) -> list[str]:
    file.seek(0)
    return file.read().strip().splitlines()


def main(title: str, jobs: int, sizes: Sizes, period_s: float) -> PeerOutcome:
    """Run a peer here, unharmed and then harmed."""
    peer = PEERS[title]
    mark = os.environ.setdefault(MARK, uuid.uuid4().hex)
    weights = [(job, sizes.weights(job)) for job in range(jobs)]
    chunks = [weights[first : first + CHUNK] for first in range(0, jobs, CHUNK)]
    with tempfile.TemporaryDirectory() as folder:
        work = _prepared(Path(folder), sizes)
        journal = work.folder / JOURNAL
        with peer.make(work, WORKERS) as run:
            _hold(run, chunks[: 2 * WORKERS])  # processes and data are there, for all alike
            expected = _hold(run, chunks)
            journal.write_bytes(b"")
            blows = (Blow(peer.named, signal.SIGKILL),)
            with hurting(blows, period_s, partial(_descendants, mark), MOST_HITS) as hits:
                found = _hold(run, chunks)
            started = Counter(np.fromfile(journal, START).tolist())
    return PeerOutcome(
        unharmed_s=expected.seconds,
        seconds=found.seconds,
        hits=hits.count,
        lost=jobs - len(found.answers),
        wrong=sum(answer != expected.answers[job] for job, answer in found.answers.items()),
        twice=sum(found.times.values()) - len(found.times),
        repeats=sum(started.values()) - len(started),
        error=found.error,
    )


def _prepared(folder: Path, sizes: Sizes) -> Work:
    """The folder as workers expect it."""
    for name, array in zip(("x", "y"), sizes.data(), strict=True):
        np.save(folder / f"{name}.npy", array)
    (folder / JOURNAL).touch()
    return Work(folder)


def _descendants(mark: str) -> dict[int, str]:
    return {pid: line for pid, line in left_behind(mark).items() if pid != os.getpid()}


def _hold(run: Run, chunks: Sequence[Chunk]) -> _Held:
    """Run all chunks, or as many as are answered before the peer gives up."""
    held, start_s = _Held(), time.monotonic()
    try:
        for found in run(chunks):
            held.answers.update(found)
            held.times.update([job for job, _ in found])
    except Exception as error:  # whatever it is: it is what the peer's user would see
        held.error = type(error).__name__
    held.seconds = time.monotonic() - start_s
    return held


if __name__ == "__main__":
    _, name, count, shape, period = sys.argv
    print(json.dumps(asdict(main(name, int(count), Sizes(*json.loads(shape)), float(period)))))
