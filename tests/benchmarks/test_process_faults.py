from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from benchmarks.process_faults import Blow, Hits, Processes, hurting, memory_limit, own_bytes
from tests.system.running_link import wait_for

KILL = Blow("victim", signal.SIGKILL)
STOP = Blow("victim", signal.SIGSTOP)
GROW = (
    "import sys; print(flush=True); sys.stdin.readline(); x = b'1' * (200 << 20); sys.stdin.read()"
)


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for a line, and then takes 200 MiB."""
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", GROW], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    with process:
        yield process
        process.kill()


def of(process: subprocess.Popen[bytes], named: str = "a victim") -> Processes:
    """The process under a name, while it is there."""
    return lambda: {process.pid: named} if process.poll() is None else {}


def state(process: subprocess.Popen[bytes]) -> str:
    """The letter that the system has for what a process does."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def until_hit(hits: Hits, count: int = 1) -> None:
    """Wait for hits."""
    wait_for(lambda: hits.count >= count)


def test_a_process_of_the_name_is_killed(victim: subprocess.Popen[bytes]):
    """It is counted once, and whoever has another name is left alone."""
    bystander = hurting((KILL,), 0.01, of(victim, "a bystander"), 5)
    with bystander, pytest.raises(subprocess.TimeoutExpired):
        victim.wait(0.3)
    with hurting((KILL,), 0.01, of(victim), 5) as hits:
        assert victim.wait(30) == -signal.SIGKILL
        until_hit(hits)
    assert hits.count == 1


def test_what_was_stopped_goes_on_at_the_end(victim: subprocess.Popen[bytes]):
    """A process that stands still is not stopped a second time."""
    with hurting((STOP,), 0.01, of(victim), 5) as hits:
        wait_for(lambda: state(victim) == "T")
    assert hits.count == 1
    wait_for(lambda: state(victim) != "T")


def test_what_was_stopped_goes_on_when_its_work_was_redone(victim: subprocess.Popen[bytes]):
    """Then it may be stopped again, no more often than was said."""
    redone = iter(range(1000))
    with hurting((STOP,), 0.01, of(victim), 3, lambda: next(redone)) as hits:
        until_hit(hits, 3)
    assert hits.count == 3
    assert not hits.stopped


def test_two_are_hurt_at_once(victim: subprocess.Popen[bytes]):
    """Blows that are dealt together are one hit."""
    with subprocess.Popen(["sleep", "600"]) as other:

        def both() -> Mapping[int, str]:
            return {victim.pid: "a victim", other.pid: "a bystander"}

        with hurting((KILL, Blow("bystander", signal.SIGKILL)), 0.01, both, 1) as hits:
            assert victim.wait(30) == other.wait(30) == -signal.SIGKILL
            until_hit(hits)
    assert hits.count == 1


def test_who_takes_too_much_memory_is_killed(victim: subprocess.Popen[bytes]):
    """And not before; a process that is gone has none."""
    with memory_limit("victim", 100 << 20, of(victim)) as hits:
        with pytest.raises(subprocess.TimeoutExpired):
            victim.wait(0.3)
        assert victim.stdin is not None
        victim.stdin.write(b"\n")
        victim.stdin.flush()
        assert victim.wait(30) == -signal.SIGKILL
    assert hits.count == 1
    assert own_bytes(victim.pid) == 0
