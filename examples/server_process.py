"""A Pullback server as a child process: free ports, waited for, stopped, nothing left behind.

Its log goes to a file that is shown only when something fails. Every process the server starts
inherits one mark in its environment, by which those it left behind are found.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Never
from urllib.request import urlopen

MARK = "PULLBACK_SERVER_MARK"
LISTENING = re.compile(r"^listening on (\S+), http://(\S+)$", re.MULTILINE)
START_S = 60.0
WORKERS_S = 120.0
STOP_S = 30.0
LOG_LINES = 40


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that listens.

    Attributes:
        address: of gRPC, `host:port`.
        http: of `/metrics` and the live page, `host:port`.
        started_s: from the start of the process until it listened.
        pid: of the front end, the server's first process.
        mark: what its processes carry in their environment.
    """

    address: str
    http: str
    started_s: float
    pid: int
    mark: str = ""

    def processes(self) -> dict[int, str]:
        """Command lines of its living processes, by process id."""
        return left_behind(self.mark)

    def get(self, path: str) -> str:
        """The text of a page of the HTTP port, such as `/metrics`."""
        with urlopen(f"http://{self.http}{path}", timeout=10) as page:
            return str(page.read(), "utf-8")

    def metrics(self) -> dict[str, float]:
        """The samples of `/metrics` now, by name with labels: `pullback_jobs_total{want=...}`."""
        lines = [line for line in self.get("/metrics").splitlines() if line[:1] not in ("", "#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def wait_for_workers(self, count: int) -> None:
        """Wait until so many Ray workers are up; small jobs are answered long before."""
        _poll(lambda: self._workers() >= count, WORKERS_S, f"{count} worker(s) are not up")

    def _workers(self) -> int:
        """Workers that are up, idle or busy."""
        samples = self.metrics().items()
        alive = [n for name, n in samples if name.startswith("pullback_workers{")]
        starting = [n for name, n in samples if "starting" in name]
        return int(sum(alive) - sum(starting))


@contextmanager
def running_server(*flags: str) -> Iterator[RunningServer]:
    """Run `pullback serve` with these flags for as long as the block lasts.

    It ends with this process too, unless that is killed: a SIGTERM leaves the block as Ctrl-C does.

    Raises:
        RuntimeError: it did not start, failed, or left processes behind (they have been ended).
    """
    mark = uuid.uuid4().hex
    with _terminable(), TemporaryDirectory(prefix="pullback-") as folder:
        log = Path(folder) / "server.log"
        process = _start(flags, mark, log)
        try:
            yield _listening(process, log, mark)
            _stop(process)
            _check_nothing_left(mark)
        except BaseException as error:
            if not isinstance(error, KeyboardInterrupt | GeneratorExit | SystemExit):
                _show(log)
            raise
        finally:
            _end_all(process, mark)


@contextmanager
def any_server(*flags: str) -> Iterator[str]:
    """The address given by `--server` or $PULLBACK_SERVER, or that of a server of our own.

    `flags` are for the server of our own; without any it runs every job in one process.
    """
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--server", default=os.environ.get("PULLBACK_SERVER"), metavar="HOST:PORT")
    given: str | None = parser.parse_known_args()[0].server
    if given:
        yield given
        return
    with running_server(*(flags or ("--workers", "0"))) as server:
        yield server.address


def left_behind(mark: str) -> dict[int, str]:
    """Command lines of the living processes that carry the mark, by process id."""
    wanted = f"{MARK}={mark}".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                found[int(folder.name)] = command
        except OSError:
            continue  # it ended meanwhile, or is not ours to read
    return found


@contextmanager
def _terminable() -> Iterator[None]:
    """Have SIGTERM raise SystemExit, where nobody else handles it, so that `finally` is run."""
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminated(number: int, frame: FrameType | None) -> Never:
    sys.exit(128 + number)


def _start(flags: Sequence[str], mark: str, log: Path) -> subprocess.Popen[bytes]:
    pullback = Path(sys.executable).with_name("pullback")
    command = [str(pullback), "serve", "--port", "0", "--http-port", "0", *flags]
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, MARK: mark},
            start_new_session=True,  # an interrupt of the terminal is ours to pass on
        )


def _listening(process: subprocess.Popen[bytes], log: Path, mark: str) -> RunningServer:
    """The server, once it has printed where it listens."""
    start = time.monotonic()
    found: list[re.Match[str]] = []

    def is_there() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"pullback serve ended with exit status {process.returncode}")
        found.extend(LISTENING.finditer(log.read_text()))
        return bool(found)

    _poll(is_there, START_S, "pullback serve does not listen")
    listened_s = time.monotonic() - start
    return RunningServer(found[0][1], found[0][2], listened_s, process.pid, mark)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to stop and wait for it.

    Raises:
        RuntimeError: it took too long, or did not end well.
    """
    process.send_signal(signal.SIGTERM)
    try:
        status = process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"pullback serve did not stop within {STOP_S:g} s") from None
    if status:
        raise RuntimeError(f"pullback serve ended with exit status {status}")


def _check_nothing_left(mark: str) -> None:
    """Give the last processes a moment, then insist that none is left."""
    try:
        _poll(lambda: not left_behind(mark), 10.0, "processes are left behind")
    except RuntimeError:
        listed = "\n  ".join(f"{pid} {line[:120]}" for pid, line in left_behind(mark).items())
        raise RuntimeError(f"pullback serve left processes behind:\n  {listed}") from None


def _end_all(process: subprocess.Popen[bytes], mark: str) -> None:
    """End whatever is still there; nothing, where all went well."""
    for pid in left_behind(mark):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def _poll(condition: Callable[[], bool], timeout_s: float, complaint: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{complaint} after {timeout_s:g} s")
        time.sleep(0.02)


def _show(log: Path) -> None:
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    print("the server's log ends:", *lines, sep="\n  ", file=sys.stderr)
