"""Attributes: the metadata of a node. A kind says what a value may be and how it moves with sizes.

An operator row lists its attributes; checking, canonical form, text, wire, resizing and mapping
read the kind, so that no operator has code of its own for any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from operator import index
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from pullback_graph.errors import AttributeFault, DTypeError, GraphError
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
    GRAPH = "graph"
    """A subgraph: the body of a loop, say. A Graph is immutable, so none can hold itself."""
    GRAPHS = "graphs"
    """A tuple of subgraphs, one or more."""


REQUIRED: Final = object()
"""The default of an attribute that must be given."""

TUPLE_KINDS = {Kind.INTS, Kind.AXES, Kind.SHAPE, Kind.STOPS}
GRAPH_KINDS = {Kind.GRAPH, Kind.GRAPHS}
MAX_DEPTH = 64
"""How deep graphs may nest; a graph without subgraphs has depth 0."""


class Lead(NamedTuple):
    """A new leading axis of `size` on those operands of a node that are `mapped`, and on results.

    A value mapped over an axis has it in front; see `pullback_graph.vmap`.
    """

    size: int
    mapped: tuple[bool, ...]


Leading: TypeAlias = "Callable[[Any, Lead], Any]"
"""What becomes of an attribute's value where a leading axis comes in; None: it cannot be said."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of an operator row: name, kind, and default (or REQUIRED).

    A default of None is that of a subgraph which may be absent.

    Attributes:
        leading: what a new leading axis changes, where the kind alone does not say it.
    """

    name: str
    kind: Kind
    default: Any = REQUIRED
    leading: Leading | None = None


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
    if value is None and attribute.default is None:
        return None
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


def _graph(value: Any) -> Any:
    from pullback_graph.graph import Graph  # noqa: PLC0415  (graphs are made of rows: a cycle)

    if not isinstance(value, Graph):
        raise TypeError
    if value.depth >= MAX_DEPTH:
        raise GraphError(f"graphs nest deeper than {MAX_DEPTH}; join some of the loops")
    return value


def _graphs(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise TypeError
    return tuple([_graph(item) for item in value])


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
    Kind.GRAPH: _graph,
    Kind.GRAPHS: _graphs,
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


# --- a new leading axis ---------------------------------------------------------------------------


def unchanged(value: Any, lead: Lead) -> Any:
    """For what names no axis and no size."""
    return value


def with_size(value: Shape, lead: Lead) -> Shape:
    """For a shape of the result."""
    return (lead.size, *value)


def one_further(value: Any, lead: Lead) -> Any:
    """For axes of the first operand: one further on if that is mapped."""
    return _one_further(value) if lead.mapped[0] else value


def one_further_always(value: Any, lead: Lead) -> Any:
    """For axes of the result."""
    return _one_further(value)


def permuted(value: Shape, lead: Lead) -> Shape:
    """For a permutation of the axes."""
    return (0, *_one_further(value))


def per_axis(neutral: int) -> Leading:
    """For an entry per axis of the first operand, `neutral` where nothing happens to the axis."""

    def leading(value: Shape, lead: Lead) -> Shape:
        return (neutral, *value) if lead.mapped[0] else value

    return leading


def per_operand_and_axis(neutral: int) -> Leading:
    """For an entry per axis for each operand in turn."""

    def leading(value: Shape, lead: Lead) -> Shape:
        count = len(lead.mapped)
        rank = len(value) // count
        parts = [(neutral, *value[i * rank : (i + 1) * rank]) for i in range(count)]
        return tuple([entry for part in parts for entry in part])

    return leading


def _stop(value: Shape, lead: Lead) -> Shape:
    return (lead.size, *value) if lead.mapped[0] else value


def _one_further(value: Any) -> Any:
    return tuple([axis + 1 for axis in value]) if isinstance(value, tuple) else value + 1


_LEADING: dict[Kind, Leading] = {
    Kind.INT: unchanged,
    Kind.FLOAT: unchanged,
    Kind.BOOL: unchanged,
    Kind.STRING: unchanged,
    Kind.DTYPE: unchanged,
    Kind.AXIS: one_further,
    Kind.AXES: one_further,
    Kind.SHAPE: with_size,
    Kind.STOPS: _stop,
}
"""Of the other kinds, a row must say it."""


def with_lead(
    schema: Sequence[Attribute], attributes: Mapping[str, Any], lead: Lead
) -> dict[str, Any] | None:
    """The attributes once a leading axis came in, or None where an attribute does not say."""
    result = {}
    for attribute in schema:
        leading = attribute.leading or _LEADING.get(attribute.kind)
        value = None if leading is None else leading(attributes[attribute.name], lead)
        if value is None:
            return None
        result[attribute.name] = value
    return result
