"""What the benchmark of large parameters counts: the least, and what is over it."""

from __future__ import annotations

import pytest

from benchmarks.large_parameters import Observed, Place, _figures, _observe
from benchmarks.parameters_process import OURS, THEIRS, Called, Problem, Setting

PROBLEM = Problem(layers=2, side=10, rows=7, shards=4)


def test_the_least_is_the_parameters_there_and_back_and_the_rows_once():
    """Two workers: two layers of a hundred doubles each way, and at first two arrays of rows."""
    assert PROBLEM.parameters_bytes == PROBLEM.parameters(0).nbytes
    assert PROBLEM.data_bytes == sum(array.nbytes for array in PROBLEM.data())
    assert PROBLEM.least_bytes(2, first=False) == 4 * 1600
    assert PROBLEM.least_bytes(2, first=True) == 4 * 1600 + 1120


def test_figures_are_over_the_least_of_their_call():
    """The first call has its own; of the later ones it is the median; nothing is no figure."""
    ours = [Called(3.0, 2 * 7520, 7520), *[Called(2.0, n * 6400, 0) for n in (1, 2, 9)]]
    found = {OURS: [Observed(c, 0) for c in ours], THEIRS: [Observed(Called(1.0), 6400)] * 4}
    figures = {figure.name: figure.value for figure in _figures(PROBLEM, "here", found)}
    assert figures[f"here, first call: {OURS}, bytes moved over the least"] == 2.0
    assert figures[f"here, first call: {OURS}, bytes between machines over the least"] == 1.0
    assert figures[f"here, later: {OURS}, bytes moved over the least"] == 2.0
    assert figures[f"here, later: {THEIRS}, bytes on the cables over the least"] == 1.0
    assert figures[f"here: {OURS} over {THEIRS}"] == 2.0
    assert f"here, later: {OURS}, bytes between machines over the least" not in figures


def test_a_process_that_fails_says_why():
    """Its last words are in the error, and no figure is made of what it did before."""
    begins = """echo '{"calls": "Pullback"}'; read line; echo broken >&2; exit 3"""
    place = Place(("sh", "-c", begins), Setting(PROBLEM, 2, 1), {}, lambda: 0)
    with pytest.raises(RuntimeError, match="broken"):
        _observe(place)
