"""The errors of jobs that were called off: how long they wait to tell of the stop, and how."""

from __future__ import annotations

from pullback_graph.errors import PullbackError, Stop

KILLING_S = 1.0
"""From the end of a grace period until the worker is known to be gone, at most."""
MOST_TELLING_S = 2.0
"""The longest that an answer waits, so that a client that gives its server three seconds more than
the deadline hears it."""


def telling_s(grace_s: float) -> float:
    """How long the answer of a job waits for it to stop, by the grace period of its workers."""
    return min(grace_s + KILLING_S, MOST_TELLING_S)


def told(error: PullbackError, stop: Stop) -> PullbackError:
    """The error, saying how the job ended."""
    made = type(error)(f"{error.message}; {stop}", field=error.field)
    made.stop = stop
    return made
