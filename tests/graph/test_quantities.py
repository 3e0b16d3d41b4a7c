"""Quantities as people read them."""

from __future__ import annotations

from math import inf

import pytest

from pullback_graph.quantities import counted, duration, in_bytes, in_flops, si


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (999.0, "999"),
        (1234.0, "1.23k"),
        (999_900.0, "1M"),
        (5e9, "5G"),
        (7e13, "70T"),
        (3.2e18, "3200P"),
        (inf, "-"),
    ],
)
def test_numbers(value: float, text: str):
    """Three digits and a prefix; never an exponent."""
    assert si(value) == text


def test_times():
    """The unit they are read best in, also where three digits round up to the next one."""
    seconds = (2.5, 0.0031, 0.9999, 0.0009999, 4.2e-6, 0.0, 4e4, inf)
    texts = ["2.5 s", "3.1 ms", "1 s", "1 ms", "4.2 us", "0 us", "40000 s", "-"]
    assert [duration(value) for value in seconds] == texts


def test_sizes_and_work():
    """Units behind a space, and nouns that agree with their number."""
    assert [in_bytes(x) for x in (24, 17.7e6, 1.72e9)] == ["24 B", "17.7 MB", "1.72 GB"]
    assert [in_flops(x) for x in (4, 9.55e10)] == ["4 FLOP", "95.5 GFLOP"]
    assert [counted(n, "task") for n in (0, 1, 2)] == ["0 tasks", "1 task", "2 tasks"]
