"""HIPS autograd: NumPy code, differentiated as it runs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from benchmarks.contest import Call, NDArray, Rival
from benchmarks.libraries.words import Vocabulary, Words, Write, python_scan

FAMILY = "autograd"


def words() -> Words:
    """`autograd.numpy`, with `logsumexp`, `erf` and `scan` as a Python loop."""
    special = import_module("autograd.scipy.special")
    numpy = import_module("autograd.numpy")
    return Vocabulary(
        numpy,
        logsumexp=special.logsumexp,
        erf=special.erf,
        relu=lambda x: numpy.maximum(x, 0.0),
        sigmoid=lambda x: 0.5 * (numpy.tanh(0.5 * x) + 1.0),
        amin=numpy.min,
        scan=python_scan(numpy.stack),
        take=lambda x, indices, axis: x[(slice(None),) * axis + (indices,)],
    )


def rivals(write: Write, arguments: Sequence[NDArray], wrt: Sequence[int]) -> list[Rival]:
    """Value and gradient by the arguments at some positions."""

    def make() -> Call:
        function = import_module("autograd").value_and_grad(write(words()), tuple(wrt))
        arrays = tuple(arguments)
        return lambda: function(*arrays)

    return [Rival("autograd", FAMILY, make)]
