"""The benchmarks run at all, on sizes that say nothing about speed."""

from __future__ import annotations

import json

import pytest

from benchmarks.__main__ import TABLE, main


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", TABLE)
def test_a_benchmark_reports_figures(name, capsys):
    """Every benchmark measures something, states its workload, and prints it as JSON."""
    assert main([name, "--quick", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["command"] == f"python -m benchmarks {name} --quick --json"
    assert report["workload"]
    assert all(figure["value"] == figure["value"] for figure in report["figures"])
    assert any("goal" in figure for figure in report["figures"])
