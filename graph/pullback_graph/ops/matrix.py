"""Rows on matrices, which stand on the last two axes: product, diagonal, triangles.

`diagonal` and `diag` are each other's transposes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from string import ascii_letters
from typing import Any, NamedTuple

import numpy as np

from pullback_graph.attributes import Attribute, Kind
from pullback_graph.errors import ShapeError
from pullback_graph.kernels import Index, Kernels
from pullback_graph.op import Axes, Cost, Example, Moves, Op, Transpose
from pullback_graph.ops.mapped_matmul import map_matmul
from pullback_graph.ops.rules import (
    NUMERIC,
    check_kind,
    check_same_dtype,
    copy_cost,
    moved_bytes,
    reals,
    view_cost,
)
from pullback_graph.ops.shape import SHAPE, checked_shape
from pullback_graph.ref import Ref, do
from pullback_graph.types import Array, ArrayType, Shape, broadcast_shapes

OFFSET = Attribute("offset", Kind.INT, 0)


# --- matmul ---------------------------------------------------------------------------------------


def _matmul_type(x: ArrayType, y: ArrayType) -> ArrayType:
    check_kind(x, NUMERIC)
    check_same_dtype(x, y)
    if not x.shape or not y.shape:
        raise ShapeError(f"{x.shape} @ {y.shape}: a 0-d operand is no matrix; multiply instead")
    inner = y.shape[-2:][0]
    if x.shape[-1] != inner:
        raise ShapeError(
            f"{x.shape} @ {y.shape}: inner sizes {x.shape[-1]} and {inner} differ; transpose or "
            "reshape one operand"
        )
    batch = broadcast_shapes([x.shape[:-2], y.shape[:-2]])
    return ArrayType(x.dtype, batch + x.shape[-2:-1] + (y.shape[-1:] if y.rank > 1 else ()))


class _Terms(NamedTuple):
    """A matmul in index notation; an axis of size one that broadcasts has no letter."""

    x: str
    y: str
    z: str


def _terms(x: Ref, y: Ref, batch: Shape) -> _Terms:
    """Letters: n rows of x, k inner, m columns of y; others number the result's batch axes."""
    letters = [letter for letter in ascii_letters if letter not in "nkm"][: len(batch)]

    def own(shape: Shape) -> str:
        skipped = len(batch) - len(shape)
        places = zip(shape, batch[skipped:], letters[skipped:], strict=True)
        return "".join([letter for size, whole, letter in places if size == whole])

    rows, columns = "n" * (len(x.shape) > 1), "m" * (len(y.shape) > 1)
    return _Terms(
        own(x.shape[:-2]) + rows + "k",
        own(y.shape[:-2]) + "k" + columns,
        "".join(letters) + rows + columns,
    )


def _stripped(x: Ref, batch: Shape) -> Ref:
    """A matmul's operand without the batch axes that broadcast."""
    own = x.shape[:-2]
    kept = [n for n, whole in zip(own, batch[len(batch) - len(own) :], strict=True) if n == whole]
    shape = (*kept, *x.shape[-2:])
    return x if shape == x.shape else _reshaped(x, shape)


def _reshaped(x: Ref, shape: Shape) -> Ref:
    z: Ref = do.reshape(x, shape=shape)
    return z


def _swapped(x: Ref) -> Ref:
    """The matrices of `x` transposed."""
    rank = len(x.shape)
    swapped: Ref = do.permute_dims(x, axes=(*range(rank - 2), rank - 1, rank - 2))
    return swapped


def _matmul_x(g: Ref, x: Ref, y: Ref) -> Ref:
    """g yᵀ, summed over the batch axes along which x broadcasts."""
    if len(x.shape) > 1 and len(y.shape) > 1 and x.shape[:-2] == g.shape[:-2]:
        return g @ _swapped(y)
    if len(x.shape) == 1 and len(y.shape) == 2:
        return y @ g
    batch = broadcast_shapes([x.shape[:-2], y.shape[:-2]])
    terms = _terms(x, y, batch)
    z: Ref = do.einsum(g, _stripped(y, batch), subscripts=f"{terms.z},{terms.y}->{terms.x}")
    return z if z.shape == x.shape else _reshaped(z, x.shape)


