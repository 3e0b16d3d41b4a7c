"""The gradient of a Python function, computed by a service.

The function is traced once into a graph; data travels, code never does.
"""

from __future__ import annotations

from typing import Any

import numpy

import pullback as pb
import pullback.numpy as np
from examples.server_process import any_server


def loss(w: Any, x: Any, y: Any) -> Any:
    """Mean squared error of a linear model: (D,), (N, D), (N,) -> a scalar."""
    return np.mean((x @ w - y) ** 2)


def main() -> None:
    """Fit a line by gradient descent, every gradient from the service."""
    random = numpy.random.default_rng(0)
    true_w = numpy.array([2.0, -1.0, 0.5])
    x = random.normal(size=(100, 3))
    y = x @ true_w
    w = numpy.zeros(3)
    with any_server() as address, pb.connect(address) as service:
        value_and_grad = service.value_and_grad(loss, wrt="w")
        for step in range(50):
            value, gradient = value_and_grad(w, x, y)
            w = w - 0.3 * gradient
            if step % 10 == 0:
                print(f"step {step:2}: loss {value:.2e}")
    print(f"w = {w.round(3)}")


if __name__ == "__main__":
    main()
