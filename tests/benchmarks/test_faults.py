from __future__ import annotations

import pytest

from benchmarks.faults import FAULTS, chosen, run
from benchmarks.report import Request


def test_all_faults_and_peers_take_part_where_none_is_named():
    """Without `--only` the table is whole; quickly, one row of it says that it runs."""
    assert chosen(Request()) == (FAULTS, True)
    assert chosen(Request(quick=True)) == (FAULTS[:1], True)


def test_faults_are_chosen_by_name():
    """`--only` takes names of faults, and `peers` for the jobs beside those of others."""
    assert chosen(Request(only=("head", "worker"))) == ((FAULTS[0], FAULTS[-1]), False)
    assert chosen(Request(only=("peers",))) == ((), True)
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_a_fault_that_there_is_not_is_refused():
    """The refusal lists those that there are, before anything is started."""
    with pytest.raises(ValueError, match=r"no fault flood; there are worker, .* head, peers"):
        run(Request(only=("head", "flood")))
