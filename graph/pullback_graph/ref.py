"""A handle on a value under construction: rules write ordinary arithmetic on these.

A Ref knows its builder and its number there; every operator adds a node. `do` names any row of
the table: `do.exp(x)`, `do.sum(x, axes=(0,), keepdims=False)`. Python numbers take the dtype of
the Ref beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pullback_graph.types import ArrayType, DType, Shape

if TYPE_CHECKING:
    from pullback_graph.builder import Builder

Operand: TypeAlias = "Ref | complex | float | int | bool"


class Ref:
    """Value number `index` of `builder`."""

    __slots__ = ("builder", "index")
    __array_ufunc__ = None  # keeps NumPy scalars from taking the operator over

    def __init__(self, builder: Builder, index: int) -> None:
        self.builder = builder
        self.index = index

    @property
    def type(self) -> ArrayType:
        """Dtype and shape."""
        return self.builder.types[self.index]

    @property
    def shape(self) -> Shape:
        """Shape."""
        return self.builder.types[self.index].shape

    @property
    def dtype(self) -> DType:
        """Dtype."""
        return self.builder.types[self.index].dtype

    def __repr__(self) -> str:
        return f"Ref(%{self.index}: {self.type})"

    def __add__(self, other: Operand) -> Ref:
        return _single("add", self, other)

    def __radd__(self, other: Operand) -> Ref:
        return _single("add", other, self)

    def __sub__(self, other: Operand) -> Ref:
        return _single("subtract", self, other)

    def __rsub__(self, other: Operand) -> Ref:
        return _single("subtract", other, self)

    def __mul__(self, other: Operand) -> Ref:
        return _single("multiply", self, other)

    def __rmul__(self, other: Operand) -> Ref:
        return _single("multiply", other, self)

    def __truediv__(self, other: Operand) -> Ref:
        return _single("divide", self, other)

    def __rtruediv__(self, other: Operand) -> Ref:
        return _single("divide", other, self)

    def __pow__(self, other: Operand) -> Ref:
        return _single("pow", self, other)

    def __neg__(self) -> Ref:
        return _single("negative", self)

    def __matmul__(self, other: Ref) -> Ref:
        return _single("matmul", self, other)

    def __lt__(self, other: Operand) -> Ref:
        return _single("less", self, other)

    def __le__(self, other: Operand) -> Ref:
        return _single("less_equal", self, other)

    def __gt__(self, other: Operand) -> Ref:
        return _single("greater", self, other)

    def __ge__(self, other: Operand) -> Ref:
        return _single("greater_equal", self, other)

    def __and__(self, other: Ref) -> Ref:
        return _single("logical_and", self, other)

    def __or__(self, other: Ref) -> Ref:
        return _single("logical_or", self, other)

    def __invert__(self) -> Ref:
        return _single("logical_not", self)


def apply(name: str, *operands: Operand, **attributes: Any) -> Any:
    """The result (or tuple of results) of a new node; Python numbers become 0-d constants."""
    for operand in operands:
        if type(operand) is Ref:
            builder, dtype = operand.builder, operand.dtype
            break
    else:
        raise TypeError(f"{name}: at least one operand must be a Ref")
    refs = [
        operand if type(operand) is Ref else builder.constant(np.asarray(operand, dtype))
        for operand in operands
    ]
    return builder.add(name, *refs, **attributes)


def _single(name: str, *operands: Operand) -> Ref:
    """The result of a row of one result."""
    result: Ref = apply(name, *operands)
    return result


class _Rows:
    """Every row of the table as a function on Refs."""

    def __getattr__(self, name: str) -> Callable[..., Ref]:
        def row(*operands: Operand, **attributes: Any) -> Ref:
            result: Ref = apply(name, *operands, **attributes)
            return result

        row.__name__ = name
        setattr(self, name, row)
        return row


do = _Rows()
