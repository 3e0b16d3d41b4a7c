"""CasADi: SX expressions, which it evaluates on a machine of its own, scalar by scalar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.contest import Call, NDArray, Rival
from benchmarks.libraries.words import Write

FAMILY = "CasADi"


def gradient(write: Write, arguments: Sequence[NDArray], name: str = "CasADi SX") -> Rival:
    """Value and gradient by the first argument, of a function of scalars and of lists of rows."""

    def make() -> Call:
        casadi = import_module("casadi")
        symbols = [casadi.SX.sym(f"x{i}", *_sizes(a)) for i, a in enumerate(arguments)]
        value = write(casadi)(*symbols)
        gradient = casadi.gradient(value, symbols[0])
        return evaluation(
            casadi.Function("gradient", symbols, [value, gradient]),
            arguments,
            [np.zeros(()), np.zeros(arguments[0].shape)],
        )

    return Rival(name, FAMILY, make)


def evaluation(
    function: Any, arguments: Sequence[NDArray], results: Sequence[NDArray]
) -> Callable[[], Sequence[NDArray]]:
    """A call of a CasADi function that reads and writes our buffers: nothing is converted."""
    buffer, trigger = function.buffer()
    held = [np.asfortranarray(array, dtype=np.float64) for array in arguments]
    made = [np.zeros(array.shape, order="F") for array in results]
    for place, array in enumerate(held):
        buffer.set_arg(place, array.reshape(-1, order="F").data)
    for place, array in enumerate(made):
        buffer.set_res(place, array.reshape(-1, order="F").data)

    def call() -> Sequence[NDArray]:
        trigger()
        return made

    call.kept = (buffer, function, held)  # type: ignore[attr-defined]  # the buffers point into them
    return call


def _sizes(array: NDArray) -> tuple[int, ...]:
    return array.shape or (1,)
