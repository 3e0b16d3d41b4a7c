"""Counter-based random numbers: bits are a function of the key and the position, nothing else.

The generator is Threefry-2x32 of 20 rounds (Salmon, Moraes, Dror & Shaw 2011). A key is two words
of 32 bits, an operand like any other; whatever is made of bits is made of other rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pullback_graph.attributes import Lead
from pullback_graph.errors import DTypeError, ShapeError
from pullback_graph.op import Axes, Cost, Domain, Example, Factors, Interval, Op, Zero
from pullback_graph.ops.creation import DTYPE
from pullback_graph.ops.rules import INTEGER, check_kind, moved_bytes
from pullback_graph.ops.shape import SHAPE, checked_shape
from pullback_graph.ref import Ref, do
from pullback_graph.types import DTYPES, ArrayType, DType, Shape, broadcast_shapes

_FLOPS = 110.0
"""Integer operations for the two words of one position."""
_WORD = Interval(0, 2**32 - 1, integer=True)


def _check_key(key: ArrayType) -> None:
    check_kind(key, INTEGER)
    if key.shape[-1:] != (2,):
        raise ShapeError(
            f"a key is two words, so its last axis is of size 2; got shape {key.shape}: make one "
            "with random.key(seed)"
        )


# --- random_bits ----------------------------------------------------------------------------------


def _bits_type(key: ArrayType, *, shape: Shape, dtype: DType) -> ArrayType:
    _check_key(key)
    if dtype.kind != "u":
        raise DTypeError(f"bits are unsigned integers, not {dtype.name}; use uint32 or uint64")
    lead = key.shape[:-1]
    if checked_shape(shape)[: len(lead)] != lead:
        raise ShapeError(
            f"shape {shape} must begin with {lead}, the axes of the keys, for each of them draws"
        )
    return ArrayType(dtype, shape)


def _bits_axes(
    operands: Sequence[ArrayType], results: Sequence[ArrayType], *, shape: Shape, dtype: DType
) -> Axes:
    """Keys are drawn for one by one; what one key draws depends on the position."""
    lead: Factors = tuple(range(operands[0].rank - 1))
    return Axes(((*lead, None),), ((*lead, *(None,) * (len(shape) - len(lead))),))


def _bits_cost(operands: Sequence[ArrayType], results: Sequence[ArrayType], **_: Any) -> Cost:
    return Cost(_FLOPS * results[0].size, moved_bytes(operands, results))


_RANDOM_BITS = Op(
    "random_bits",
    operands=1,
    attributes=(SHAPE, DTYPE),
    type=_bits_type,
    run=lambda k, *, shape, dtype: lambda key: k.random_bits(key, shape, dtype),
    derivative=Zero(),
    axes=_bits_axes,
    cost=_bits_cost,
    domain=Domain(
        (_WORD,),
        (
            Example(((2,),), {"shape": (3, 5), "dtype": "uint32"}),
            Example(((2,),), {"shape": (), "dtype": "uint64"}),
            Example(((3, 2),), {"shape": (3, 4), "dtype": "uint32"}),
            Example(((2, 2, 2),), {"shape": (2, 2), "dtype": "uint64"}),
            Example(((2,),), {"shape": (7,), "dtype": "uint8"}),
            Example(((0, 2),), {"shape": (0, 4), "dtype": "uint16"}),
        ),
    ),
    doc="Random bits of `shape`, whose first axes are those of the keys (..., 2): Threefry-2x32 of "
    "a key's words (modulo 2^32) and the 64-bit position among what it draws. The two words of "
    "the cipher are joined for uint64, the first one high, and xor-ed for narrower dtypes.",
)


# --- random_fold_in -------------------------------------------------------------------------------


def _fold_type(key: ArrayType, data: ArrayType) -> ArrayType:
    _check_key(key)
    check_kind(data, INTEGER)
    return ArrayType(DTYPES["uint32"], (*broadcast_shapes([key.shape[:-1], data.shape]), 2))


def _fold_axes(operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> Axes:
    """The axes of keys and data are kept as they broadcast."""
    shape = results[0].shape[:-1]

    def own(operand: Shape) -> Factors:
        places = enumerate(operand, len(shape) - len(operand))
        return tuple([axis if n == shape[axis] else None for axis, n in places])

    key, data = operands
    return Axes(((*own(key.shape[:-1]), None), own(data.shape)), ((*range(len(shape)), None),))


def _fold_cost(operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> Cost:
    return Cost(_FLOPS * results[0].size / 2, moved_bytes(operands, results))


def _fold_mapping(operands: Sequence[Ref], lead: Lead) -> Ref:
    """Axes of size one after the leading one, so that operands of different ranks line up."""
    key, data = operands
    ranks = [len(key.shape) - 1 - lead.mapped[0], len(data.shape) - lead.mapped[1]]
    rank = max(ranks)
    lined = []
    for x, own, mapped in zip(operands, ranks, lead.mapped, strict=True):
        axes = tuple(range(1, 1 + rank - own)) if mapped else ()
        lined.append(do.expand_dims(x, axes=axes) if axes else x)
    z: Ref = do.random_fold_in(*lined)
    return z


_RANDOM_FOLD_IN = Op(
    "random_fold_in",
    operands=2,
    type=_fold_type,
    run=lambda k: k.random_fold_in,
    derivative=Zero(),
    axes=_fold_axes,
    cost=_fold_cost,
    domain=Domain(
        (_WORD, Interval(-3, 2**40, integer=True)),
        (
            Example(((2,), ())),
            Example(((2,), (5,))),
            Example(((3, 2), (3,))),
            Example(((3, 1, 2), (4,))),
            Example(((2,), (0,))),
        ),
    ),
    mapping=_fold_mapping,
    doc="New keys (..., 2), uint32: Threefry-2x32 of a key's words and of data, an integer taken "
    "modulo 2^64. Keys and data broadcast.",
)

ROWS: tuple[Op, ...] = (_RANDOM_BITS, _RANDOM_FOLD_IN)
