"""The transforms: arguments as NumPy has them, made of the rows `fft`, `rfft` and `irfft`.

An axis is cut or padded with zeros at its end to the size that is asked for. `norm` says where the
factor 1/n stands: `backward` (also None), `forward`, or half of it in either (`ortho`).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pullback.numpy.axes import one_axis, ordered_axes
from pullback.numpy.complex_numbers import conj
from pullback.tracing.apply import Value, apply, as_value, cast
from pullback_graph.errors import DTypeError, InputError, ShapeError
from pullback_graph.ops.fourier import OPPOSITE
from pullback_graph.types import FLOAT64, Shape, complex_dtype

_LAST_TWO = (-2, -1)


def fft(x: Any, /, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The discrete Fourier transform along one axis, cut or padded to `n` points."""
    return _one(fftn, x, n, axis, norm)


def ifft(x: Any, /, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of `fft`."""
    return _one(ifftn, x, n, axis, norm)


def rfft(x: Any, /, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The transform of a real array: the n // 2 + 1 points that are not conjugates of others."""
    return _one(rfftn, x, n, axis, norm)


def irfft(x: Any, /, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of `rfft`: real, of `n` points (an even number where None)."""
    return _one(irfftn, x, n, axis, norm)


def hfft(x: Any, /, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The transform of an array whose other half is the conjugate: real, of `n` points."""
    return irfft(conj(_complex(x)), n, axis, _opposite(norm))


def ihfft(x: Any, /, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of `hfft`, of a real array."""
    return conj(rfft(x, n, axis, _opposite(norm)))


def fft2(x: Any, /, s: Any = None, axes: Any = _LAST_TWO, norm: str | None = None) -> Any:
    """`fftn` over two axes."""
    return fftn(x, s, axes, norm)


def ifft2(x: Any, /, s: Any = None, axes: Any = _LAST_TWO, norm: str | None = None) -> Any:
    """The inverse of `fft2`."""
    return ifftn(x, s, axes, norm)


def rfft2(x: Any, /, s: Any = None, axes: Any = _LAST_TWO, norm: str | None = None) -> Any:
    """`rfftn` over two axes."""
    return rfftn(x, s, axes, norm)


def irfft2(x: Any, /, s: Any = None, axes: Any = _LAST_TWO, norm: str | None = None) -> Any:
    """The inverse of `rfft2`."""
    return irfftn(x, s, axes, norm)


def fftn(x: Any, /, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
    """The discrete Fourier transform over axes (all where None), cut or padded to sizes `s`.

    Args:
        s: a size for each axis, None or -1 for its own; without `axes`, of the last axes.

    Raises:
        ShapeError: there is no such axis, one comes twice, or one has no points.
        InputError: the norm is none.
    """
    return _complex_transform(x, s, axes, norm, inverse=False)


def ifftn(x: Any, /, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
    """The inverse of `fftn`.

    Raises:
        ShapeError, InputError: as `fftn` says.
    """
    return _complex_transform(x, s, axes, norm, inverse=True)


def rfftn(x: Any, /, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
    """`fftn` of a real array; along the last of the axes, as `rfft`.

    Raises:
        DTypeError: the array is complex.
        ShapeError, InputError: as `fftn` says.
    """
    value = _floating(x)
    if value.dtype.kind == "c":
        raise DTypeError(f"a real transform of {value.dtype.name}; use fft, or take real of it")
    plan = _plan(value.shape, s, axes)
    plan.check()
    fitted = _fitted(value, plan)
    return apply("rfft", fitted, axes=plan.axes, norm=_norm(norm))


def irfftn(x: Any, /, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
    """The inverse of `rfftn`: real, the last of the axes of an even size where `s` says none.

    Raises:
        ShapeError, InputError: as `fftn` says.
    """
    value = _complex(x)
    plan = _plan(value.shape, s, axes)
    plan.check()
    last, given = plan.axes[-1], plan.given[-1]
    size = 2 * (value.shape[last] - 1) if given is None else given
    if size < 1:
        raise ShapeError(f"axis {last} of shape {value.shape} to {size} points; give one or more")
    halved = plan._replace(sizes=(*plan.sizes[:-1], size // 2 + 1))
    return apply("irfft", _fitted(value, halved), axes=plan.axes, size=size, norm=_norm(norm))


# --- inside ---------------------------------------------------------------------------------------


class _Plan(NamedTuple):
    """Axes to transform, the sizes they are to have, and those that were given."""

    axes: Shape
    sizes: Shape
    given: tuple[int | None, ...]

    def check(self) -> None:
        """Refuse to transform no axis by a row that halves the last one."""
        if not self.axes:
            raise ShapeError("a real transform needs an axis, and the array or `axes` has none")


def _one(transform: Callable[..., Any], x: Any, n: int | None, axis: int, norm: str | None) -> Any:
    if n == -1:  # in `s` that is an axis's own size, as in NumPy; here it is a mistake, as there
        raise ShapeError("a transform of -1 points; give one or more, or leave n out")
    return transform(x, None if n is None else (n,), (axis,), norm)


def _complex_transform(x: Any, s: Any, axes: Any, norm: str | None, *, inverse: bool) -> Any:
    value = _complex(x)
    plan = _plan(value.shape, s, axes)
    scale = _norm(norm)
    if not plan.axes:
        return value
    fitted = _fitted(value, plan)
    return apply("fft", fitted, axes=plan.axes, inverse=inverse, norm=scale)


def _complex(x: Any) -> Value:
    value = _floating(x)
    return cast(value, complex_dtype(value.dtype))


def _floating(x: Any) -> Value:
    """x as floats; whole numbers and truth values of any width become float64."""
    value = as_value(x)
    return value if value.dtype.kind in "fc" else cast(value, FLOAT64)


def _plan(shape: Shape, s: Any, axes: Any) -> _Plan:
    """Axes and sizes of what NumPy's arguments say."""
    rank = len(shape)
    if axes is None:
        count = rank if s is None else len(s)
        if count > rank:
            raise ShapeError(f"{count} sizes for the {rank} axes of shape {shape}; give fewer")
        chosen = tuple(range(rank - count, rank))
    else:
        chosen = ordered_axes(tuple(axes), rank) if len(axes) != 1 else (one_axis(axes[0], rank),)
    given = [None] * len(chosen) if s is None else [_size(size) for size in s]
    if len(given) != len(chosen):
        raise ShapeError(f"{len(given)} sizes for {len(chosen)} axes; give one for each")
    sizes = [shape[i] if size is None else size for i, size in zip(chosen, given, strict=True)]
    if min(sizes, default=1) < 1:
        raise ShapeError(
            f"sizes {tuple(sizes)} along axes {chosen}: a transform has one point or more"
        )
    return _Plan(chosen, tuple(sizes), tuple(given))


def _size(size: Any) -> int | None:
    if size is None:
        return None
    try:
        points = operator.index(size)
    except TypeError:
        raise InputError(
            f"a transform of {size!r} points; give a whole number", field="n"
        ) from None
    return None if points == -1 else points


def _fitted(x: Value, plan: _Plan) -> Value:
    """The array with its axes cut, or padded with zeros at their end, to the plan's sizes."""
    wanted = list(x.shape)
    for axis, size in zip(plan.axes, plan.sizes, strict=True):
        wanted[axis] = size
    kept = tuple([min(pair) for pair in zip(x.shape, wanted, strict=True)])
    if kept != x.shape:
        zeros = (0,) * x.ndim
        x = apply("slice", x, starts=zeros, stops=kept, steps=(1,) * x.ndim)
    if kept == tuple(wanted):
        return x
    high = tuple([size - own for size, own in zip(wanted, kept, strict=True)])
    padded: Value = apply("pad", x, np.zeros((), x.dtype), low=(0,) * x.ndim, high=high)
    return padded


def _norm(norm: str | None) -> str:
    scale = "backward" if norm is None else norm
    if scale not in OPPOSITE:
        raise InputError(f"norm {norm!r} is none of {', '.join(OPPOSITE)}", field="norm")
    return scale


def _opposite(norm: str | None) -> str:
    return OPPOSITE[_norm(norm)]
