"""Normalisation: values less their mean, over their standard deviation, scaled and shifted.

`epsilon` is added to the variance, which is that of the elements themselves (no correction).
"""

from __future__ import annotations

from typing import Any

import pullback.numpy as pnp
from pullback.numpy.axes import many_axes, one_axis
from pullback.tracing.apply import Value
from pullback.tracing.promotion import promoted, real_floating
from pullback_graph.errors import ShapeError
from pullback_graph.types import Shape


def layer_norm(
    x: Any, weight: Any = None, bias: Any = None, *, axis: Any = -1, epsilon: float = 1e-5
) -> Any:
    """Normalised over axes.

    Args:
        weight, bias: of the shape of those axes.
    """
    (value,) = promoted(real_floating, (x,))
    axes = many_axes(axis, value.ndim)
    return _affine(_normalized(value, axes, epsilon), weight, bias, axes)


def rms_norm(x: Any, weight: Any = None, *, axis: Any = -1, epsilon: float = 1e-6) -> Any:
    """Over the root of the mean square along axes, no mean taken off (Zhang & Sennrich 2019)."""
    (value,) = promoted(real_floating, (x,))
    axes = many_axes(axis, value.ndim)
    square = pnp.mean(pnp.square(value), axes, keepdims=True)
    scaled = pnp.divide(value, pnp.sqrt(pnp.add(square, epsilon)))
    return _affine(scaled, weight, None, axes)


def batch_norm(
    x: Any,
    weight: Any = None,
    bias: Any = None,
    *,
    mean: Any = None,
    var: Any = None,
    axis: int = 1,
    epsilon: float = 1e-5,
) -> Any:
    """Each channel normalised over all axes but its own.

    Args:
        weight, bias: (C,).
        mean, var: (C,), what is known of the channels, for inference; where None, the batch's own,
            which `batch_statistics` gives for a running average.
        axis: the channels'.

    Raises:
        ShapeError: one of mean and var is missing.
    """
    (value,) = promoted(real_floating, (x,))
    channel = one_axis(axis, value.ndim)
    if (mean is None) != (var is None):
        raise ShapeError("batch_norm has one of mean and var; give both, or none for the batch's")
    if mean is None:
        others = tuple([i for i in range(value.ndim) if i != channel])
        return _affine(_normalized(value, others, epsilon), weight, bias, (channel,))
    centre, spread = (
        _spread(item, value, (channel,)) for item in promoted(real_floating, (mean, var))
    )
    scaled = pnp.divide(pnp.subtract(value, centre), pnp.sqrt(pnp.add(spread, epsilon)))
    return _affine(scaled, weight, bias, (channel,))


def batch_statistics(x: Any, *, axis: int = 1) -> tuple[Any, Any]:
    """Mean and variance (C,) of each channel over all other axes."""
    (value,) = promoted(real_floating, (x,))
    channel = one_axis(axis, value.ndim)
    others = tuple([i for i in range(value.ndim) if i != channel])
    return pnp.mean(value, others), pnp.var(value, others)


def group_norm(
    x: Any, groups: int, weight: Any = None, bias: Any = None, *, epsilon: float = 1e-5
) -> Any:
    """Each example's channels normalised in groups, with all that is theirs.

    Args:
        x: (N, C, ...).
        groups: a divisor of C; 1 is a layer norm, C an instance norm.
        weight, bias: (C,).

    Raises:
        ShapeError: the channels do not fall into so many groups.
    """
    (value,) = promoted(real_floating, (x,))
    if value.ndim < 2 or groups < 1 or value.shape[1] % groups:
        raise ShapeError(
            f"shape {value.shape} has no channels (axis 1) that fall into {groups} groups"
        )
    batch, channels, *rest = value.shape
    cut = pnp.reshape(value, (batch, groups, channels // groups, *rest))
    scaled = _normalized(cut, tuple(range(2, cut.ndim)), epsilon)
    return _affine(pnp.reshape(scaled, value.shape), weight, bias, (1,))


def _normalized(value: Any, axes: Shape, epsilon: float) -> Any:
    centred = pnp.subtract(value, pnp.mean(value, axes, keepdims=True))
    variance = pnp.mean(pnp.square(centred), axes, keepdims=True)
    return pnp.divide(centred, pnp.sqrt(pnp.add(variance, epsilon)))


def _affine(value: Any, weight: Any, bias: Any, axes: Shape) -> Any:
    """Times the weight plus the bias, each of the shape of `axes`, where given."""
    if weight is not None:
        value = pnp.multiply(value, _spread(promoted(real_floating, (weight,))[0], value, axes))
    if bias is not None:
        value = pnp.add(value, _spread(promoted(real_floating, (bias,))[0], value, axes))
    return value


def _spread(item: Value, value: Any, axes: Shape) -> Any:
    """What has the shape of `axes`, with axes of size one for the others."""
    wanted = tuple([value.shape[i] for i in axes])
    if item.shape != wanted:
        raise ShapeError(f"shape {item.shape} does not go with axes {axes}; give shape {wanted}")
    return pnp.reshape(item, tuple([n if i in axes else 1 for i, n in enumerate(value.shape)]))
