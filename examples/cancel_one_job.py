"""Several jobs at once, each with a future of its own: the first good answer calls the others off.

Run: python -m examples.cancel_one_job (with --server HOST:PORT to use one that runs).
"""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, wait
from typing import Any

import numpy as np

import pullback as pb
import pullback.numpy as pnp
from examples.server_process import any_server
from pullback import lax

STEPS = (100, 10_000, 10_000_000)
"""The last would take minutes."""


def root(x: Any, steps: int) -> Any:
    """√x by Newton's method, many times over."""
    return lax.fori_loop(0, steps, lambda _, r: 0.5 * (r + x / r), x + 1.0)


def main() -> None:
    """Take the answer that is there first."""
    x = np.asarray(2.0)
    with any_server() as address, pb.connect(address) as service:
        graphs = [pb.trace(lambda x, n=n: pnp.sum(root(x, n)), x) for n in STEPS]
        futures = [service.submit(graph, {"x": x}, gradient="x") for graph in graphs]
        done, rest = wait(futures, return_when=FIRST_COMPLETED)
        first = done.pop().result()
        print(f"d√x/dx at 2: {float(first.gradients['x']):.6f}")
        for future in rest:
            future.cancel()
        wait(rest)
        print(f"{sum(future.cancelled() for future in rest)} of {len(rest)} were still running")


if __name__ == "__main__":
    main()
