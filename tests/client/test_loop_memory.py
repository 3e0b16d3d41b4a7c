"""What derivatives of loops keep in memory: measured, not estimated, and held against the cap."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pullback as pb
from tests.client.loop_memory import BOTH, POINT, WIDTH, recurrence

ROOT = Path(__file__).resolve().parents[2]


def figures(steps: int) -> dict[str, Any]:
    """What a process of its own measures."""
    command = [sys.executable, "-m", "tests.client.loop_memory", str(steps)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


@pytest.mark.parametrize("steps", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_loop_fits_into_a_tenth(steps: int) -> None:
    """A tenth of the plain peak is enough for a gradient; tangents keep nothing, however long."""
    found = figures(steps)
    assert found["plain_bytes"] > steps * WIDTH * 8
    assert found["plain_factor"] == 0.0
    assert found["capped_bytes"] <= found["cap_bytes"]
    assert found["estimated_bytes"] <= found["cap_bytes"]
    assert 1.0 < found["factor"] < 2.5
    assert found["error"] < 1e-12
    few, all_steps = found["tangent_bytes"]
    assert all_steps - few < 3 * 8 * steps, "more than the entries of the loop"
    assert all_steps < 100 * WIDTH * 8 + 3 * 8 * steps


def test_what_cannot_fit_is_refused_with_numbers() -> None:
    """The error says what is needed at the least, what was allowed, and where to say so."""
    graph = recurrence(1000)
    with pytest.raises(pb.LimitExceeded, match=r"its memory cap is 30000, and .* take \d+") as e:
        pb.local().evaluate(graph, POINT, want=BOTH, memory_cap_bytes=30_000)
    assert e.value.field == "options.memory_cap_bytes"
    least = int(e.value.message.split(" take ")[1].split(";")[0])
    assert 30_000 < least < 150_000
