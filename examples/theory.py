"""Three derivatives known by heart, from a service, as a first look at what comes back.

A scalar function, a vector function, and a graph whose adjoints can be followed by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pullback as pb
import pullback.numpy as np
from examples.server_process import any_server


class Example(NamedTuple):
    """A function, the point it is differentiated at, and the derivatives by each input."""

    title: str
    function: Callable[..., Any]
    point: Mapping[str, Any]
    expected: Mapping[str, Any]


def polynomial(x: Any) -> Any:
    """Scalar -> scalar; the derivative is 2 x + 2."""
    return x**2 + 2 * x + 1


def mean_of_doubles(x: Any) -> Any:
    """Vector -> scalar; the derivative by each of the n elements is 2 / n."""
    return np.mean(2.0 * x)


def sum_times(x1: Any, x2: Any, x3: Any) -> Any:
    """By the chain rule, x1 and x2 get the adjoint x3, and x3 gets x1 + x2."""
    return (x1 + x2) * x3


EXAMPLES = (
    Example("x² + 2x + 1", polynomial, {"x": 3.0}, {"x": 8.0}),
    Example(
        "mean(2x)", mean_of_doubles, {"x": np.array([1.0, 2.0, 3.0])}, {"x": np.full(3, 2 / 3)}
    ),
    Example(
        "(x1 + x2) · x3",
        sum_times,
        {"x1": 2.0, "x2": 3.0, "x3": 4.0},
        {"x1": 4.0, "x2": 4.0, "x3": 5.0},
    ),
)


def main() -> None:
    """Print each function's graph, its value and its derivatives."""
    with any_server() as address, pb.connect(address) as service:
        for example in EXAMPLES:
            graph = pb.trace(example.function, *example.point.values())
            result = service.gradient(graph, example.point, wrt=example.point)
            print(example.title, graph, sep="\n")
            for name, derivative in result.gradients.items():
                print(f"  d/d{name} = {derivative}")


if __name__ == "__main__":
    main()
