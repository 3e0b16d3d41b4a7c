"""Fourier transforms under NumPy's names, for traced and plain arrays: `import pullback.fft`."""

from pullback.numpy.fft import *  # noqa: F403  (the same names, under a shorter path)
from pullback.numpy.fft import __all__ as __all__
