"""Rows that accumulate along one axis, and the two their derivatives need to stay right at zeros.

In derivatives `t` is the tangent, `g` the cotangent, `y` the result of a recurrence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pullback_graph.attributes import Attribute, Kind
from pullback_graph.errors import ShapeError
from pullback_graph.kernels import Kernels
from pullback_graph.op import Both, Example, Moves, Op, RunRule, Transpose
from pullback_graph.ops.domains import axis_examples
from pullback_graph.ops.rules import (
    AXIS,
    INEXACT,
    NUMERIC,
    along_axis,
    blocked_axis,
    check_same_dtype,
    copy_cost,
    reals,
    reduction_cost,
)
from pullback_graph.ref import Ref, do
from pullback_graph.types import Array, ArrayType

REVERSE = Attribute("reverse", Kind.BOOL, False)
_SHAPES_AND_AXES = (((5,), 0), ((2, 3), 0), ((2, 3, 4), 1), ((3, 1), 1), ((0, 3), 1), ((2, 0), 1))


# --- cumsum, cumprod ------------------------------------------------------------------------------


def _accumulate(ufunc: str, function: str) -> RunRule:
    """The running sum or product in the operand's dtype, from the end where `reverse` is set."""

    def run(k: Kernels, *, axis: int, reverse: bool) -> Callable[..., Array]:
        xp = k.xp
        own = k.name == "numpy"
        accumulate = getattr(xp, ufunc).accumulate if own else getattr(xp, function)
        if not reverse:
            return lambda x: accumulate(x, axis=axis, dtype=x.dtype)
        flip = xp.flip
        return lambda x: flip(accumulate(flip(x, axis), axis=axis, dtype=x.dtype), axis)

    return run


def _cumsum_transpose(g: Ref, x: Ref, *, axis: int, reverse: bool) -> Ref:
    total: Ref = do.cumsum(g, axis=axis, reverse=not reverse)
    return total


def _product_before(x: Ref, axis: int, reverse: bool) -> Ref:
    """For each element, the product of those that come before it."""
    shifted = do.shift(x, axis=axis, offset=-1 if reverse else 1, fill=1.0)
    product: Ref = do.cumprod(shifted, axis=axis, reverse=reverse)
    return product


def _cumprod_jvp(tangents: Sequence[Ref], z: Ref, x: Ref, *, axis: int, reverse: bool) -> Ref:
    (t,) = tangents
    forcing = _product_before(x, axis, reverse) * t
    tangent: Ref = do.linear_recurrence(x, forcing, axis=axis, reverse=reverse, lagged=False)
    return tangent


def _cumprod_vjp(g: Ref, z: Ref, x: Ref, *, axis: int, reverse: bool) -> list[Ref | None]:
    after = do.linear_recurrence(x, g, axis=axis, reverse=not reverse, lagged=True)
    return [_product_before(x, axis, reverse) * after]


# --- shift ----------------------------------------------------------------------------------------


def _run_shift(k: Kernels, *, axis: int, offset: int, fill: float) -> Callable[..., Array]:
    xp = k.xp

    def run(x: Array) -> Array:
        size = x.shape[axis]
        count = min(abs(offset), size)
        kept = slice(0, size - count) if offset >= 0 else slice(count, size)
        part = x[(slice(None),) * axis + (kept,)]
        shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
        border = xp.full(shape, fill, dtype=x.dtype)
        return xp.concatenate([border, part] if offset >= 0 else [part, border], axis=axis)

    return run


def _shift_jvp(
    tangents: Sequence[Ref], z: Ref, x: Ref, *, axis: int, offset: int, fill: float
) -> Ref:
    shifted: Ref = do.shift(tangents[0], axis=axis, offset=offset, fill=0.0)
    return shifted


def _shift_vjp(g: Ref, z: Ref, x: Ref, *, axis: int, offset: int, fill: float) -> list[Ref | None]:
    return [do.shift(g, axis=axis, offset=-offset, fill=0.0)]


# --- linear recurrence ----------------------------------------------------------------------------


def _recurrence_type(
    a: ArrayType, b: ArrayType, *, axis: int, reverse: bool, lagged: bool
) -> ArrayType:
    check_same_dtype(a, b)
    if a.shape != b.shape:
        raise ShapeError(f"shapes {a.shape} and {b.shape} differ; broadcast one to the other")
    return along_axis(INEXACT)(b, axis=axis)


