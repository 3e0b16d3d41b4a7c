"""What goes wrong comes back as a typed error that says what, where, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

import pullback as pb
import pullback.numpy as np
from examples.server_process import any_server


def predict(w: Any, x: Any) -> Any:
    """A linear model: (D,), (N, D) -> a scalar."""
    return np.sum(np.log(x @ w))


def branch(x: Any) -> Any:
    """Python's `if` needs a number, and tracing has none."""
    return x if x > 0 else -x


def main() -> None:
    """Provoke one error of each blame: ours in the code, ours in the request, the computation's."""
    w, x = numpy.ones(3), numpy.ones((4, 3))
    graph = pb.trace(predict, w, x)
    with any_server() as address, pb.connect(address) as service:
        attempts: dict[str, Callable[[], object]] = {
            "an `if` on a traced value": lambda: pb.trace(branch, 1.0),
            "shapes that do not fit": lambda: pb.trace(predict, w, numpy.ones((4, 5))),
            "a missing input": lambda: service.value(graph, {"w": w}),
            "an unknown name": lambda: service.gradient(graph, {"w": w, "x": x}, wrt="v"),
            "a logarithm of zero": lambda: service.value(
                graph, {"w": 0 * w, "x": x}, check="finite"
            ),
        }
        for title, attempt in attempts.items():
            try:
                attempt()
            except pb.PullbackError as error:
                print(f"{title}: {type(error).__name__}\n  {error}")


if __name__ == "__main__":
    main()
