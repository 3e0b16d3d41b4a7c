"""Rows that round, and the cast from dtype to dtype."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pullback_graph.attributes import Attribute, Kind
from pullback_graph.kernels import Kernels
from pullback_graph.op import Example, Op, RunRule, Transpose, Zero
from pullback_graph.ops.rules import elementwise_row, reals
from pullback_graph.ref import Ref, do
from pullback_graph.types import COMPLEX128, FLOAT32, FLOAT64, INT64, Array, ArrayType, DType

_INF = float("inf")


def _run_astype(k: Kernels, *, dtype: DType) -> Callable[..., Array]:
    return lambda x: k.astype(x, dtype)


def _astype_type(x: ArrayType, *, dtype: DType) -> ArrayType:
    return ArrayType(dtype, x.shape)


def _astype_transpose(g: Ref, x: Ref, *, dtype: Any) -> Ref:
    cast: Ref = do.astype(g, dtype=x.dtype)
    return cast


def _rounding(name: str, run: RunRule, doc: str) -> Op:
    domain = reals(1, -3.0, 3.0, special=(0.0, 1.0, -0.5, 0.5, 1.5, 2.5, _INF, -_INF))
    return elementwise_row(name, run, Zero(), 1, domain, f"{doc} The derivative is zero.")


ROWS: tuple[Op, ...] = (
    _rounding("floor", lambda k: k.xp.floor, "The next whole number at or below x."),
    _rounding("ceil", lambda k: k.xp.ceil, "The next whole number at or above x."),
    _rounding("round", lambda k: k.xp.rint, "The nearest whole number, halves to the even one."),
    _rounding("trunc", lambda k: k.xp.trunc, "The next whole number towards zero."),
    elementwise_row(
        "astype",
        _run_astype,
        Transpose(_astype_transpose),
        1,
        reals(
            1,
            examples=[
                Example((shape,), {"dtype": dtype})
                for shape in ((2, 3), (), (0,))
                for dtype in (FLOAT64, FLOAT32, INT64, COMPLEX128)
            ],
        ),
        "The same values in another dtype. Floats become integers towards zero, NaN becomes 0, "
        "and what does not fit becomes the nearest integer that does. A complex number loses its "
        "imaginary part in a real dtype, and is true where it is not 0.",
        type=_astype_type,
        attributes=(Attribute("dtype", Kind.DTYPE),),
    ),
)
