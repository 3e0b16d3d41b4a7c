"""Attributes: the metadata of a node. A kind says what a value may be and how it moves with sizes.

An operator row lists its attributes; checking, canonical form, text, wire and resizing read the
kind, so that no operator has code of its own for any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from operator import index
from typing import Any, Final

import numpy as np

from pullback_graph.errors import AttributeFault, DTypeError
from pullback_graph.types import Shape, as_dtype


class Kind(Enum):
    """What an attribute's value is."""

    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    STRING = "string"
    DTYPE = "dtype"
    INTS = "ints"
    AXIS = "axis"
    """One axis of the first operand, non-negative."""
    AXES = "axes"
    """Distinct axes of the first operand, non-negative."""
    SHAPE = "shape"
    """The shape of the (first) result, whole: it changes as the result does."""
    STOPS = "stops"
    """One stop per axis of the first operand: an entry equal to the axis's size moves with it."""


REQUIRED: Final = object()
"""The default of an attribute that must be given."""

TUPLE_KINDS = {Kind.INTS, Kind.AXES, Kind.SHAPE, Kind.STOPS}


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of an operator row: name, kind, and default (or REQUIRED)."""

    name: str
    kind: Kind
    default: Any = REQUIRED


def canonical(schema: Sequence[Attribute], given: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes in the row's order, defaults filled in, each of its kind's Python type.

    Raises:
        AttributeFault: one is missing, unknown, or not of its kind.
    """
    if not schema and not given:
        return {}
    result = {}
    for attribute in schema:
        value = given.get(attribute.name, attribute.default)
        if value is REQUIRED:
            raise AttributeFault(
                f"attribute {attribute.name!r} ({attribute.kind.value}) is missing"
            )
        result[attribute.name] = _coerce(attribute, value)
    if len(given) > len(result) or any(name not in result for name in given):
        unknown = sorted(set(given) - set(result))
        known = ", ".join(result) or "none"
        raise AttributeFault(f"unknown attribute {', '.join(unknown)}; known are: {known}")
    return result


def _coerce(attribute: Attribute, value: Any) -> Any:
    """The value as its kind's Python type, or an error naming the attribute."""
    try:
        return _COERCE[attribute.kind](value)
    except (TypeError, ValueError, OverflowError):
        wanted = attribute.kind.value
        raise AttributeFault(
            f"attribute {attribute.name!r} must be {wanted}, got {_shown(value)}"
        ) from None
    except DTypeError as error:
        raise AttributeFault(f"attribute {attribute.name!r}: {error.message}") from None


def _integer(value: Any) -> int:
    if type(value) is int:
        return value
    if isinstance(value, bool | np.bool_):
        raise TypeError
    return index(value)


def _integers(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError
    return tuple([_integer(item) for item in value])


def _number(value: Any) -> float:
    if isinstance(value, str | bool | np.bool_):
        raise TypeError
    return float(value)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise TypeError
    return bool(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


_COERCE: dict[Kind, Callable[[Any], Any]] = {
    Kind.INT: _integer,
    Kind.AXIS: _integer,
    Kind.FLOAT: _number,
    Kind.BOOL: _truth,
    Kind.STRING: _text,
    Kind.DTYPE: as_dtype,
    Kind.INTS: _integers,
    Kind.AXES: _integers,
    Kind.SHAPE: _integers,
    Kind.STOPS: _integers,
}


def resized(
    schema: Sequence[Attribute],
    attributes: Mapping[str, Any],
    old_operand: Shape,
    new_operand: Shape,
    new_result: Shape,
) -> dict[str, Any]:
    """The attributes after the first operand and the result changed sizes (not ranks)."""
    result = dict(attributes)
    for attribute in schema:
        if attribute.kind is Kind.SHAPE:
            result[attribute.name] = new_result
        elif attribute.kind is Kind.STOPS:
            stops = zip(attributes[attribute.name], old_operand, new_operand, strict=True)
            result[attribute.name] = tuple(new if s == old else s for s, old, new in stops)
    return result
