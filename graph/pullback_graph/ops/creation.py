"""Rows that make arrays from sizes alone: counting, identity, number of elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from pullback_graph.attributes import Attribute, Kind, Lead
from pullback_graph.errors import DTypeError
from pullback_graph.kernels import Kernels
from pullback_graph.op import Axes, Domain, Example, Op, Zero
from pullback_graph.ops.leading import spread
from pullback_graph.ops.rules import (
    AXES,
    AXIS,
    check_axes,
    copy_cost,
    reals,
    view_cost,
)
from pullback_graph.ops.shape import SHAPE, checked_shape
from pullback_graph.ref import Ref, do
from pullback_graph.types import Array, ArrayType, DType, Shape

DTYPE = Attribute("dtype", Kind.DTYPE)


def _check_counts(dtype: DType, largest: int) -> None:
    """Refuse a dtype that cannot hold `largest`."""
    fits = dtype.kind in "fc" or (dtype.kind in "iu" and largest <= np.iinfo(dtype).max)
    if not fits:
        raise DTypeError(f"dtype {dtype.name} cannot hold {largest}; use a wider one")


def _iota_type(*, shape: Shape, axis: int, dtype: DType) -> ArrayType:
    check_axes(checked_shape(shape), (axis,))
    _check_counts(dtype, max(shape[axis] - 1, 0))
    return ArrayType(dtype, shape)


def _run_iota(k: Kernels, *, shape: Shape, axis: int, dtype: DType) -> Callable[[], Array]:
    along = tuple([size if i == axis else 1 for i, size in enumerate(shape)])

    def run() -> Array:
        return k.broadcast_to(k.xp.arange(shape[axis], dtype=dtype).reshape(along), shape)

    return run


def _iota_axes(
    operands: Sequence[ArrayType], results: Sequence[ArrayType], *, axis: int, **_: Any
) -> Axes:
    """The counting axis must stay whole; nothing depends on the others."""
    return Axes((), (tuple([None if i == axis else i for i in range(results[0].rank)]),))


_IOTA = Op(
    "iota",
    operands=0,
    attributes=(SHAPE, AXIS, DTYPE),
    type=_iota_type,
    run=_run_iota,
    derivative=Zero(),
    axes=_iota_axes,
    cost=copy_cost,
    domain=Domain(
        (),
        (
            Example((), {"shape": (4,), "axis": 0, "dtype": "int64"}),
            Example((), {"shape": (2, 3), "axis": 1, "dtype": "float32"}),
            Example((), {"shape": (0, 2), "axis": 0, "dtype": "uint8"}),
        ),
    ),
    doc="0, 1, 2, ... along one axis of `shape`, the same along the others.",
)


def _eye_type(*, rows: int, columns: int, k: int, dtype: DType) -> ArrayType:
    return ArrayType(dtype, checked_shape((rows, columns)))


def _eye_axes(operands: Sequence[ArrayType], results: Sequence[ArrayType], **_: Any) -> Axes:
    return Axes((), ((None, None),))


_EYE = Op(
    "eye",
    operands=0,
    attributes=(
        Attribute("rows", Kind.INT),
        Attribute("columns", Kind.INT),
        Attribute("k", Kind.INT, 0),
        DTYPE,
    ),
    type=_eye_type,
    run=lambda kernels, *, rows, columns, k, dtype: (
        lambda: kernels.xp.eye(rows, columns, k, dtype=dtype)
    ),
    derivative=Zero(),
    axes=_eye_axes,
    cost=copy_cost,
    domain=Domain(
        (),
        (
            Example((), {"rows": 3, "columns": 3, "k": 0, "dtype": "float64"}),
            Example((), {"rows": 2, "columns": 4, "k": 1, "dtype": "float32"}),
            Example((), {"rows": 3, "columns": 2, "k": -5, "dtype": "bool"}),
            Example((), {"rows": 0, "columns": 2, "k": 0, "dtype": "int32"}),
        ),
    ),
    doc="A matrix of ones on diagonal `k` (above the main one if positive), zero elsewhere.",
)


def _size_type(x: ArrayType, *, axes: Shape, dtype: DType) -> ArrayType:
    check_axes(x.shape, axes)
    _check_counts(dtype, prod([x.shape[axis] for axis in axes]))
    return ArrayType(dtype, ())


def _run_size(k: Kernels, *, axes: Shape, dtype: DType) -> Callable[[Array], Array]:
    return lambda x: k.xp.asarray(prod([x.shape[axis] for axis in axes]), dtype)


def _size_axes(
    operands: Sequence[ArrayType], results: Sequence[ArrayType], *, axes: Shape, dtype: DType
) -> Axes:
    """Counts of parts add up along `axes`, and are the same in every part along the others."""
    factors = tuple(range(operands[0].rank))
    return Axes((factors,), ((),), {i: "add" if i in axes else "maximum" for i in factors})


def _map_size(operands: Sequence[Ref], lead: Lead, *, axes: Shape, dtype: DType) -> Ref:
    """The same at every position."""
    count = do.size(operands[0], axes=tuple([axis + 1 for axis in axes]), dtype=dtype)
    return spread(count, lead.size)


_SIZE = Op(
    "size",
    operands=1,
    attributes=(AXES, DTYPE),
    type=_size_type,
    run=_run_size,
    derivative=Zero(),
    axes=_size_axes,
    mapping=_map_size,
    cost=view_cost,
    domain=reals(
        1,
        examples=[
            Example(((2, 3),), {"axes": (0, 1), "dtype": "float64"}),
            Example(((2, 3),), {"axes": (1,), "dtype": "int32"}),
            Example(((0, 3),), {"axes": (0,), "dtype": "float32"}),
            Example(((),), {"axes": (), "dtype": "float64"}),
        ],
    ),
    doc="The number of elements along `axes`, as a 0-d value.",
)

ROWS: tuple[Op, ...] = (_IOTA, _EYE, _SIZE)
