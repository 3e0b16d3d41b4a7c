"""Fourier transforms under the names of NumPy's `fft` and the Array API's extension of that name.

float32 and complex64 stay single precision. Every transform has derivatives of any order; NumPy's
own functions, called on traced arrays, are these. `import pullback.fft` has all of it.
"""

from pullback.numpy.fft.frequencies import fftfreq, fftshift, ifftshift, rfftfreq
from pullback.numpy.fft.transforms import (
    fft,
    fft2,
    fftn,
    hfft,
    ifft,
    ifft2,
    ifftn,
    ihfft,
    irfft,
    irfft2,
    irfftn,
    rfft,
    rfft2,
    rfftn,
)

__all__ = [
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]
