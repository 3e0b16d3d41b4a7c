"""Convolution over jax.lax: XLA's own, at full precision, for what every executor can be given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from pullback_graph.types import Shape

Array = Any


def convolution(
    *,
    strides: Shape,
    low: Shape,
    high: Shape,
    lhs_dilation: Shape,
    rhs_dilation: Shape,
    groups: int,
    batch_groups: int,
) -> Callable[[Array, Array], Array]:
    """The function of array (N, C, spatial) and kernel (O, C / groups, spatial)."""
    padding = list(zip(low, high, strict=True))

    def run(x: Array, w: Array) -> Array:
        return lax.conv_general_dilated(
            jnp.asarray(x),
            jnp.asarray(w),
            strides,
            padding,
            lhs_dilation,
            rhs_dilation,
            feature_group_count=groups,
            batch_group_count=batch_groups,
            precision=lax.Precision.HIGHEST,
        )

    return run
