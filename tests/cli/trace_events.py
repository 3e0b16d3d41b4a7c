"""What Perfetto and Chrome ask of a trace in JSON, field by field.

Source: the Trace Event Format (Google, 2016): metadata events have no time of their own, complete
events a `ts` and a `dur` in microseconds and may carry nothing that the format gives another
meaning (`tts`, `id`, `bp`, `s`, `scope`); a process or thread is named once, before it is used.
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
}


def check_events(made: dict[str, Any]) -> None:
    """Metadata and complete events, threads named, numbers finite, none of a thread overlapping."""
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert set(made) == FILE_KEYS
    assert made["displayTimeUnit"] in ("ms", "ns")
    assert all([isinstance(value, str) for value in made["otherData"].values()])
    named: dict[str, set[int]] = {"process_name": set(), "thread_name": set()}
    threads: dict[int, list[tuple[float, float]]] = {}
    for event in made["traceEvents"]:
        assert set(event) == KEYS[event["ph"]]
        assert type(event["pid"]) is type(event["tid"]) is int
        assert 0 <= event["tid"] < 1 << 31
        if event["ph"] == "M":
            assert not threads, "names come first"
            _check_name(event, named[event["name"]])
            continue
        _check_complete(event)
        assert event["pid"] in named["process_name"]
        assert event["tid"] in named["thread_name"]
        threads.setdefault(event["tid"], []).append((event["ts"], event["ts"] + event["dur"]))
    for own in threads.values():
        for one, following in pairwise(sorted(own)):
            assert following[0] >= one[1] - 1e-6 * max(1.0, one[1])


def _check_name(event: dict[str, Any], named: set[int]) -> None:
    number = event["pid"] if event["name"] == "process_name" else event["tid"]
    assert number not in named
    named.add(number)
    assert set(event["args"]) == {"name"}
    assert isinstance(event["args"]["name"], str)


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