def _matmul_y(g: Ref, x: Ref, y: Ref) -> Ref:
    """xᵀ g, summed over the batch axes along which y broadcasts."""
    if len(x.shape) > 1 and len(y.shape) > 1 and y.shape[:-2] == g.shape[:-2]:
        return _swapped(x) @ g
    if len(x.shape) == 2 and len(y.shape) == 1:
        return _swapped(x) @ g
    batch = broadcast_shapes([x.shape[:-2], y.shape[:-2]])
    terms = _terms(x, y, batch)
    z: Ref = do.einsum(_stripped(x, batch), g, subscripts=f"{terms.x},{terms.z}->{terms.y}")
    return z if z.shape == y.shape else _reshaped(z, y.shape)


def _matmul_axes(operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> Axes:
    """Batch axes, rows and columns are kept; the inner axis is contracted by addition."""
    x, y = operands
    inner = results[0].rank
    result = tuple(range(inner))
    batch = results[0].shape[: inner - (x.rank > 1) - (y.rank > 1)]
    rows = (len(batch),) if x.rank > 1 else ()
    columns = (inner - 1,) if y.rank > 1 else ()

    def own(shape: Shape) -> tuple[int | None, ...]:
        places = enumerate(shape, len(batch) - len(shape))
        return tuple([axis if size == batch[axis] else None for axis, size in places])

    factors_x = (*own(x.shape[:-2]), *rows, inner)
    factors_y = (*own(y.shape[:-2]), inner, *columns)
    return Axes((factors_x, factors_y), (result,), {inner: "add"})


def _matmul_cost(operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> Cost:
    """A multiplication and an addition for each inner position of each result element."""
    flops = 2.0 * results[0].size * operands[0].shape[-1]
    return Cost(flops, moved_bytes(operands, results))


_MATMUL = Op(
    "matmul",
    operands=2,
    type=_matmul_type,
    run=lambda k: k.xp.matmul,
    derivative=Transpose(_matmul_x, _matmul_y),
    axes=_matmul_axes,
    mapping=map_matmul,
    moves=Moves.MULTIPLIES,
    cost=_matmul_cost,
    domain=reals(
        2,
        examples=[
            Example(((2, 3), (3, 4))),
            Example(((3,), (3,))),
            Example(((2, 3), (3,))),
            Example(((3,), (3, 2))),
            Example(((4, 2, 3), (3, 2))),
            Example(((2, 3), (4, 3, 2))),
            Example(((4, 2, 3), (4, 3, 2))),
            Example(((2, 1, 2, 3), (3, 3, 2))),
            Example(((3,), (4, 3, 2))),
            Example(((1, 2, 3), (3,))),
            Example(((2, 0), (0, 3))),
        ],
    ),
    doc="The matrix product, as in NumPy: last two axes, vectors as rows or columns, broadcasting.",
)


# --- diagonal, diag -------------------------------------------------------------------------------


def _diagonal_size(shape: Shape, offset: int) -> int:
    """Elements on diagonal `offset` (above the main one if positive) of the last two axes."""
    rows, columns = shape[-2:]
    return max(0, min(rows + min(offset, 0), columns - max(offset, 0)))


def _check_matrix(shape: Shape) -> None:
    if len(shape) < 2:
        raise ShapeError(f"shape {shape} is no matrix; reshape it to two axes or more")


def _diagonal_type(x: ArrayType, *, offset: int) -> ArrayType:
    _check_matrix(x.shape)
    return ArrayType(x.dtype, (*x.shape[:-2], _diagonal_size(x.shape, offset)))


def _diag_type(x: ArrayType, *, shape: Shape, offset: int) -> ArrayType:
    _check_matrix(checked_shape(shape))
    needed = (*shape[:-2], _diagonal_size(shape, offset))
    if x.shape != needed:
        raise ShapeError(
            f"diagonal {offset} of shape {shape} takes shape {needed}, got {x.shape}; change "
            "shape or offset"
        )
    return ArrayType(x.dtype, shape)


def _run_diag(k: Kernels, *, shape: Shape, offset: int) -> Callable[[Array], Array]:
    along = np.arange(_diagonal_size(shape, offset))
    index: Index = (
        *[slice(None)] * (len(shape) - 2),
        along + max(0, -offset),
        along + max(0, offset),
    )
    return lambda x: k.sum_at(shape, [index], [x])


def _matrix_axes(operands: Sequence[ArrayType], results: Sequence[ArrayType], **_: Any) -> Axes:
    """The axes before the matrix are kept; its own must stay whole."""
    kept = tuple(range(min(operands[0].rank, results[0].rank) - 1))
    return Axes(
        ((*kept, *[None] * (operands[0].rank - len(kept))),),
        ((*kept, *[None] * (results[0].rank - len(kept))),),
    )


def _triangle_axes(operands: Sequence[ArrayType], results: Sequence[ArrayType], **_: Any) -> Axes:
    kept = (*range(operands[0].rank - 2), None, None)
    return Axes((kept,), (kept,))


_DIAGONAL = Op(
    "diagonal",
    operands=1,
    attributes=(OFFSET,),
    type=_diagonal_type,
    run=lambda k, *, offset: lambda x: x.diagonal(offset, -2, -1),
    derivative=Transpose(lambda g, x, *, offset: do.diag(g, shape=x.shape, offset=offset)),
    axes=_matrix_axes,
    cost=view_cost,
    domain=reals(
        1,
        examples=[
            Example(((3, 3),), {"offset": 0}),
            Example(((2, 3, 5),), {"offset": 1}),
            Example(((4, 2),), {"offset": -2}),
            Example(((2, 2),), {"offset": 3}),
        ],
    ),
    moves=Moves.COPIES,
    doc="The diagonal of the last two axes, `offset` above the main one.",
)

_DIAG = Op(
    "diag",
    operands=1,
    attributes=(SHAPE, OFFSET),
    type=_diag_type,
    run=_run_diag,
    derivative=Transpose(lambda g, x, *, shape, offset: do.diagonal(g, offset=offset)),
    axes=_matrix_axes,
    cost=copy_cost,
    domain=reals(
        1,
        examples=[
            Example(((3,),), {"shape": (3, 3), "offset": 0}),
            Example(((2, 3),), {"shape": (2, 3, 5), "offset": 1}),
            Example(((2,),), {"shape": (4, 2), "offset": -2}),
            Example(((0,),), {"shape": (2, 2), "offset": 3}),
        ],
    ),
    moves=Moves.COPIES,
    doc="Zeros of `shape` with the operand on the diagonal, `offset` above the main one.",
)


# --- tril, triu -----------------------------------------------------------------------------------


def _triangle_type(x: ArrayType, *, k: int) -> ArrayType:
    _check_matrix(x.shape)
    return x


def _triangle(name: str, doc: str) -> Op:
    def run(kernels: Kernels, *, k: int) -> Callable[[Array], Array]:
        triangle = getattr(kernels.xp, name)
        return lambda x: triangle(x, k)

    return Op(
        name,
        operands=1,
        attributes=(Attribute("k", Kind.INT, 0),),
        type=_triangle_type,
        run=run,
        derivative=Transpose(lambda g, x, *, k: getattr(do, name)(g, k=k)),
        axes=_triangle_axes,
        cost=copy_cost,
        moves=Moves.COPIES,
        domain=reals(
            1,
            examples=[
                Example(((3, 3),), {"k": 0}),
                Example(((2, 2, 4),), {"k": 1}),
                Example(((4, 2),), {"k": -1}),
                Example(((0, 2),), {"k": 0}),
            ],
        ),
        doc=doc,
    )


ROWS: tuple[Op, ...] = (
    _MATMUL,
    _DIAGONAL,
    _DIAG,
    _triangle("tril", "The lower triangle of the last two axes, up to diagonal `k`; zeros above."),
    _triangle("triu", "The upper triangle of the last two axes, from diagonal `k`; zeros below."),
)
