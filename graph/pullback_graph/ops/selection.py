"""Rows that choose between values, and the tie-breaking row their derivatives are made of."""

from __future__ import annotations

from collections.abc import Callable

from pullback_graph.errors import DTypeError
from pullback_graph.kernels import Kernels
from pullback_graph.op import Domain, Interval, Moves, Op, Partials, Zero
from pullback_graph.ops.rules import (
    ORDERED,
    REAL,
    constant_like,
    elementwise,
    elementwise_of,
    elementwise_row,
    never,
    reals,
)
from pullback_graph.ref import Ref, do
from pullback_graph.types import BOOL, Array, ArrayType, broadcast_shapes

_INF, _NAN = float("inf"), float("nan")
_TIES = (0.0, 1.0, _INF, -_INF, _NAN)


def _run_balanced_greater(k: Kernels) -> Callable[..., Array]:
    return lambda x, y: ((x > y).astype(x.dtype) + (x >= y)) * 0.5


def _run_clip(k: Kernels) -> Callable[..., Array]:
    maximum, minimum = k.xp.maximum, k.xp.minimum
    return lambda x, low, high: minimum(maximum(x, low), high)


def _share(x: Ref, y: Ref) -> Ref:
    """What of a derivative goes to `x` when it is held against `y`."""
    share: Ref = do.balanced_greater(x, y)
    return share


def _clip_dx(t: Ref, z: Ref, x: Ref, low: Ref, high: Ref) -> Ref:
    return t * _share(x, low) * _share(high, x)


def _clip_dlow(t: Ref, z: Ref, x: Ref, low: Ref, high: Ref) -> Ref:
    return t * (_share(low, x) * _share(high, low))


def _clip_dhigh(t: Ref, z: Ref, x: Ref, low: Ref, high: Ref) -> Ref:
    return t * _share(do.maximum(x, low), high)


def _where_type(condition: ArrayType, x: ArrayType, y: ArrayType) -> ArrayType:
    if condition.dtype != BOOL:
        raise DTypeError(f"the condition is {condition.dtype.name}; compare it to get bool")
    z = elementwise(x, y)
    if condition.shape == z.shape:
        return z
    return ArrayType(z.dtype, broadcast_shapes((condition.shape, z.shape)))


ROWS: tuple[Op, ...] = (
    elementwise_row(
        "maximum",
        lambda k: k.xp.maximum,
        Partials(
            lambda t, z, x, y: t * _share(x, y),
            lambda t, z, x, y: t - t * _share(x, y),
        ),
        1,
        reals(2, special=_TIES),
        "The larger of x and y (true before false); NaN where either is NaN. Derivative 1/2 for "
        "each of two equal operands; y takes it all where either is NaN.",
        type=elementwise_of(ORDERED),
    ),
    elementwise_row(
        "minimum",
        lambda k: k.xp.minimum,
        Partials(
            lambda t, z, x, y: t * _share(y, x),
            lambda t, z, x, y: t - t * _share(y, x),
        ),
        1,
        reals(2, special=_TIES),
        "The smaller of x and y (false before true); NaN where either is NaN. Derivative 1/2 for "
        "each of two equal operands; y takes it all where either is NaN.",
        type=elementwise_of(ORDERED),
    ),
    elementwise_row(
        "clip",
        _run_clip,
        Partials(_clip_dx, _clip_dlow, _clip_dhigh),
        2,
        reals(3, special=(0.0, 1.0, _NAN)),
        "The smaller of high and the larger of low and x: high where low > high; NaN where one is "
        "NaN. Derivative 1 for x between the bounds, 1/2 for x and for the bound it is equal to.",
        type=elementwise_of(REAL),
        temporaries=1,
    ),
    elementwise_row(
        "balanced_greater",
        _run_balanced_greater,
        Zero(),
        1,
        reals(2, special=_TIES),
        "1 where x > y, 1/2 where they are equal, else 0 (also beside a NaN), in the dtype of x: "
        "how maximum shares out its derivative. Its own derivative is zero.",
    ),
    elementwise_row(
        "where",
        lambda k: k.where,
        Partials(
            never,
            lambda t, z, condition, x, y: do.where(condition, t, constant_like(t, 0.0)),
            lambda t, z, condition, x, y: do.where(condition, constant_like(t, 0.0), t),
        ),
        1,
        Domain((Interval(boolean=True), Interval(special=_TIES), Interval(special=_TIES))),
        "x where the condition (bool) holds, else y. What is not chosen does not reach the "
        "derivative, be it NaN or infinite.",
        type=_where_type,
        moves=Moves.COPIES,
    ),
)
