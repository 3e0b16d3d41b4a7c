"""Particles that attract one another, moved by leapfrog steps in a scan."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from benchmarks.contest import Case, NDArray, Target
from benchmarks.libraries.gradients import gradient_rivals
from benchmarks.libraries.words import Function, Words
from benchmarks.workloads.workload import Workload

STEP, SOFTENING = 0.01, 0.1


class Sizes(NamedTuple):
    """Particles and steps."""

    particles: int
    steps: int


def write(np: Words) -> Function:
    """Mean squared distance from the origin after the last step.

    Arguments: positions (N, 3), velocities (N, 3), masses (N,); a vector as long as there are
    steps.
    """

    def spread(positions: Any, velocities: Any, masses: Any, steps: Any) -> Any:
        def acceleration(x: Any) -> Any:
            squares = np.sum(x * x, axis=1)
            apart = squares[:, None] + squares - 2.0 * (x @ x.T) + SOFTENING
            pull = masses / (apart * np.sqrt(apart))
            return pull @ x - np.sum(pull, axis=1)[:, None] * x

        def step(carry: Any, _: Any) -> tuple[Any, Any]:
            x, v = carry
            v = v + STEP * acceleration(x)
            return (x + STEP * v, v), v[0, 0]

        (x, _), _ = np.scan(step, (positions, velocities), steps)
        return np.mean(x * x)

    return spread


def data(sizes: Sizes) -> list[NDArray]:
    """A cloud at random."""
    random = np.random.default_rng(0)
    n = sizes.particles
    return [
        random.normal(size=(n, 3)),
        random.normal(0.0, 0.3, (n, 3)),
        random.uniform(0.5, 1.5, n) / n,
        np.zeros(sizes.steps),
    ]


def case(sizes: Sizes) -> Case:
    """One cloud."""
    return Case(
        name=f"{sizes.particles} particles, {sizes.steps} steps",
        about="gravity between all pairs, value and gradient by positions, velocities and masses, "
        "float64",
        rivals=gradient_rivals(write, data(sizes), range(3), torch_compile=False),
        targets=[Target(1.1)],
        left_out=["PyTorch compile: it unrolls the loop of Python, which takes it minutes"],
    )


WORKLOAD = Workload(
    "particle simulation, gradient",
    {"few": Sizes(16, 200), "many": Sizes(256, 50)},
    Sizes(3, 2),
    case,
    budget_s=8.0,
)
