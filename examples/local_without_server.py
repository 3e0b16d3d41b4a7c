"""The same verbs without any server: `pb.local()` runs them in this process, on NumPy."""

from __future__ import annotations

from typing import Any

import numpy

import pullback as pb
import pullback.numpy as np


def energy(x: Any) -> Any:
    """Lennard-Jones energy of atoms at positions (N, 3) -> a scalar."""
    difference = x[:, None] - x[None, :]
    squared = np.sum(difference**2, axis=-1) + np.eye(len(x))  # at distance 1 the energy is 0
    sixth = squared**-3
    return 2.0 * np.sum(sixth**2 - sixth)


def main() -> None:
    """Check the gradient against central differences, then take a few steps downhill."""
    x = numpy.array([[0.0, 0.0, 0.0], [1.2, 0.0, 0.0], [0.3, 1.3, 0.0], [0.3, 0.4, 1.1]])
    pb.check_gradient(energy, x)
    service = pb.local()
    value_and_grad = service.value_and_grad(energy)
    for _ in range(500):
        value, gradient = value_and_grad(x)
        x = x - 0.002 * gradient
    forces = numpy.abs(gradient).max()
    print(f"energy of four atoms {value:.4f} (the lowest is -6), largest force {forces:.1e}")


if __name__ == "__main__":
    main()
