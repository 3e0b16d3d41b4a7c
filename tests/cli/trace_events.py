"""What Perfetto and Chrome ask of a trace in JSON, field by field.

Source: the Trace Event Format (Google, 2016) and Perfetto's importer: metadata events have no
time of their own, complete events a `ts` and a `dur` in microseconds and may carry nothing that the
format gives another meaning (`tts`, `id`, `bp`, `s`, `scope`); a process or thread is named once,
before it is used. Times are cut to nanoseconds, and what overlaps then is dropped. A flow is a
start and an end with one number, that end no earlier; each binds to
the slice its thread is in then. A counter's values are numbers.
"""

from __future__ import annotations

import json
from itertools import pairwise
from math import isfinite
from typing import Any

FILE_KEYS = {"traceEvents", "displayTimeUnit", "otherData"}
KEYS = {
    "M": {"name", "ph", "pid", "tid", "args"},
    "X": {"name", "cat", "ph", "ts", "dur", "pid", "tid", "args"},
    "s": {"name", "cat", "ph", "id", "ts", "pid", "tid"},
    "f": {"name", "cat", "ph", "id", "ts", "pid", "tid", "bp"},
    "C": {"name", "ph", "ts", "pid", "tid", "args"},
}
METADATA = {
    "process_name": ("name", str),
    "thread_name": ("name", str),
    "thread_sort_index": ("sort_index", int),
}


def check_events(made: dict[str, Any]) -> None:
    """Metadata and complete events, threads named, numbers finite, none of a thread overlapping."""
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert set(made) == FILE_KEYS
    assert made["displayTimeUnit"] in ("ms", "ns")
    assert all([isinstance(value, str) for value in made["otherData"].values()])
    named: dict[str, set[int]] = {name: set() for name in METADATA}
    threads: dict[int, list[tuple[float, float]]] = {}
    for event in made["traceEvents"]:
        assert set(event) == KEYS[event["ph"]]
        assert type(event["pid"]) is type(event["tid"]) is int
        assert 0 <= event["tid"] < event["pid"] < 1 << 31
        if event["ph"] == "M":
            assert not threads, "names come first"
            _check_name(event, named[event["name"]])
        elif event["ph"] == "X":
            _check_complete(event)
            assert event["pid"] in named["process_name"]
            assert event["tid"] in named["thread_name"]
            threads.setdefault(event["tid"], []).append((event["ts"], event["dur"]))
    for own in threads.values():
        for one, following in pairwise(sorted(own)):
            assert _ns(following[0]) >= _ns(one[0]) + _ns(one[1])
    _check_flows(made["traceEvents"], threads)
    _check_counters(made["traceEvents"])


def _ns(micro: float) -> int:
    """A time as Perfetto's importer keeps it."""
    return int(micro * 1000)


def _check_name(event: dict[str, Any], named: set[int]) -> None:
    key, kind = METADATA[event["name"]]
    number = event["pid"] if event["name"] == "process_name" else event["tid"]
    assert number not in named
    named.add(number)
    assert set(event["args"]) == {key}
    assert type(event["args"][key]) is kind


def _check_flows(
    events: list[dict[str, Any]], threads: dict[int, list[tuple[float, float]]]
) -> None:
    """A start and an end of each number, within slices, which stand before them in the file."""
    ends = [event for event in events if event["ph"] in "sf"]
    slices = [k for k, event in enumerate(events) if event["ph"] == "X"]
    assert not ends or slices[-1] < min(k for k, event in enumerate(events) if event["ph"] in "sf")
    for event in ends:
        assert type(event["id"]) is int
        assert event.get("bp", "e") == "e"
        at = _ns(event["ts"])
        around = [a for a, n in threads[event["tid"]] if _ns(a) <= at < _ns(a) + _ns(n)]
        assert len(around) == 1
    starts = {event["id"]: event for event in ends if event["ph"] == "s"}
    arrivals = {event["id"]: event for event in ends if event["ph"] == "f"}
    assert starts.keys() == arrivals.keys()
    assert len(starts) + len(arrivals) == len(ends)
    assert all([starts[k]["ts"] <= arrivals[k]["ts"] for k in starts])


def _check_counters(events: list[dict[str, Any]]) -> None:
    """One value a moment, in order, none below zero, and none left at the end."""
    counters: dict[str, list[tuple[float, float]]] = {}
    for event in events:
        if event["ph"] == "C":
            (value,) = event["args"].values()
            assert isfinite(event["ts"])
            assert isfinite(value)
            assert value >= 0
            counters.setdefault(event["name"], []).append((event["ts"], value))
    for steps in counters.values():
        assert [ts for ts, _ in steps] == sorted({ts for ts, _ in steps})
        assert steps[-1][1] == 0


def _check_complete(event: dict[str, Any]) -> None:
    assert isinstance(event["name"], str)
    assert event["name"]
    assert isinstance(event["cat"], str)
    assert "," not in event["cat"], "a comma separates categories"
    for key in ("ts", "dur"):
        assert type(event[key]) in (int, float)
        assert isfinite(event[key])
        assert event[key] >= 0
    assert all([type(value) in (int, str) for value in event["args"].values()])
