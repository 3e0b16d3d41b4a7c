"""The benchmarks run at all, on sizes that say nothing about speed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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
    assert all(figure["value"] == figure["value"] for figure in report["figures"])
    assert any("goal" in figure for figure in report["figures"])
