"""A polynomial of three nodes: what a call costs when there is nothing to compute."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.contest import Case, Rival, Target
from benchmarks.libraries import autograd_peer, casadi_peer, jax_peer, numba_peer, ours, torch_peer
from benchmarks.libraries.words import Function, Words
from benchmarks.workloads.workload import Workload


def write(np: Words) -> Function:
    """(x² + x) x of a scalar x."""

    def polynomial(x: Any) -> Any:
        return (x * x + x) * x

    return polynomial


def by_hand(x: Any) -> tuple[Any, Any]:
    """The value and its derivative."""
    square = x * x
    inner = square + x
    return inner * x, inner + x * (x + x + 1.0)


def case(point: float) -> Case:
    """The polynomial at a point."""
    arguments = (np.asarray(point),)
    return Case(
        name="",
        about="(x² + x) x, value and derivative, x a 0-d float64 array",
        rivals=[
            Rival("NumPy by hand", "NumPy", lambda: lambda: by_hand(arguments[0])),
            *ours.rivals(ours.gradient(write, (0,)), arguments, ("numpy", "tape", "xla")),
            ours.program_alone(write, arguments, (0,)),
            *jax_peer.rivals(jax_peer.gradient(write, (0,)), arguments),
            *torch_peer.rivals(torch_peer.gradient(write, (0,)), arguments, compiled=False),
            *autograd_peer.rivals(write, arguments, (0,)),
            casadi_peer.gradient(write, arguments),
            numba_peer.rival(by_hand, (float(point),)),
        ],
        targets=[
            Target(0.5, peer="JAX jit, NumPy in and out"),
            Target(0.3, families=("PyTorch",)),
        ],
    )


WORKLOAD = Workload("polynomial of 3 nodes", {"": 1.5}, 1.5, case, budget_s=4.0)
