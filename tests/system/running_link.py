"""A link with an event loop of its own on a thread, for tests that wait for real processes."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from os import kill
from pathlib import Path
from types import TracebackType
from typing import Any

from pullback_server.config import ServerConfig
from pullback_server.dispatcher.lifeline import session_processes
from pullback_server.dispatcher_link import DispatcherLink, Outcome, PoolFigures
from pullback_server.planner import Plan

PATIENCE_S = 90.0
LOOK_S = 0.05


class RunningLink:
    """A started link; `with RunningLink(workers=2) as link`."""

    def __init__(self, **settings: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.link = DispatcherLink(ServerConfig(**settings))
        self.workers = settings["workers"]

    def __enter__(self) -> RunningLink:
        self._thread.start()
        self._call(self.link.start())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._call(self.link.stop(10.0))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def submit(self, plan: Plan, inputs: Sequence[Any], **options: Any) -> Future[Outcome]:
        """Start a job."""
        run = self.link.run(plan, inputs, **options)
        return asyncio.run_coroutine_threadsafe(run, self._loop)

    def run(self, plan: Plan, inputs: Sequence[Any], **options: Any) -> Outcome:
        """Run a job."""
        return self.submit(plan, inputs, **options).result(PATIENCE_S)

    def figures(self) -> PoolFigures:
        """How the pool stands."""
        return self.link.snapshot()

    def until(self, holds: Callable[[PoolFigures], object]) -> PoolFigures:
        """The first figures of which that holds.

        Raises:
            TimeoutError: it did not come to hold.
        """
        found: PoolFigures = wait_for(lambda: holds(now := self.figures()) and now)
        return found

    def until_all_ready(self) -> PoolFigures:
        """Wait until every worker is up."""
        return self.until(lambda f: ready(f) == self.workers and f.up)

    def processes(self, name: str) -> list[int]:
        """Processes of the dispatcher's session with that in their name."""
        pid = self.link.pid
        return [p for p in session_processes(pid) if name in name_of(p)] if pid else []

    def kill(self, name: str) -> None:
        """Kill one of them."""
        kill(wait_for(lambda: self.processes(name))[0], signal.SIGKILL)

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE_S)


def ready(figures: PoolFigures) -> int:
    """Workers that are up."""
    return sum(n for (_, state), n in figures.workers.items() if state != "starting")


def name_of(process: int) -> str:
    """The command line of a process; empty once it is gone."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def ticks(process: int) -> int:
    """Processor time of a process so far, in hundredths of a second."""
    try:
        with open(f"/proc/{process}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def wait_for(
    found: Callable[[], Any], patience_s: float = PATIENCE_S, pause_s: float = LOOK_S
) -> Any:
    """What `found` gives, once it gives something true.

    Raises:
        TimeoutError: it never did.
    """
    ends_s = time.monotonic() + patience_s
    pause = threading.Event()
    while not (value := found()):
        if time.monotonic() > ends_s:
            raise TimeoutError("what was waited for did not happen")
        pause.wait(pause_s)
    return value
