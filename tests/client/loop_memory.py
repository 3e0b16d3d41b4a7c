"""What derivatives of a loop keep, measured: `python -m tests.client.loop_memory STEPS`, as JSON.

A process of its own, since the measure counts what any thread allocates.
"""

from __future__ import annotations

import json
import sys
import tracemalloc
from typing import Any

import numpy as np

import pullback as pb
import pullback.numpy as pnp
from pullback import lax
from pullback_graph.want import Gradient, Jvp, Want

WIDTH = 500
POINT = {"x": np.linspace(0.0, 1.0, WIDTH), "w": np.linspace(0.5, 1.5, WIDTH)}
BOTH = Gradient(("x", "w"))


def recurrence(steps: int) -> pb.Graph:
    """Steps of a vector, each with a residual."""

    def function(x: Any, w: Any) -> Any:
        entries = pnp.arange(float(steps))
        last, _ = lax.scan(lambda c, k: (pnp.tanh(c * w + k * 1e-4), None), x, entries)
        return pnp.sum(last * last)

    return pb.trace(function, POINT["x"], POINT["w"])


def measured(graph: pb.Graph, want: Want, seeds: Any = (), **options: Any) -> tuple[pb.Result, int]:
    """The result, and the most bytes that were allocated while it was computed."""
    with pb.LocalService(promote=False) as service:
        service.evaluate(graph, POINT, want=want, seeds=seeds, **options)  # compiles
        tracemalloc.start()
        result = service.evaluate(graph, POINT, want=want, seeds=seeds, **options)
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return result, peak_bytes


def tangent_bytes(steps: int) -> int:
    """What a JVP takes at its fullest."""
    seeds = [{"x": np.ones(WIDTH)}]
    return measured(recurrence(steps), Jvp((("x",),)), seeds, executor="numpy")[1]


def figures(steps: int) -> dict[str, Any]:
    """Of a gradient, plain and within a tenth; of tangents, for a tenth of the steps and all."""
    graph = recurrence(steps)
    plain, plain_bytes = measured(graph, BOTH, executor="numpy")
    cap_bytes = plain_bytes // 10
    capped, capped_bytes = measured(graph, BOTH, memory_cap_bytes=cap_bytes)
    ours, theirs = [
        np.concatenate([result.gradients[name] for name in BOTH.wrt]) for result in (capped, plain)
    ]
    return {
        "plain_bytes": plain_bytes,
        "plain_factor": plain.metrics.recompute_factor,
        "cap_bytes": cap_bytes,
        "capped_bytes": capped_bytes,
        "estimated_bytes": capped.metrics.peak_bytes,
        "factor": capped.metrics.recompute_factor,
        "error": float(np.abs(ours - theirs).max() / np.abs(theirs).max()),
        "tangent_bytes": [tangent_bytes(steps // 10), tangent_bytes(steps)],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(figures(int(sys.argv[1]))))
