"""Predators and prey by the classical Runge–Kutta method in a scan, and the gradient of a fit.

Source: Lotka and Volterra's equations; the method: Hairer, Nørsett, Wanner 1993, section II.1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from benchmarks.contest import Case, NDArray, Target
from benchmarks.libraries.gradients import gradient_rivals
from benchmarks.libraries.words import Function, Words
from benchmarks.workloads.workload import Workload

STEP = 0.01


class Sizes(NamedTuple):
    """Steps, and systems side by side."""

    steps: int
    systems: int


def write(np: Words) -> Function:
    """Mean squared distance of trajectories from zero, over all steps.

    Arguments: four rates (4,), prey and predators at the start, (N,) each; a vector as long as
    there are steps.
    """

    def cost(rates: Any, prey: Any, predators: Any, steps: Any) -> Any:
        def slope(x: Any, y: Any) -> tuple[Any, Any]:
            met = x * y
            return rates[0] * x - rates[1] * met, rates[2] * met - rates[3] * y

        def step(carry: Any, _: Any) -> tuple[Any, Any]:
            x, y = carry
            a, b = slope(x, y)
            c, d = slope(x + 0.5 * STEP * a, y + 0.5 * STEP * b)
            e, f = slope(x + 0.5 * STEP * c, y + 0.5 * STEP * d)
            g, h = slope(x + STEP * e, y + STEP * f)
            x = x + STEP / 6.0 * (a + 2.0 * (c + e) + g)
            y = y + STEP / 6.0 * (b + 2.0 * (d + f) + h)
            return (x, y), x * x + y * y

        return np.mean(np.scan(step, (prey, predators), steps)[1])

    return cost


def data(sizes: Sizes) -> list[NDArray]:
    """Rates, and starts near the point where both hold their balance."""
    random = np.random.default_rng(0)
    return [
        np.array([1.1, 0.4, 0.1, 0.4]),
        random.uniform(3.0, 6.0, sizes.systems),
        random.uniform(2.0, 4.0, sizes.systems),
        np.zeros(sizes.steps),
    ]


def case(sizes: Sizes) -> Case:
    """So many systems at once."""
    return Case(
        name=f"{sizes.steps:,} steps of {sizes.systems:,} system(s)",
        about="Lotka–Volterra, fourth order, value and gradient by rates and starts, float64",
        rivals=gradient_rivals(
            write,
            data(sizes),
            range(3),
            executors=("numpy", "tape", "xla"),
            torch_compile=False,
        ),
        targets=[Target(1.1)],
        left_out=["PyTorch compile: it unrolls the loop of Python, which takes it minutes"],
    )


WORKLOAD = Workload(
    "ODE by Runge–Kutta in a scan, gradient",
    {"one": Sizes(1_000, 1), "many": Sizes(1_000, 1_000)},
    Sizes(3, 2),
    case,
    budget_s=8.0,
)
