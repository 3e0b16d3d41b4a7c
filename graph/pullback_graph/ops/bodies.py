"""What rows with subgraphs share: whether a body fits its operands, and what running it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pullback_graph.errors import AttributeFault, DTypeError, RequestError, ShapeError
from pullback_graph.graph import Graph
from pullback_graph.memory import peak_bytes
from pullback_graph.op import Axes, Cost
from pullback_graph.types import ArrayType

Named = Callable[[int], str]
"""What the operand at a position is called in an error."""


def check_inputs(name: str, body: Graph, given: Sequence[ArrayType], named: Named) -> None:
    """Refuse a body whose inputs are not of the types it will be given.

    Raises:
        AttributeFault: it takes another number of inputs.
        ShapeError, DTypeError: the types differ.
    """
    if len(body.inputs) != len(given):
        raise AttributeFault(f"{name!r} takes {len(body.inputs)} input(s), it gets {len(given)}")
    for position, (item, type) in enumerate(zip(body.inputs, given, strict=True)):
        if item.type != type:
            raise mismatch(
                f"{named(position)} is {type}, {name!r} takes {item.type} for {item.name!r}",
                type,
                item.type,
            )


def mismatch(message: str, one: ArrayType, other: ArrayType) -> RequestError:
    """The error for two types that should be one; it advises by what differs."""
    if one.dtype != other.dtype:
        return DTypeError(f"{message}; cast one with astype")
    return ShapeError(f"{message}; broadcast or reshape one")


def output_types(body: Graph) -> tuple[ArrayType, ...]:
    """The types of all outputs."""
    types = body.types
    return tuple([types[item.value] for item in body.outputs])


def check_counts(**counts: int) -> None:
    """Refuse negative counts of operands.

    Raises:
        AttributeFault: one is negative.
    """
    for name, count in counts.items():
        if count < 0:
            raise AttributeFault(f"attribute {name!r} is {count}; give a count, zero or more")


def repeated_cost(body: Graph, times: float, moved_bytes: float) -> Cost:
    """What running a body so often takes, with the bytes moved in and out besides."""
    cost = body.cost
    return Cost(
        times * cost.flops, times * cost.size_bytes + moved_bytes, max(1.0, times * cost.calls)
    )


def working_bytes(*bodies: Graph) -> int:
    """Bytes alive while one of the bodies runs, what it is given included."""
    return max([peak_bytes(body) for body in bodies])


def blocked(operands: Sequence[ArrayType], results: Sequence[ArrayType], **_: Any) -> Axes:
    """Every axis stays whole."""
    return Axes(
        tuple([(None,) * len(type.shape) for type in operands]),
        tuple([(None,) * len(type.shape) for type in results]),
    )