def _run_recurrence(k: Kernels, *, axis: int, reverse: bool, lagged: bool) -> Callable[..., Array]:
    """Composes neighbouring steps, twice as many each time: log2(n) passes over the arrays.

    Source: Hillis & Steele 1986, "Data parallel algorithms", section on partial sums.
    """
    xp = k.xp
    order = slice(None, None, -1) if reverse else slice(None)

    def run(a: Array, b: Array) -> Array:
        a, b = xp.moveaxis(a, axis, 0)[order], xp.moveaxis(b, axis, 0)[order]
        if lagged:
            a = xp.concatenate([a[:1], a[:-1]])
        step = 1
        while step < len(b):
            b = xp.concatenate([b[:step], b[step:] + a[step:] * b[:-step]])
            a = xp.concatenate([a[:step], a[step:] * a[:-step]])
            step *= 2
        return xp.moveaxis(b[order], 0, axis)

    return run


def _neighbour(y: Ref, axis: int, step: int) -> Ref:
    """At each position, the element `step` positions before it; 0 where there is none."""
    shifted: Ref = do.shift(y, axis=axis, offset=step, fill=0.0)
    return shifted


def _recurrence_jvp(
    tangents: Sequence[Ref | None],
    y: Ref,
    a: Ref,
    b: Ref,
    *,
    axis: int,
    reverse: bool,
    lagged: bool,
) -> Ref:
    ta, tb = tangents
    step = -1 if reverse else 1
    forcing = tb
    if ta is not None:
        driven = _neighbour(ta * y, axis, step) if lagged else ta * _neighbour(y, axis, step)
        forcing = driven if tb is None else tb + driven
    tangent: Ref = do.linear_recurrence(a, forcing, axis=axis, reverse=reverse, lagged=lagged)
    return tangent


def _recurrence_vjp(
    g: Ref, y: Ref, a: Ref, b: Ref, *, axis: int, reverse: bool, lagged: bool
) -> list[Ref | None]:
    step = -1 if reverse else 1
    h = do.linear_recurrence(a, g, axis=axis, reverse=not reverse, lagged=not lagged)
    ga = _neighbour(h, axis, -step) * y if lagged else h * _neighbour(y, axis, step)
    return [ga, h]


# --- the rows -------------------------------------------------------------------------------------

_both_ways = (*axis_examples(reverse=False), *axis_examples(reverse=True))

ROWS: tuple[Op, ...] = (
    Op(
        "cumsum",
        operands=1,
        attributes=(AXIS, REVERSE),
        type=along_axis(NUMERIC),
        run=_accumulate("add", "cumsum"),
        derivative=Transpose(_cumsum_transpose),
        axes=blocked_axis,
        cost=reduction_cost(1),
        domain=reals(1, examples=_both_ways),
        doc="The sum of the elements up to and with each along `axis`, in the operand's dtype; "
        "with `reverse`, of those from each to the end.",
    ),
    Op(
        "cumprod",
        operands=1,
        attributes=(AXIS, REVERSE),
        type=along_axis(NUMERIC),
        run=_accumulate("multiply", "cumprod"),
        derivative=Both(_cumprod_jvp, _cumprod_vjp),
        axes=blocked_axis,
        cost=reduction_cost(1),
        domain=reals(1, special=(0.0,), examples=_both_ways),
        doc="The product of the elements up to and with each along `axis`, in the operand's "
        "dtype; with `reverse`, of those from each to the end. The derivative is right with any "
        "number of zeros among the elements.",
    ),
    Op(
        "shift",
        operands=1,
        attributes=(AXIS, Attribute("offset", Kind.INT), Attribute("fill", Kind.FLOAT, 0.0)),
        type=along_axis(INEXACT),
        run=_run_shift,
        derivative=Both(_shift_jvp, _shift_vjp),
        axes=blocked_axis,
        cost=copy_cost,
        domain=reals(
            1,
            examples=[
                Example((shape,), {"axis": axis, "offset": offset, "fill": 1.0})
                for shape, axis in _SHAPES_AND_AXES
                for offset in (0, 1, -1, 7)
            ],
        ),
        moves=Moves.COPIES,
        doc="The elements moved `offset` positions along `axis`; what is vacated holds `fill`, "
        "what falls off the end is gone.",
    ),
    Op(
        "linear_recurrence",
        operands=2,
        attributes=(AXIS, REVERSE, Attribute("lagged", Kind.BOOL, False)),
        type=_recurrence_type,
        run=_run_recurrence,
        derivative=Both(_recurrence_jvp, _recurrence_vjp),
        axes=blocked_axis,
        cost=reduction_cost(4),
        domain=reals(
            2,
            special=(0.0,),
            examples=[
                Example((shape, shape), {"axis": axis, "reverse": reverse, "lagged": lagged})
                for shape, axis in _SHAPES_AND_AXES
                for reverse in (False, True)
                for lagged in (False, True)
            ],
        ),
        doc="y[i] = a[i] y[i-1] + b[i] along `axis`, from y[-1] = 0; with `lagged`, a[i-1] in "
        "place of a[i]; with `reverse`, from the end, i + 1 in place of i - 1.",
    ),
)
