"""Every derivative of one function: gradient, vjp, jvp, Hessian times vector, Jacobian, Hessian."""

from __future__ import annotations

from typing import Any

import numpy

import pullback as pb
import pullback.numpy as np
from examples.server_process import any_server


def polar(r: Any, angle: Any) -> Any:
    """The point at a radius and an angle: two scalars -> (2,)."""
    return np.stack([r * np.cos(angle), r * np.sin(angle)])


def rosenbrock(x: Any) -> Any:
    """Rosenbrock's valley: (N,) -> a scalar."""
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def main() -> None:
    """Ask for each, and print it."""
    point = {"r": 2.0, "angle": numpy.pi / 2}
    x = numpy.array([1.0, 2.0, 3.0])
    with any_server() as address, pb.connect(address) as service:
        graph = pb.trace(polar, *point.values())
        (output,) = graph.output_names

        pulled = service.vjp(graph, point, ["r", "angle"], {output: numpy.array([1.0, 0.0])})
        pushed = service.jvp(graph, point, {"angle": 1.0})
        jacobian = service.jacobian(graph, point, wrt=["r", "angle"])
        print("cotangent (1, 0) pulled back to the angle:", pulled.seed(0)["angle"])
        print("tangent of the angle pushed forward:", pushed.seed(0)[output].round(3))
        print("Jacobian by r:", jacobian.jacobians[output, "r"].round(3))

        valley = pb.trace(rosenbrock, x)
        gradient = service.gradient(valley, {"x": x}, wrt="x").gradients["x"]
        hessian = service.hessian(valley, {"x": x}, wrt="x").hessians["x", "x"]
        product = service.hvp(valley, {"x": x}, "x", {"x": gradient}).seed(0)["x"]
        print("gradient:", gradient)
        print("Hessian:", *hessian, sep="\n  ")
        print("Hessian @ gradient:", product)


if __name__ == "__main__":
    main()
