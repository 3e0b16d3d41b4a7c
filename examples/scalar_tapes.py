"""Scalar code as a tape: recorded from plain Python, differentiated, and run at many points."""

from __future__ import annotations

from typing import Any

import numpy

import pullback as pb
from examples.server_process import any_server


def pendulum(angle: Any, speed: Any, steps: int) -> Any:
    """The angle of a pendulum after some steps of leapfrog; of floats, or of recorded scalars."""
    for _ in range(steps):
        speed = speed - 0.01 * numpy.sin(angle)
        angle = angle + 0.01 * speed
    return angle


def main() -> None:
    """Record once; then how the end depends on the start, at one start and at a thousand."""
    tape = pb.Tape.record(pendulum, 0.5, 0.0, 300)
    with any_server() as address, pb.connect(address) as service:
        one = tape.evaluate({"angle": 0.5, "speed": 0.0}, service=service, gradient="angle")
        angles = numpy.linspace(-3.0, 3.0, 1001)
        points = {"angle": angles, "speed": 0.0}
        many = tape.at(points, service=service, gradient="angle")
    print(f"{len(tape)} nodes: ends at {float(one.outputs['result']):.4f}")
    print(f"d end / d start = {float(one.gradients['angle']):.4f}")
    steepest = numpy.abs(many.gradients["angle"]).argmax()
    print(f"of 1001 starts, the most sensitive is {angles[steepest]:+.3f}")


if __name__ == "__main__":
    main()
