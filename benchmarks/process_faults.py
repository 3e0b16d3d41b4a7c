"""Hurts processes while a block runs: one of those whose command line holds a name, every so often.

What is stopped goes on again when its fault says so, and at the end at the latest.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

LOOK_S = 0.01
LOOKS = 20
"""Looks at the memory of processes, which is quick, before they are listed anew, which is not."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

Processes: TypeAlias = Callable[[], Mapping[int, str]]
"""Command lines of the processes that may be hurt, by process id."""


class Blow(NamedTuple):
    """What one process is sent; `named` is part of its command line."""

    named: str
    signal: signal.Signals


@dataclass
class Hits:
    """What was done to a run; `stopped` are processes that stand still."""

    count: int = 0
    stopped: set[int] = field(default_factory=set)


@contextmanager
def hurting(
    blows: tuple[Blow, ...],
    period_s: float,
    processes: Processes,
    most: int,
    redone: Callable[[], float] | None = None,
) -> Iterator[Hits]:
    """Deal blows together, again and again.

    Args:
        most: times; what cannot get anywhere between two of them ends all the same.
        redone: grows when what a stopped process was at has been given to another: that lets it go
            on, so that it answers late; without this it never does.
    """
    over, chosen, hits = threading.Event(), random.Random(0), Hits()

    def hurt() -> None:
        while hits.count < most and not over.wait(period_s):
            before = redone() if redone else 0.0
            hits.count += any([_hit(processes(), blow, chosen, hits) for blow in blows])
            while redone and redone() <= before and not over.wait(LOOK_S):
                pass
            if redone:
                _let_go(hits)

    try:
        with _thread(hurt, over):
            yield hits
    finally:
        _let_go(hits)


@contextmanager
def memory_limit(named: str, limit_bytes: int, processes: Processes) -> Iterator[Hits]:
    """Kill processes that have more memory of their own than that, as a container's limit does."""
    over, hits = threading.Event(), Hits()

    def watch() -> None:
        while not over.is_set():
            watched = [pid for pid, command in processes().items() if named in command]
            for _ in range(LOOKS):
                for pid in [pid for pid in watched if own_bytes(pid) > limit_bytes]:
                    watched.remove(pid)
                    os.kill(pid, signal.SIGKILL)
                    hits.count += 1
                over.wait(LOOK_S)

    with _thread(watch, over):
        yield hits


def own_bytes(pid: int) -> int:
    """Resident memory that a process shares with no other; 0 once it is gone."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * PAGE_BYTES


@contextmanager
def _thread(target: Callable[[], None], over: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=target, name="faults", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _hit(processes: Mapping[int, str], blow: Blow, chosen: random.Random, hits: Hits) -> bool:
    """Hurt one of the processes that the blow is for; False where there is none now."""
    found = [pid for pid, command in processes.items() if blow.named in command]
    found = sorted(set(found) - hits.stopped)
    if not found:
        return False
    pid = chosen.choice(found)
    try:
        os.kill(pid, blow.signal)
    except ProcessLookupError:
        return False
    if blow.signal is signal.SIGSTOP:
        hits.stopped.add(pid)
    return True


def _let_go(hits: Hits) -> None:
    """Let what stands still go on, where it is still there."""
    while hits.stopped:
        with suppress(ProcessLookupError):
            os.kill(hits.stopped.pop(), signal.SIGCONT)
