"""A gradient for each example of a batch: mapped, clipped one by one, and averaged, as one job."""

from __future__ import annotations

from typing import Any

import numpy

import pullback as pb
import pullback.numpy as np
from examples.server_process import any_server

LIMIT = 1.0
"""The largest norm that the gradient of one example may have."""


def loss(w: dict[str, Any], x: Any, y: Any) -> Any:
    """The loss of one example: x (N,), y a scalar."""
    hidden = np.tanh(x @ w["in"])
    return (hidden @ w["out"] - y) ** 2


def clipped_mean(w: dict[str, Any], x: Any, y: Any) -> tuple[Any, dict[str, Any]]:
    """Norms of the gradients of all examples, and their mean with each clipped to LIMIT."""
    gradients = pb.vmap(pb.grad(loss), in_axes=(None, 0, 0))(w, x, y)
    squares = [np.sum(g**2, axis=tuple(range(1, g.ndim))) for g in gradients.values()]
    norms = np.sqrt(squares[0] + squares[1])
    factor = np.minimum(1.0, LIMIT / norms)
    mean = {name: np.tensordot(factor, g, 1) / len(norms) for name, g in gradients.items()}
    return norms, mean


def main() -> None:
    """Make the gradients of a batch bounded by every example in it."""
    random = numpy.random.default_rng(0)
    w = {"in": random.normal(size=(12, 5)), "out": random.normal(size=5)}
    x, y = random.normal(size=(100, 12)), random.normal(size=100)
    y[0] = 50.0  # an outlier, which would rule a plain mean
    with any_server() as address, pb.connect(address) as service:
        norms, mean = service.value(clipped_mean)(w, x, y)
    count = sum([array.size for array in w.values()])
    clipped = numpy.sqrt(sum([numpy.sum(array**2) for array in mean.values()]))
    print(f"{len(norms)} gradients of {count} numbers in one job")
    print(
        f"norms of {norms.min():.2f} to {norms.max():.2f}; the mean of the clipped: {clipped:.3f}"
    )


if __name__ == "__main__":
    main()
