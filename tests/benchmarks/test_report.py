from __future__ import annotations

import json
from io import StringIO

import pytest
from rich.console import Console

from benchmarks.__main__ import TABLE, main
from benchmarks.machine import machine
from benchmarks.report import Figure, Goal, Report, number, show

REPORT = Report(
    name="example",
    command="python -m benchmarks example",
    workload=["one job"],
    figures=[
        Figure("time", 1234.5, "ms"),
        Figure("ratio", 1.4, "x", Goal("at_most", 1.5)),
        Figure("speed-up", 0.9, "x", Goal("at_least", 0.95)),
    ],
    left_out=["peer: not installed"],
    machine={"cores": "2"},
)


@pytest.mark.parametrize(
    ("relation", "value", "met"),
    [("at_most", 1.5, True), ("at_most", 1.6, False), ("at_least", 1.4, False)],
)
def test_goal_counts_its_bound_as_met(relation, value, met):
    """A goal is met at its bound and on the right side of it."""
    assert Goal(relation, 1.5).is_met(value) is met


def test_printed_report_holds_all_that_is_needed_to_judge_it():
    """Command, machine, workload, figures, verdicts and what was left out are all printed."""
    text = StringIO()
    show(REPORT, Console(file=text, width=120))
    shown = text.getvalue()
    parts = (REPORT.command, "cores 2", "one job", "1,234 ms", "≤ 1.5", "met", "missed", "peer:")
    assert [part for part in parts if part not in shown] == []


def test_json_report_round_trips():
    """The JSON holds every figure, and each goal's verdict."""
    found = json.loads(json.dumps(REPORT.as_dict()))
    assert [figure.get("met") for figure in found["figures"]] == [None, True, False]
    assert found["command"] == REPORT.command


def test_numbers_keep_three_digits():
    """A figure is shown with its unit and no false precision."""
    assert number(Figure("", 0.123456, "x")) == "0.123 x"


def test_machine_names_what_moves_the_numbers():
    """Processor, cores, memory and library versions are all known."""
    about = machine()
    assert int(about["cores"]) >= 1
    assert "not installed" not in about.values()


def test_every_benchmark_is_listed_by_help(capsys):
    """`--help` shows each row of the table."""
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert [name for name, row in TABLE.items() if row.summary not in shown] == []
