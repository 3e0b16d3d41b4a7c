"""Mixed jobs, cancelled, late and done, on workers that are killed: nothing is left of any."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.system, pytest.mark.slow]

ROUNDS, SECONDS = 3, 20.0


def test_nothing_is_left_or_grows() -> None:
    """After each round all tables are empty, and the last needs no more than the first."""
    command = [sys.executable, "-m", "tests.system.soak", str(ROUNDS), str(SECONDS), "7"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=280.0)
    rounds = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(rounds) == ROUNDS
    for left in rounds:
        for nothing in ("jobs", "given", "flights", "held"):
            assert left[nothing] == 0, left
        assert left["listeners"] == 3, left
        assert left["outcomes"].keys() <= {"done", "cancelled", "Cancelled", "DeadlineExceeded"}
    first, *_, last = rounds
    assert last["outcomes"]["done"] > first["outcomes"]["done"]
    for figure in ("references", "tasks", "threads", "files"):
        assert last[figure] <= first[figure] + 4, (figure, rounds)
