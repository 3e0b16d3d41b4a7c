"""What Perfetto and Chrome ask of a trace in JSON.

Source: the Trace Event Format (Google, 2016).
"""

from __future__ import annotations

import json
from itertools import pairwise
from math import isfinite
from typing import Any


def check_events(made: dict[str, Any]) -> None:
    """Metadata and complete events, threads named, numbers finite, none of a thread overlapping."""
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert made["displayTimeUnit"] in ("ms", "ns")
    named: set[int] = set()
    threads: dict[int, list[tuple[float, float]]] = {}
    for event in made["traceEvents"]:
        assert isinstance(event["name"], str)
        assert type(event["pid"]) is type(event["tid"]) is int
        assert isinstance(event["args"], dict)
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "thread_name")
            assert isinstance(event["args"]["name"], str)
            named.update([event["tid"]] if event["name"] == "thread_name" else [])
            continue
        assert event["ph"] == "X"
        assert isinstance(event["cat"], str)
        assert isfinite(event["ts"])
        assert isfinite(event["dur"])
        assert min(event["ts"], event["dur"]) >= 0
        assert event["tid"] in named
        threads.setdefault(event["tid"], []).append((event["ts"], event["ts"] + event["dur"]))
    for own in threads.values():
        for one, following in pairwise(sorted(own)):
            assert following[0] >= one[1] - 1e-6 * max(1.0, one[1])
