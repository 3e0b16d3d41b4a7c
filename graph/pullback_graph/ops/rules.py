"""Rules that many rows share: type, derivative, axes and cost, and the elementwise row whole.

Type rules run once a node on the way of every request, so their common case is short.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from pullback_graph.attributes import Attribute, Kind
from pullback_graph.errors import DTypeError, ShapeError
from pullback_graph.op import (
    Axes,
    Cost,
    CostRule,
    Derivative,
    Domain,
    Example,
    Factors,
    Interval,
    Moves,
    Op,
    RunRule,
    TypeRule,
)
from pullback_graph.ref import Ref, do
from pullback_graph.types import BOOL, INT64, ArrayType, Shape, broadcast_shapes

AXES = Attribute("axes", Kind.AXES)
AXIS = Attribute("axis", Kind.AXIS)
KEEPDIMS = Attribute("keepdims", Kind.BOOL, False)

FLOATING = "f"
COMPLEX = "c"
INEXACT = "fc"
INTEGER = "iu"
NUMERIC = "iufc"
REAL = "iuf"
ORDERED = "biuf"
ANY = "biufc"
_KIND_NAMES = {
    "b": "bool",
    FLOATING: "real floating",
    COMPLEX: "complex",
    INEXACT: "floating (real or complex)",
    INTEGER: "integer",
    NUMERIC: "numeric",
    REAL: "real (integer or floating)",
    ORDERED: "bool, integer or real floating",
}


# --- type -----------------------------------------------------------------------------------------


def elementwise(x: ArrayType, *others: ArrayType) -> ArrayType:
    """Operands of equal dtype, shapes broadcasting; the result has that dtype."""
    for other in others:
        if other is not x and other != x:
            return _broadcast(x, *others)
    return x


def elementwise_of(kinds: str) -> Callable[..., ArrayType]:
    """`elementwise` for dtypes of the given kinds alone (NumPy's letters: `f` floating, ...)."""

    def rule(x: ArrayType, *others: ArrayType) -> ArrayType:
        if x.dtype.kind not in kinds:
            check_kind(x, kinds)
        for other in others:
            if other is not x and other != x:
                return _broadcast(x, *others)
        return x

    return rule


def to_bool(kinds: str) -> Callable[..., ArrayType]:
    """Elementwise with a result of dtype bool: comparisons and tests."""
    checked = elementwise_of(kinds)

    def rule(x: ArrayType, *others: ArrayType) -> ArrayType:
        return ArrayType(BOOL, checked(x, *others).shape)

    return rule


def reduced_of(kinds: str) -> Callable[..., ArrayType]:
    """A reduction over `axes` that keeps the dtype."""

    def rule(x: ArrayType, *, axes: tuple[int, ...], keepdims: bool) -> ArrayType:
        check_kind(x, kinds)
        return ArrayType(x.dtype, reduced_shape(x.shape, axes, keepdims))

    return rule


def index_of(x: ArrayType, *, axis: int, keepdims: bool) -> ArrayType:
    """A position along one non-empty axis, as int64."""
    check_kind(x, ORDERED)
    check_not_empty(x, (axis,))
    return ArrayType(INT64, reduced_shape(x.shape, (axis,), keepdims))


def along_axis(kinds: str) -> Callable[..., ArrayType]:
    """A row that works along one axis and keeps the type."""

    def rule(x: ArrayType, *, axis: int, **_: Any) -> ArrayType:
        check_kind(x, kinds)
        check_axes(x.shape, (axis,))
        return x

    return rule


def check_kind(x: ArrayType, kinds: str) -> None:
    """Refuse a dtype that is not of `kinds`.

    Raises:
        DTypeError: it is not; the message names what is needed.
    """
    if x.dtype.kind not in kinds:
        needed = _KIND_NAMES.get(kinds, kinds)
        advice = "take real, imag or abs of it" if x.is_complex else "cast with astype"
        raise DTypeError(f"needs a {needed} dtype, got {x.dtype.name}; {advice}")


def check_same_dtype(*operands: ArrayType) -> None:
    """Refuse operands of different dtypes.

    Raises:
        DTypeError: they differ.
    """
    first = operands[0].dtype
    if any([operand.dtype != first for operand in operands]):
        listed = " and ".join(operand.dtype.name for operand in operands)
        raise DTypeError(f"dtypes {listed} differ; cast one operand with astype")


def check_axes(shape: Shape, axes: Sequence[int]) -> None:
    """Refuse axes that are not distinct axes of `shape`.

    Raises:
        ShapeError: one is out of range or given twice.
    """
    rank = len(shape)
    for axis in axes:
        if not 0 <= axis < rank:
            raise ShapeError(
                f"axis {axis} is out of range for shape {shape}; axes run from 0 to {rank - 1}"
                if shape
                else f"axis {axis} is out of range: a 0-d operand has no axes"
            )
    if len(axes) > 1 and len(set(axes)) != len(axes):
        raise ShapeError(f"axes {tuple(axes)} name one axis twice; give each once")


def check_not_empty(x: ArrayType, axes: Sequence[int]) -> None:
    """Refuse to reduce no elements where the reduction has no identity.

    Raises:
        ShapeError: one of `axes` has size zero.
    """
    check_axes(x.shape, axes)
    if any([x.shape[axis] == 0 for axis in axes]):
        raise ShapeError(
            f"nothing to choose from: shape {x.shape} has no elements along axes {tuple(axes)}; "
            "concat a fallback element first"
        )


def reduced_shape(shape: Shape, axes: Sequence[int], keepdims: bool) -> Shape:
    """The shape after reducing over `axes`.

    Raises:
        ShapeError: the axes are not distinct axes of the shape.
    """
    check_axes(shape, axes)
    if keepdims:
        return tuple([1 if axis in axes else size for axis, size in enumerate(shape)])
    return tuple([size for axis, size in enumerate(shape) if axis not in axes])


def _broadcast(*operands: ArrayType) -> ArrayType:
    """The slower half of `elementwise`: mostly 0-d operands beside one of another shape."""
    result = operands[0]
    dtype = result.dtype
    fits = True
    for operand in operands:
        if operand.dtype is not dtype and operand.dtype != dtype:
            check_same_dtype(*operands)
        if not result.shape:
            result = operand
        elif operand.shape and operand.shape != result.shape:
            fits = False
    if fits:
        return result
    return ArrayType(dtype, broadcast_shapes([operand.shape for operand in operands]))


# --- derivative -----------------------------------------------------------------------------------


def never(*_: Any, **__: Any) -> Ref:
    """The map of an operand whose dtype carries no derivative (a condition): no pass calls it."""
    raise AssertionError("an operand that carries no derivative was differentiated")


def constant_like(x: Ref, value: float) -> Ref:
    """`value` as a 0-d constant of the dtype of `x`, for rows whose first operand is of another."""
    return x.builder.constant(np.asarray(value, x.dtype))


def restored(z: Ref, axes: tuple[int, ...], keepdims: bool) -> Ref:
    """A reduction's result with its reduced axes back as axes of size one."""
    if keepdims or not axes:
        return z
    expanded: Ref = do.expand_dims(z, axes=tuple(sorted(axes)))
    return expanded


# --- axes -----------------------------------------------------------------------------------------


def broadcast_axes(operands: Sequence[ArrayType], results: Sequence[ArrayType], **_: Any) -> Axes:
    """Each result axis is a factor; operand axes align with them from the right."""
    shape = results[0].shape
    if all([operand.shape == shape for operand in operands]):
        return _all_kept(len(shape), len(operands), len(results))
    kept = tuple(range(len(shape)))
    return Axes(
        operands=tuple([_aligned(operand.shape, shape) for operand in operands]),
        results=(kept,) * len(results),
    )


@lru_cache(maxsize=256)
def _all_kept(rank: int, operand_count: int, result_count: int) -> Axes:
    kept = tuple(range(rank))
    return Axes((kept,) * operand_count, (kept,) * result_count)


def _aligned(operand: Shape, result: Shape) -> Factors:
    offset = len(result) - len(operand)
    return tuple(
        [axis if size == result[axis] else None for axis, size in enumerate(operand, offset)]
    )


def reduction_axes(join: str | None) -> Callable[..., Axes]:
    """Reduced axes are contracted by the row `join` (`add`, ...), or must stay whole (None)."""

    def rule(
        operands: Sequence[ArrayType],
        results: Sequence[ArrayType],
        *,
        axes: tuple[int, ...],
        keepdims: bool,
    ) -> Axes:
        rank = len(operands[0].shape)
        operand = tuple(None if join is None and i in axes else i for i in range(rank))
        if keepdims:
            result = tuple(None if i in axes else i for i in range(rank))
        else:
            result = tuple(i for i in range(rank) if i not in axes)
        return Axes((operand,), (result,), {} if join is None else dict.fromkeys(axes, join))

    return rule


def index_axes(
    operands: Sequence[ArrayType], results: Sequence[ArrayType], *, axis: int, keepdims: bool
) -> Axes:
    """For a row that searches one axis: that axis stays whole, the others are kept."""
    rule = reduction_axes(None)
    return rule(operands, results, axes=(axis,), keepdims=keepdims)


def blocked_axis(
    operands: Sequence[ArrayType], results: Sequence[ArrayType], *, axis: int, **_: Any
) -> Axes:
    """For a row that works along one axis: that axis stays whole, the others are kept."""
    factors = tuple(None if i == axis else i for i in range(len(operands[0].shape)))
    return Axes((factors,) * len(operands), (factors,) * len(results))


# --- cost -----------------------------------------------------------------------------------------


def moved_bytes(operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> float:
    """Bytes of all operands read once and all results written once."""
    total = 0
    for dtype, shape in operands:
        total += prod(shape) * dtype.itemsize
    for dtype, shape in results:
        total += prod(shape) * dtype.itemsize
    return float(total)


def elementwise_cost(flops_per_element: float, *, temporaries: int = 0) -> CostRule:
    """So many FLOPs per element of the result; operands read, result written.

    Each of the `temporaries` is an array like the result, written and read again.
    """

    def rule(operands: Sequence[ArrayType], results: Sequence[ArrayType], **_: Any) -> Cost:
        between_bytes = 2 * temporaries * results[0].size_bytes
        flops = flops_per_element * results[0].size
        return Cost(flops, moved_bytes(operands, results) + between_bytes)

    return rule


def reduction_cost(flops_per_element: float, *, temporaries: int = 0) -> CostRule:
    """So many FLOPs per element of the first operand; operands read, result written.

    Each of the `temporaries` is an array like the first operand, written and read again.
    """

    def rule(operands: Sequence[ArrayType], results: Sequence[ArrayType], **_: Any) -> Cost:
        between_bytes = 2 * temporaries * operands[0].size_bytes
        flops = flops_per_element * operands[0].size
        return Cost(flops, moved_bytes(operands, results) + between_bytes)

    return rule


def view_cost(operands: Sequence[ArrayType], results: Sequence[ArrayType], **_: Any) -> Cost:
    """Nothing: the result shares its operand's memory."""
    return Cost(0.0, 0.0)


def copy_cost(operands: Sequence[ArrayType], results: Sequence[ArrayType], **_: Any) -> Cost:
    """No FLOPs; operands read, results written."""
    return Cost(0.0, moved_bytes(operands, results))


# --- domain ---------------------------------------------------------------------------------------


def reals(
    count: int,
    low: float = -2.0,
    high: float = 2.0,
    special: tuple[float, ...] = (),
    *,
    examples: Sequence[Example] = (),
    distinct: bool = False,
) -> Domain:
    """`count` floating operands from one interval (of a VARIADIC row, one for all operands)."""
    return Domain((Interval(low, high, special, distinct=distinct),) * count, tuple(examples))


# --- the elementwise row --------------------------------------------------------------------------


def elementwise_row(
    name: str,
    run: RunRule,
    derivative: Derivative,
    flops: float,
    domain: Domain,
    doc: str,
    *,
    type: TypeRule = elementwise_of(FLOATING),  # noqa: B008  (a pure function of a constant)
    attributes: tuple[Attribute, ...] = (),
    temporaries: int = 0,
    moves: Moves | None = None,
) -> Op:
    """A row that broadcasts its operands and maps element by element; `flops` are per element."""
    return Op(
        name,
        operands=len(domain.operands),
        attributes=attributes,
        type=type,
        run=run,
        derivative=derivative,
        axes=broadcast_axes,
        cost=elementwise_cost(flops, temporaries=temporaries),
        domain=domain,
        moves=moves,
        doc=doc,
    )
