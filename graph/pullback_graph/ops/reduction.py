"""Rows that reduce axes to one value. Over no axes they give the operand itself.

In derivatives `t` is the tangent, `g` the cotangent, `z` the result, `x` the operand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

from pullback_graph.kernels import Kernels
from pullback_graph.op import Both, Op, RunRule, Transpose, Zero
from pullback_graph.ops.domains import axis_examples, booleans, reduction_examples
from pullback_graph.ops.rules import (
    AXES,
    AXIS,
    FLOATING,
    KEEPDIMS,
    NUMERIC,
    ORDERED,
    check_kind,
    check_not_empty,
    constant_like,
    index_axes,
    index_of,
    reals,
    reduced_of,
    reduced_shape,
    reduction_axes,
    reduction_cost,
    restored,
)
from pullback_graph.ref import Ref, do
from pullback_graph.types import Array, ArrayType

_INF, _NAN = float("inf"), float("nan")
_Axes: TypeAlias = tuple[int, ...]


def _reduce(ufunc: str) -> RunRule:
    """The reduction by a ufunc; the dtype is kept."""
    return lambda k, *, axes, keepdims: k.reduction(ufunc, axes, keepdims)


# --- sum ------------------------------------------------------------------------------------------


def _sum_transpose(g: Ref, x: Ref, *, axes: _Axes, keepdims: bool) -> Ref:
    spread: Ref = do.broadcast_to(restored(g, axes, keepdims), shape=x.shape)
    return spread


# --- prod -----------------------------------------------------------------------------------------


def _product_of_others(x: Ref, axes: _Axes) -> Ref:
    """For each element, the product over `axes` of all elements but it: right with zeros in it."""
    others, whole = _others_along(x, axes[0]), x
    for previous, axis in pairwise(axes):
        whole = do.prod(whole, axes=(previous,), keepdims=True)
        others = others * _others_along(whole, axis)
    return others


def _others_along(x: Ref, axis: int) -> Ref:
    before = do.shift(x, axis=axis, offset=1, fill=1.0)
    after = do.shift(x, axis=axis, offset=-1, fill=1.0)
    left: Ref = do.cumprod(before, axis=axis, reverse=False)
    right: Ref = do.cumprod(after, axis=axis, reverse=True)
    return left * right


def _prod_jvp(tangents: Sequence[Ref], z: Ref, x: Ref, *, axes: _Axes, keepdims: bool) -> Ref:
    if not axes:
        return tangents[0]
    total: Ref = do.sum(tangents[0] * _product_of_others(x, axes), axes=axes, keepdims=keepdims)
    return total


def _prod_vjp(g: Ref, z: Ref, x: Ref, *, axes: _Axes, keepdims: bool) -> list[Ref | None]:
    return [restored(g, axes, keepdims) * _product_of_others(x, axes) if axes else g]


# --- max, min -------------------------------------------------------------------------------------


def _type_of_extreme(x: ArrayType, *, axes: _Axes, keepdims: bool) -> ArrayType:
    check_kind(x, ORDERED)
    check_not_empty(x, axes)
    return ArrayType(x.dtype, reduced_shape(x.shape, axes, keepdims))


def _extremes(z: Ref, x: Ref, axes: _Axes, keepdims: bool) -> Ref:
    """1 where the element equals the result, else 0."""
    mask: Ref = do.astype(do.equal(x, restored(z, axes, keepdims)), dtype=x.dtype)
    return mask


def _extreme_jvp(tangents: Sequence[Ref], z: Ref, x: Ref, *, axes: _Axes, keepdims: bool) -> Ref:
    (t,) = tangents
    mask = _extremes(z, x, axes, keepdims)
    total: Ref = do.sum(t * mask, axes=axes, keepdims=keepdims)
    count: Ref = do.sum(mask, axes=axes, keepdims=keepdims)
    return total / count


def _extreme_vjp(g: Ref, z: Ref, x: Ref, *, axes: _Axes, keepdims: bool) -> list[Ref | None]:
    mask = _extremes(z, x, axes, keepdims)
    count = do.sum(mask, axes=axes, keepdims=True)
    return [restored(g, axes, keepdims) / count * mask]


# --- logsumexp ------------------------------------------------------------------------------------


def _run_logsumexp(k: Kernels, *, axes: _Axes, keepdims: bool) -> Callable[..., Array]:
    """Shifted by the largest element, so that nothing overflows."""
    xp = k.xp
    add, maximum = k.reduction("add", axes, True), k.reduction("maximum", axes, True)

    def run(x: Array) -> Array:
        if not all([x.shape[axis] for axis in axes]):
            total = xp.log(add(x))
        else:
            largest = maximum(x)
            largest = xp.where(xp.isfinite(largest), largest, 0)
            total = xp.log(add(xp.exp(x - largest))) + largest
        return total if keepdims else xp.squeeze(total, axis=axes)

    return run


def written_logsumexp(x: Ref, *, axes: _Axes, keepdims: bool) -> Ref | None:
    """A logsumexp in smaller nodes, which those of its derivative are too: one exp does for both.

    None where it is over no elements.
    """
    if not all([x.shape[axis] for axis in axes]):
        return None
    largest, _, total = _shifted(x, axes)
    z: Ref = do.log(total) + largest
    return z if keepdims else do.squeeze(z, axes=axes)


def _shifted(x: Ref, axes: _Axes) -> tuple[Ref, Ref, Ref]:
    """The largest elements (0 where none is finite), exp(x - largest), and sums of those."""
    largest = do.max(x, axes=axes, keepdims=True)
    finite = do.where(do.isfinite(largest), largest, constant_like(largest, 0.0))
    largest = do.stop_gradient(finite)  # what a shift changes cancels
    exponentials = do.exp(x - largest)
    return largest, exponentials, do.sum(exponentials, axes=axes, keepdims=True)


def _exponentials(x: Ref, axes: _Axes) -> tuple[Ref, Ref]:
    """exp(x - largest), and what to divide them by for shares: 0 where every x is -infinity."""
    _, exponentials, total = _shifted(x, axes)
    is_zero = do.equal(total, 0.0)
    return exponentials, do.where(is_zero, constant_like(total, 1.0), total)


def _logsumexp_jvp(tangents: Sequence[Ref], z: Ref, x: Ref, *, axes: _Axes, keepdims: bool) -> Ref:
    (t,) = tangents
    if not x.type.size:
        return do.sum(t, axes=axes, keepdims=keepdims)
    exponentials, total = _exponentials(x, axes)
    changed: Ref = do.sum(t * exponentials, axes=axes, keepdims=True) / total
    return changed if keepdims else do.squeeze(changed, axes=axes)


def _logsumexp_vjp(g: Ref, z: Ref, x: Ref, *, axes: _Axes, keepdims: bool) -> list[Ref | None]:
    if not x.type.size:
        return [do.broadcast_to(constant_like(x, 0.0), shape=x.shape)]
    exponentials, total = _exponentials(x, axes)
    return [exponentials * (restored(g, axes, keepdims) / total)]


# --- any, all, argmax, argmin ---------------------------------------------------------------------


def _type_of_logic(x: ArrayType, *, axes: _Axes, keepdims: bool) -> ArrayType:
    check_kind(x, "b")
    return ArrayType(x.dtype, reduced_shape(x.shape, axes, keepdims))


def _extreme(name: str, ufunc: str, what: str) -> Op:
    return Op(
        name,
        operands=1,
        attributes=(AXES, KEEPDIMS),
        type=_type_of_extreme,
        run=_reduce(ufunc),
        derivative=Both(_extreme_jvp, _extreme_vjp),
        axes=reduction_axes(ufunc),
        cost=reduction_cost(1),
        domain=reals(1, special=(0.0, 1.0), examples=reduction_examples(empty=False)),
        doc=f"The {what} element over `axes`, none of size zero; NaN where one is NaN. Elements "
        "that tie share the derivative equally.",
    )


def _logic(name: str, ufunc: str, join: str, doc: str) -> Op:
    return Op(
        name,
        operands=1,
        attributes=(AXES, KEEPDIMS),
        type=_type_of_logic,
        run=_reduce(ufunc),
        derivative=Zero(),
        axes=reduction_axes(join),
        cost=reduction_cost(1),
        domain=booleans(1, examples=reduction_examples()),
        doc=doc,
    )


def _run_search(name: str) -> RunRule:
    def run(k: Kernels, *, axis: int, keepdims: bool) -> Callable[..., Array]:
        function = getattr(k.xp, name)
        return lambda x: function(x, axis=axis, keepdims=keepdims)

    return run


def _search(name: str, what: str) -> Op:
    examples = (*axis_examples(keepdims=False)[:-1], *axis_examples(keepdims=True)[:-1])
    return Op(
        name,
        operands=1,
        attributes=(AXIS, KEEPDIMS),
        type=index_of,
        run=_run_search(name),
        derivative=Zero(),
        axes=index_axes,
        cost=reduction_cost(1),
        domain=reals(1, special=(0.0, 1.0, _NAN), examples=examples),
        doc=f"The position (int64) of the first {what} element along `axis`; of the first NaN "
        "where there is one.",
    )


def _sum_like(
    name: str, ufunc: str, derivative: Transpose | Both, special: tuple[float, ...], doc: str
) -> Op:
    return Op(
        name,
        operands=1,
        attributes=(AXES, KEEPDIMS),
        type=reduced_of(NUMERIC),
        run=_reduce(ufunc),
        derivative=derivative,
        axes=reduction_axes(ufunc),
        cost=reduction_cost(1),
        domain=reals(1, special=special, examples=reduction_examples()),
        doc=doc,
    )


ROWS: tuple[Op, ...] = (
    _sum_like(
        "sum",
        "add",
        Transpose(_sum_transpose),
        (),
        "The sum over `axes`, in the operand's dtype; 0 of no elements. Integers wrap around.",
    ),
    _sum_like(
        "prod",
        "multiply",
        Both(_prod_jvp, _prod_vjp),
        (0.0,),
        "The product over `axes`, in the operand's dtype; 1 of no elements. Integers wrap around. "
        "The derivative is right with any number of zeros among the elements.",
    ),
    _extreme("max", "maximum", "largest"),
    _extreme("min", "minimum", "smallest"),
    Op(
        "logsumexp",
        operands=1,
        attributes=(AXES, KEEPDIMS),
        type=reduced_of(FLOATING),
        run=_run_logsumexp,
        derivative=Both(_logsumexp_jvp, _logsumexp_vjp),
        axes=reduction_axes(None),
        cost=reduction_cost(15, temporaries=2),
        domain=reals(1, special=(0.0, -_INF), examples=reduction_examples()),
        doc="log of the sum of exp over `axes`, without overflow; -infinity of no elements. "
        "Derivative 0 for all elements where every one is -infinity.",
    ),
    _logic("any", "logical_or", "maximum", "Whether one element over `axes` holds."),
    _logic("all", "logical_and", "minimum", "Whether every element over `axes` holds."),
    _search("argmax", "largest"),
    _search("argmin", "smallest"),
)
