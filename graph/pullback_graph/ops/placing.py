"""Rows that sum operands, each placed somewhere in zeros: the transposes of slicing and indexing.

Such a row takes groups of operands, a group being the indices of a place (if any) and, last, what
stands there. Sums of such nodes are one such node, so that no contribution is padded to full size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

from pullback_graph.errors import ShapeError
from pullback_graph.op import Both, Cost
from pullback_graph.ops.rules import moved_bytes
from pullback_graph.ref import Ref, apply
from pullback_graph.types import ArrayType

Attributes: TypeAlias = Mapping[str, Any]


class Group(NamedTuple):
    """One operand with its place: the group's operands, and the attributes of it alone."""

    operands: Sequence[Any]
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Placing:
    """How a row of this kind is taken apart and put together.

    Attributes:
        name: the row's name.
        own: the attributes that hold entries group after group; the others are common to all.
        groups: `(operands, attributes)` of a node -> its groups.
        gather: `(g, group)` -> what the transpose takes from g for the group's last operand.
    """

    name: str
    own: tuple[str, ...]
    groups: Callable[[Sequence[Any], Attributes], list[Group]]
    gather: Callable[[Ref, Group], Ref]

    @property
    def derivative(self) -> Both:
        """Linear in the last operand of each group; groups without a tangent are left out."""
        return Both(self._jvp, self._vjp)

    def fuse_sum(
        self, operands: Sequence[Sequence[Any]], attributes: Sequence[Attributes]
    ) -> tuple[list[Any], dict[str, Any]]:
        """The sum of several nodes as one node: group after group."""
        merged = dict(attributes[0])
        for name in self.own:
            merged[name] = tuple(chain.from_iterable([given[name] for given in attributes]))
        return list(chain.from_iterable(operands)), merged

    def _jvp(
        self, tangents: Sequence[Ref | None], z: Ref, *operands: Ref, **attributes: Any
    ) -> Any:
        position, kept = -1, []
        for group in self.groups(operands, attributes):
            position += len(group.operands)
            tangent = tangents[position]
            if tangent is not None:
                kept.append(group._replace(operands=[*group.operands[:-1], tangent]))
        if not kept:
            return None
        merged, own = self.fuse_sum([g.operands for g in kept], [g.attributes for g in kept])
        return apply(self.name, *merged, **{**attributes, **own})

    def _vjp(self, g: Ref, z: Ref, *operands: Ref, **attributes: Any) -> list[Ref | None]:
        cotangents: list[Ref | None] = []
        for group in self.groups(operands, attributes):
            cotangents += [None] * (len(group.operands) - 1)
            cotangents.append(self.gather(g, group))
        return cotangents


def placing_cost(operands: Sequence[ArrayType], results: Sequence[ArrayType], **_: Any) -> Cost:
    """An addition per element placed; operands read, result written."""
    return Cost(float(sum(y.size for y in operands)), moved_bytes(operands, results))


def check_groups(operand_count: int, size: int) -> None:
    """Refuse operands that do not come in groups of `size`.

    Raises:
        ShapeError: a group is incomplete.
    """
    if operand_count % size:
        raise ShapeError(
            f"operands come in groups of {size} (indices, then what is placed), got "
            f"{operand_count}; complete the last group"
        )
