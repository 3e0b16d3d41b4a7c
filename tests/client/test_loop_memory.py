"""What derivatives of loops keep in memory: measured, not estimated, and held against the cap."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import lax
from pullback_graph.want import Gradient, Jvp, Want

WIDTH = 500
W = np.linspace(0.5, 1.5, WIDTH)
POINT = {"x": np.linspace(0.0, 1.0, WIDTH), "w": W}
BOTH = Gradient(("x", "w"))


def recurrence(steps: int) -> pb.Graph:
    """Steps of a vector, each with a residual."""

    def function(x: Any, w: Any) -> Any:
        entries = pnp.arange(float(steps))
        last, _ = lax.scan(lambda c, k: (pnp.tanh(c * w + k * 1e-4), None), x, entries)
        return pnp.sum(last * last)

    return pb.trace(function, POINT["x"], W)


def measured(graph: pb.Graph, want: Want, seeds: Any = (), **options: Any) -> tuple[pb.Result, int]:
    """The result, and the most bytes that NumPy had allocated while it was computed."""
    with pb.LocalService(promote=False) as service:
        service.evaluate(graph, POINT, want=want, seeds=seeds, **options)  # compiles
        tracemalloc.start()
        try:
            result = service.evaluate(graph, POINT, want=want, seeds=seeds, **options)
            return result, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def check_a_tenth(steps: int) -> None:
    """A tenth of the plain peak is enough, for a little more work; the gradient stays."""
    graph = recurrence(steps)
    plain, plain_bytes = measured(graph, BOTH, executor="numpy")
    assert plain_bytes > steps * WIDTH * 8
    assert plain.metrics.recompute_factor == 0.0
    cap = plain_bytes // 10
    capped, capped_bytes = measured(graph, BOTH, memory_cap_bytes=cap)
    assert capped_bytes <= cap
    assert capped.metrics.peak_bytes <= cap
    assert 1.0 < capped.metrics.recompute_factor < 2.5
    for name in ("x", "w"):
        np.testing.assert_allclose(capped.gradients[name], plain.gradients[name], rtol=1e-12)


def test_a_loop_fits_into_a_tenth() -> None:
    """1,000 steps."""
    check_a_tenth(1000)


@pytest.mark.slow
def test_a_long_loop_fits_into_a_tenth() -> None:
    """10,000 steps."""
    check_a_tenth(10_000)


def test_what_cannot_fit_is_refused_with_numbers() -> None:
    """The error says what is needed at the least, what was allowed, and where to say so."""
    graph = recurrence(1000)
    with pytest.raises(pb.LimitExceeded, match=r"its memory cap is 30000, and .* take \d+") as e:
        pb.local().evaluate(graph, POINT, want=BOTH, memory_cap_bytes=30_000)
    assert e.value.field == "options.memory_cap_bytes"
    least = int(e.value.message.split(" take ")[1].split(";")[0])
    assert 30_000 < least < 150_000


def test_tangents_of_a_loop_keep_nothing() -> None:
    """A JVP takes as much memory for 2,000 steps as for 200, up to the entries of the loop."""
    want, seeds = Jvp((("x",),)), [{"x": np.ones(WIDTH)}]
    peaks = [measured(recurrence(n), want, seeds, executor="numpy")[1] for n in (200, 2000)]
    assert peaks[1] - peaks[0] < 3 * 8 * 2000
    assert peaks[1] < 100 * WIDTH * 8
