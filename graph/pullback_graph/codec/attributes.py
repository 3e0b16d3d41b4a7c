"""Attributes of nodes: an attribute's kind says which member of the wire's oneof holds it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from pullback_graph.attributes import TUPLE_KINDS, Kind
from pullback_graph.codec.tensors import decode_dtype
from pullback_graph.errors import AttributeFault, GraphError
from pullback_graph.fingerprint import NUMBERS
from pullback_graph.graph import Graph
from pullback_graph.limits import Limits
from pullback_graph.op import Op
from pullback_graph.subgraphs import Subgraphs

_MEMBERS: dict[Kind, str] = {
    Kind.INT: "int_value",
    Kind.AXIS: "int_value",
    Kind.FLOAT: "float_value",
    Kind.BOOL: "bool_value",
    Kind.STRING: "string_value",
    Kind.DTYPE: "dtype_value",
    **dict.fromkeys(TUPLE_KINDS, "ints_value"),
    Kind.GRAPH: "subgraph_value",
    Kind.GRAPHS: "ints_value",
}
_PER_AXIS = {Kind.AXES, Kind.SHAPE, Kind.STOPS}
"""Kinds with at most an entry per axis."""


def encode_attributes(target: Any, op: Op, attributes: Mapping[str, Any], table: Subgraphs) -> None:
    """Append an Attribute per attribute; ValueError where a value does not fit the wire.

    A subgraph goes by its place in the table; one that is absent has no Attribute.
    """
    members = _members(op)
    for name, value in attributes.items():
        member = members[name][0]
        if name in op.graphs:
            if value is None:
                continue
            value = table.at(value)
        item = target.add(name=name)
        if member == "ints_value":
            item.ints_value.values.extend(value)
            item.ints_value.SetInParent()
        elif member == "dtype_value":
            item.dtype_value = NUMBERS[value]
        else:
            setattr(item, member, value)


def decode_attributes(
    op: Op, items: Iterable[Any], limits: Limits, subgraphs: Sequence[Graph]
) -> dict[str, Any]:
    """The attributes by name, each of the member that its kind asks for.

    Args:
        subgraphs: what an attribute may name.

    Raises:
        AttributeFault: one is unknown, given twice, or of the wrong kind.
        GraphError: one names a subgraph that is not there.
        LimitExceeded: a string, or a tuple with an entry per axis, is too long.
    """
    members = _members(op)
    found: dict[str, Any] = {}
    for item in items:
        name, member = item.name, item.WhichOneof("value")
        wanted, kind = members.get(name, (None, None))
        if member != wanted or name in found or member is None:
            raise _fault(op, name, member, kind, name in found)
        value = getattr(item, member)
        if member == "ints_value":
            limits.check("max_operands", len(value.values), f"entries in attribute {name!r}", "")
            value = tuple(value.values)
            if kind in _PER_AXIS and len(value) > limits.max_rank:
                limits.check("max_rank", len(value), f"entries in attribute {name!r}", "")
            if kind is Kind.GRAPHS:
                value = tuple([_subgraph(place, name, subgraphs) for place in value])
        elif member == "subgraph_value":
            value = _subgraph(value, name, subgraphs)
        elif member == "dtype_value":
            value = decode_dtype(value, "")
        elif member == "string_value":
            limits.check("max_text_length", len(value), f"characters in attribute {name!r}", "")
        found[name] = value
    return found


def _subgraph(place: int, name: str, subgraphs: Sequence[Graph]) -> Graph:
    if not 0 <= place < len(subgraphs):
        raise GraphError(
            f"attribute {name!r} names subgraph {place}, and {len(subgraphs)} stand before it: a "
            "cycle, a forward reference or a wrong number; list subgraphs after what they hold"
        )
    return subgraphs[place]


@cache
def _members(op: Op) -> dict[str, tuple[str, Kind]]:
    """Member and kind of each attribute of a row."""
    return {item.name: (_MEMBERS[item.kind], item.kind) for item in op.attributes}


def _fault(
    op: Op, name: str, member: str | None, kind: Kind | None, doubled: bool
) -> AttributeFault:
    if kind is None:
        known = ", ".join(_members(op)) or "none"
        return AttributeFault(f"unknown attribute {name[:80]!r}; known are: {known}")
    if doubled:
        return AttributeFault(f"attribute {name!r} is given twice")
    got = member.removesuffix("_value") if member else "nothing"
    return AttributeFault(f"attribute {name!r} must be {kind.value}, got {got}")
