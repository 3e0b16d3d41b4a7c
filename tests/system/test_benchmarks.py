"""The benchmarks run at all, on sizes that say nothing about speed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import TABLE

ROOT = Path(__file__).parents[2]


LONG = {"engine", "parameters", "predictions", "scale", "shard", "splits"}
"""Half a minute or more, even so."""
CASES = [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in TABLE]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", CASES)
def test_a_benchmark_reports_figures(name: str) -> None:
    """Every benchmark measures something, states its workload, and prints it as JSON.

    In a process of its own: it starts Ray, which forks, and other tests' JAX forbids that.
    """
    command = [sys.executable, "-m", "benchmarks", name, "--quick", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["command"] == f"python -m benchmarks {name} --quick --json"
    assert report["workload"]
    values, goals = zip(*measured(report), strict=True)
    assert all(value == value for value in values)
    assert any(goals)


def measured(report: dict[str, Any]) -> Iterator[tuple[float, bool]]:
    """All values, and whether each has a goal; the engine's stand in a section for each case."""
    for figure in report.get("figures", ()):
        yield figure["value"], "goal" in figure
    for section in report.get("sections", ()):
        assert not section["fault"], section["title"]
        assert section["implementations"], section["title"]
        for row in section["implementations"]:
            if row["median_s"] is not None:
                yield row["median_s"], False
        for goal in section["goals"]:
            if goal["ratio"] is not None:
                yield goal["ratio"], True
