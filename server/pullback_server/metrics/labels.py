"""The closed sets every metric label takes its values from; never a job, a tenant or a graph.

A value from outside its set is counted under the set's catch-all, so no request can add series.
"""

from __future__ import annotations

from collections.abc import Collection

from pullback_graph.errors import ERRORS

UNKNOWN = "unknown"
OTHER = "other"

WANTS = ("value", "gradient", "vjp", "jvp", "hvp", "jacobian", "hessian", UNKNOWN)
"""What a job asks for; `unknown` until it is decoded."""

OK = "ok"
OUTCOMES = (OK, *sorted({kind.status.lower() for kind in ERRORS.values()}))
"""How a job ended: `ok`, or the lower-case gRPC status of its error."""

STATES = ("queued", "planning", "running")
"""Where a job that is not answered yet stands."""

PHASES = (
    "queued",
    "planning",
    "compiling",
    "forward",
    "backward",
    "fused",
    "reducing",
    "transferring",
    "total",
)
"""Parts of a job's time; each is `<phase>_s` of `pullback_graph.job.Metrics`."""

KINDS = ("cpu", "gpu")
WASTES = ("cancelled", "copied", "lost")
"""Why no result came of worker time: nobody wanted it any more, another worker was first, or the
worker was lost."""
WORKER_STATES = ("starting", "idle", "busy")
EXECUTORS = ("numpy", "tape", "xla", OTHER)

PROMOTIONS = ("faster", "slower", "failed")
"""How a graph that XLA compiled in the background compares with NumPy."""

QUEUE_FULL = "queue_full"
STOPPING = "stopping"
REASONS = (QUEUE_FULL, STOPPING, *OUTCOMES[1:], OTHER)
"""Why a request was turned away before it became a job, or an RPC without a job failed."""


def member(value: str, values: Collection[str], catch_all: str) -> str:
    """`value` where the set holds it, the catch-all where not."""
    return value if value in values else catch_all
