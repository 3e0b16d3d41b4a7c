"""Many different graphs in one batch: results in order, and an error only in its own place."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy

import pullback as pb
from examples.server_process import any_server


def polynomial_of(degree: int) -> pb.Graph:
    """The graph of a polynomial: its coefficients and a point -> its value."""

    def polynomial(coefficients: Any, x: Any) -> Any:
        value = coefficients[0]
        for k in range(1, degree + 1):
            value = value * x + coefficients[k]
        return value

    return pb.trace(polynomial, numpy.ones(degree + 1), 1.0)


def main() -> None:
    """Derivatives of twenty polynomials at many points; every hundredth job lacks its point."""
    graphs = [polynomial_of(degree) for degree in range(1, 21)]
    jobs = []
    for number in range(1000):
        degree = 1 + number % len(graphs)
        inputs = {"coefficients": numpy.ones(degree + 1), "x": number / 1000}
        if number % 100 == 99:
            del inputs["x"]
        jobs.append((graphs[degree - 1], inputs))
    with any_server() as address, pb.connect(address) as service:
        outcomes = list(service.map(jobs, gradient="x"))
    print(dict(Counter(type(outcome).__name__ for outcome in outcomes)))
    for number in (500, 599):
        match outcomes[number]:
            case pb.Result() as result:
                print(f"job {number}: the derivative is {result.gradients['x']}")
            case error:
                print(f"job {number}: {error}")


if __name__ == "__main__":
    main()
