"""Complex numbers and Fourier transforms: a field recovered from the sizes of its spectra.

A detector sees how bright a point of a spectrum is, not its phase. Spectra behind several known
masks hold enough to find the field again, up to one phase for all of it.
"""

from __future__ import annotations

from typing import Any

import numpy

import pullback as pb
import pullback.numpy as np


def misfit(field: Any, masks: Any, seen: Any) -> Any:
    """Of a field (N,) behind masks (K, N), the squares by which its sizes miss those seen."""
    spectra = np.fft.fft(field * masks, norm="ortho")
    return np.sum((np.abs(spectra) - seen) ** 2)


def main() -> None:
    """Descend from a random field: against the gradient's conjugate, as its convention has it."""
    random = numpy.random.default_rng(1)
    hidden = random.normal(size=64) + 1j * random.normal(size=64)
    masks = numpy.exp(2j * numpy.pi * random.random((8, 64)))
    seen = numpy.abs(numpy.fft.fft(hidden * masks, norm="ortho"))
    value_and_grad = pb.local().value_and_grad(misfit)
    field = random.normal(size=64) + 1j * random.normal(size=64)
    steps, value = 0, numpy.inf
    while value > 1e-20 and steps < 500:
        value, gradient = value_and_grad(field, masks, seen)
        field = field - numpy.conj(gradient) / (2 * len(masks))
        steps += 1
    field = field * numpy.exp(1j * numpy.angle(numpy.vdot(field, hidden)))
    error = numpy.linalg.norm(field - hidden) / numpy.linalg.norm(hidden)
    print(f"after {steps} steps the field of {field.size} points is right to {error:.0e}")


if __name__ == "__main__":
    main()
