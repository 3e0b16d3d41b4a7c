"""The tiny job every service is asked for: a linear model's squared error and its gradient."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

import pullback.numpy as pnp

NDArray: TypeAlias = "np.ndarray[Any, Any]"
ROWS, COLUMNS = 8, 3


def loss(w: Any, x: Any, y: Any) -> Any:
    """Weights (3,), inputs (8, 3), targets (8,) -> a scalar; traced, or on plain arrays."""
    return pnp.mean((x @ w - y) ** 2)


def by_hand(w: NDArray, x: NDArray, y: NDArray) -> tuple[NDArray, NDArray]:
    """The loss and its gradient by `w`, as written without automatic differentiation."""
    residual = x @ w - y
    return np.mean(residual**2), 2.0 / len(y) * (residual @ x)


def data() -> tuple[NDArray, NDArray, NDArray]:
    """Weights, inputs and targets from a fixed seed."""
    random = np.random.default_rng(0)
    return (
        random.normal(size=COLUMNS),
        random.normal(size=(ROWS, COLUMNS)),
        random.normal(size=ROWS),
    )
