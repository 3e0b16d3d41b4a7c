"""The table of algebraic simplifications: row name -> rules tried in order.

A rule takes the operands as Refs and the attributes as keywords, and answers with a value to use
instead, or None. Each must be exact for every IEEE value: x + 0 is not x when x is -0, so only
x - 0 and x + (-0) are here. The rewriter checks that a replacement has the node's type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from pullback_graph.ops.reduction import written_logsumexp
from pullback_graph.ref import Ref, do
from pullback_graph.types import DType, Shape

Rule: TypeAlias = Callable[..., "Ref | None"]


def is_constant(x: Ref, value: float) -> bool:
    """Whether `x` is a constant scalar (or of one element) equal to `value`, signs of zero too.

    Of a complex one both parts of zero have the sign of `value`.
    """
    array = x.builder.constant_value(x.index)
    if array is None or array.size != 1:
        return False
    item = array.item()
    if item != value:
        return False
    return item != 0 or all([np.signbit(part) == np.signbit(value) for part in _parts(item)])


def _parts(item: Any) -> tuple[Any, ...]:
    return (item.real, item.imag) if isinstance(item, complex) else (item,)


def _made_by(x: Ref, name: str) -> Any:
    """The node that gives `x` if it is of row `name`, else None."""
    node = x.builder.node(x.index)
    return node if node is not None and node.op.name == name else None


def _operand(x: Ref, node: Any) -> Ref:
    return Ref(x.builder, node.operands[0])


def _add(x: Ref, y: Ref) -> Ref | None:
    zero = -0.0 if x.type.is_floating else 0
    return y if is_constant(x, zero) else x if is_constant(y, zero) else None


def _subtract(x: Ref, y: Ref) -> Ref | None:
    return x if is_constant(y, 0.0) else None


def _multiply_by_one(x: Ref, y: Ref) -> Ref | None:
    """x times 1 is x; of complex ones it is not where a part is infinite, nor is x / 1."""
    if x.type.is_complex:
        return None
    return y if is_constant(x, 1) else x if is_constant(y, 1) else None


def _multiply_by_minus_one(x: Ref, y: Ref) -> Ref | None:
    if x.dtype.kind not in "if":
        return None
    return do.negative(y) if is_constant(x, -1) else do.negative(x) if is_constant(y, -1) else None


def _divide(x: Ref, y: Ref) -> Ref | None:
    """x / 1 is x; dividing by a power of two is multiplying by its (exact) reciprocal."""
    if x.type.is_complex:
        return None
    if is_constant(y, 1):
        return x
    array = y.builder.constant_value(y.index)
    if array is None or array.size != 1 or array.dtype.kind != "f":
        return None
    mantissa, exponent = np.frexp(array.reshape(()))
    if abs(float(mantissa)) != 0.5 or abs(int(exponent)) > 100:
        return None
    return x * y.builder.constant((1 / array).astype(array.dtype))


def _pow(x: Ref, y: Ref) -> Ref | None:
    """x ** 1 is x, x ** 2 is the square (which rounds once, as a correctly rounded pow would)."""
    if x.dtype.kind != "f":
        return None
    return x if is_constant(y, 1) else do.square(x) if is_constant(y, 2) else None


def _involution(name: str) -> Rule:
    """f(f(x)) is x."""

    def rule(x: Ref) -> Ref | None:
        node = _made_by(x, name)
        return None if node is None else _operand(x, node)

    return rule


def _where(condition: Ref, x: Ref, y: Ref) -> Ref | None:
    if x.index == y.index:
        return x
    return x if is_constant(condition, 1) else y if is_constant(condition, 0) else None


def _same(x: Ref, y: Ref) -> Ref | None:
    return x if x.index == y.index else None


def _reshape(x: Ref, shape: Shape) -> Ref | None:
    if x.shape == shape:
        return x
    node = _made_by(x, "reshape")
    return None if node is None else do.reshape(_operand(x, node), shape=shape)


def _broadcast_to(x: Ref, shape: Shape) -> Ref | None:
    if x.shape == shape:
        return x
    node = _made_by(x, "broadcast_to")
    return None if node is None else do.broadcast_to(_operand(x, node), shape=shape)


def _permute_dims(x: Ref, axes: tuple[int, ...]) -> Ref | None:
    if axes == tuple(range(len(axes))):
        return x
    node = _made_by(x, "permute_dims")
    if node is None:
        return None
    inner = node.attributes["axes"]
    composed: Ref = do.permute_dims(_operand(x, node), axes=tuple(inner[axis] for axis in axes))
    return composed


def _astype(x: Ref, dtype: DType) -> Ref | None:
    return x if x.dtype == dtype else None


def _no_axes(x: Ref, axes: tuple[int, ...], **_: Any) -> Ref | None:
    return x if axes == () else None


def _whole_slice(x: Ref, starts: Any, stops: Any, steps: Any) -> Ref | None:
    whole = not any(starts) and stops == x.shape and all(step == 1 for step in steps)
    return x if whole else None


def _single(*operands: Ref, axis: int) -> Ref | None:
    return operands[0] if len(operands) == 1 else None


def _single_stack(*operands: Ref, axis: int) -> Ref | None:
    return do.expand_dims(operands[0], axes=(axis,)) if len(operands) == 1 else None


def _flip(x: Ref, axes: tuple[int, ...]) -> Ref | None:
    node = _made_by(x, "flip")
    return _operand(x, node) if node is not None and node.attributes["axes"] == axes else None


def _size(x: Ref, axes: tuple[int, ...], dtype: DType) -> Ref | None:
    count = int(np.prod([x.shape[axis] for axis in axes], dtype=np.int64))
    return x.builder.constant(np.asarray(count, dtype))


RULES: dict[str, tuple[Rule, ...]] = {
    "add": (_add,),
    "subtract": (_subtract,),
    "multiply": (_multiply_by_one, _multiply_by_minus_one),
    "divide": (_divide,),
    "pow": (_pow,),
    "negative": (_involution("negative"),),
    "conj": (_involution("conj"),),
    "logical_not": (_involution("logical_not"),),
    "where": (_where,),
    "maximum": (_same,),
    "minimum": (_same,),
    "logical_and": (_same,),
    "logical_or": (_same,),
    "reshape": (_reshape,),
    "broadcast_to": (_broadcast_to,),
    "permute_dims": (_permute_dims,),
    "astype": (_astype,),
    "logsumexp": (written_logsumexp,),
    "sum": (_no_axes,),
    "prod": (_no_axes,),
    "max": (_no_axes,),
    "min": (_no_axes,),
    "expand_dims": (_no_axes,),
    "squeeze": (_no_axes,),
    "flip": (_no_axes, _flip),
    "slice": (_whole_slice,),
    "concat": (_single,),
    "stack": (_single_stack,),
    "size": (_size,),
}
