"""Convolutions of arrays (N, C, spatial) with kernels, 1 to 3 spatial axes, as torch lays them out.

For channels that come last, move the axis: `pullback.numpy.moveaxis(x, -1, 1)`.
"""

from __future__ import annotations

from typing import Any

import pullback.numpy as pnp
from pullback.nn.windows import entries, paddings, spatial_rank
from pullback.tracing.apply import Value, apply
from pullback.tracing.promotion import floating, promoted
from pullback_graph.errors import AttributeFault, ShapeError
from pullback_graph.types import Shape
from pullback_graph.windows import span


def conv(
    x: Any,
    w: Any,
    bias: Any = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    input_dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Windows of x times the kernel, which is not flipped.

    Args:
        x: (N, C, spatial).
        w: (O, C / groups, spatial).
        bias: (O,), added to each channel.
        stride, dilation, input_dilation: integers, or one for each spatial axis.
        padding: an integer, one or a pair for each spatial axis, "SAME" or "VALID"; may be
            negative.
        groups: into how many parts the channels fall, each with outputs of its own.

    Returns:
        (N, O, spatial).

    Raises:
        ShapeError, AttributeFault: the shapes do not fit, or an option is none.
    """
    x, w = _operands("conv", x, w)
    rank = spatial_rank("conv", x)
    strides, apart = entries("stride", stride, rank), entries("dilation", dilation, rank)
    between = entries("input_dilation", input_dilation, rank)
    extents = [span(n, lhs) for n, lhs in zip(x.shape[2:], between, strict=True)]
    low, high = paddings(padding, extents, w.shape[2:], strides, apart)
    z = apply(
        "convolution",
        x,
        w,
        strides=strides,
        low=low,
        high=high,
        lhs_dilation=between,
        rhs_dilation=apart,
        groups=groups,
        batch_groups=1,
    )
    return _with_bias(z, bias)


def conv_transpose(
    x: Any,
    w: Any,
    bias: Any = None,
    *,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """The transpose of `conv` with these options: what carries its results back to its array.

    Args:
        x: (N, C, spatial).
        w: (C, O / groups, spatial), the kernel of the convolution that this is the transpose of.
        bias: (O,), added to each channel.
        output_padding: added after each spatial axis, to choose among the sizes that a strided
            convolution makes alike.

    Returns:
        (N, O, spatial), the spatial sizes (n - 1) stride + dilation (k - 1) + 1 - padding +
        output_padding.

    Raises:
        ShapeError, AttributeFault: the shapes do not fit, or an option is none.
    """
    x, w = _operands("conv_transpose", x, w)
    rank = spatial_rank("conv_transpose", x)
    strides, apart = entries("stride", stride, rank), entries("dilation", dilation, rank)
    added = entries("output_padding", output_padding, rank)
    if isinstance(padding, str) and padding.upper() != "VALID":
        raise AttributeFault(f"padding is {padding!r}; give integers, pairs or 'VALID'")
    low, high = paddings(padding, x.shape[2:], w.shape[2:], strides, apart)
    reach = [rhs * (size - 1) for rhs, size in zip(apart, w.shape[2:], strict=True)]
    z = apply(
        "convolution",
        x,
        _turned(w, groups),
        strides=(1,) * rank,
        low=tuple([n - cut for n, cut in zip(reach, low, strict=True)]),
        high=tuple([n - cut + more for n, cut, more in zip(reach, high, added, strict=True)]),
        lhs_dilation=strides,
        rhs_dilation=apart,
        groups=groups,
        batch_groups=1,
    )
    return _with_bias(z, bias)


def _operands(name: str, x: Any, w: Any) -> tuple[Value, Value]:
    first, second = promoted(floating, (x, w))
    if first.ndim != second.ndim:
        raise ShapeError(
            f"{name}: an array of shape {first.shape} and a kernel of shape {second.shape} have "
            "not as many axes; give N C spatial and a kernel with the same spatial axes"
        )
    return first, second


def _turned(w: Value, groups: int) -> Any:
    """(C, O / groups, spatial) to (O, C / groups, spatial), flipped."""
    inputs, outputs, *sizes = w.shape
    if groups < 1 or inputs % groups:
        raise ShapeError(f"{inputs} channels do not fall into {groups} groups; give a divisor")
    cut: Shape = (groups, inputs // groups, outputs, *sizes)
    turned = pnp.swapaxes(pnp.reshape(w, cut), 1, 2)
    whole = pnp.reshape(turned, (groups * outputs, inputs // groups, *sizes))
    return pnp.flip(whole, tuple(range(2, w.ndim)))


def _with_bias(z: Any, bias: Any) -> Any:
    if bias is None:
        return z
    (shift,) = promoted(floating, (bias,))
    if shift.shape != z.shape[1:2]:
        raise ShapeError(f"a bias of shape {shift.shape} for {z.shape[1]} channels; give one each")
    return pnp.add(z, pnp.reshape(shift, (-1, *(1,) * (z.ndim - 2))))
