"""The structure of rows with subgraphs: their bodies followed, a loop's step by step.

Each rule is `(operands, inside, **attributes)` -> what each result depends on; None leaves the row
to its axes. A loop that would take too many steps is left so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from pullback_graph.graph import Graph
from pullback_graph.sparsity.sets import Dependence, Members
from pullback_graph.types import ArrayType

MAX_ROUNDS = 100
"""Steps after which a loop without a bound must depend on nothing new."""


class Given(NamedTuple):
    """An operand: its type, what it depends on if anything, and its array where that is known."""

    type: ArrayType
    dependence: Dependence | None
    array: Any | None


Found: TypeAlias = "list[Dependence | None]"
"""What each result depends on."""


class Inside(Protocol):
    """What a rule may ask of the propagation around it."""

    def body(self, graph: Graph, operands: Sequence[Given]) -> Found:
        """What the outputs of a body depend on."""

    def may_visit(self, nodes: int) -> bool:
        """Whether so many nodes of bodies may still be followed."""

    def joined(self, parts: Sequence[Members], count: int) -> Dependence | None:
        """The union of members; None where it is of nothing."""


def cond(operands: Sequence[Given], inside: Inside, *, branches: Sequence[Graph]) -> Found:
    """Whichever branch is chosen: what one of them depends on."""
    found = [inside.body(branch, operands[1:]) for branch in branches]
    return [_either(inside, own) for own in zip(*found, strict=True)]


def scan(
    operands: Sequence[Given],
    inside: Inside,
    *,
    body: Graph,
    consts: int,
    carries: int,
    sums: int,
    length: int,
    reverse: bool,
    **_: Any,
) -> Found | None:
    """Step by step: carries go on, entries are their step's, sums have a part of every step."""
    first = consts + carries
    steps = operands[first].type.shape[0] if len(operands) > first else length
    if not inside.may_visit(steps * body.node_count):
        return None
    state = list(operands[consts:first])
    entries: list[Found] = [[]] * steps
    for step in reversed(range(steps)) if reverse else range(steps):
        own = [_entry(operand, step) for operand in operands[first:]]
        found = inside.body(body, [*operands[:consts], *state, *own])
        state = [Given(item.type, made, None) for item, made in zip(state, found, strict=False)]
        entries[step] = found[carries:]
    last = len(body.outputs) - carries - sums
    rest = [
        _stacked(inside, [own[k] for own in entries])
        if k < last
        else _either(inside, [own[k] for own in entries])
        for k in range(last + sums)
    ]
    return [*[item.dependence for item in state], *rest]


def while_loop(
    operands: Sequence[Given],
    inside: Inside,
    *,
    cond: Graph,
    body: Graph,
    consts: int,
    max_steps: int,
    keep: bool,
) -> Found | None:
    """As many steps as bring something new; each may be the last."""
    state = [Given(item.type, item.dependence, None) for item in operands[consts:]]
    for _ in range(MAX_ROUNDS):
        if not inside.may_visit(body.node_count):
            return None
        made = inside.body(body, [*operands[:consts], *state])
        after = [
            _either(inside, [item.dependence, one]) for item, one in zip(state, made, strict=True)
        ]
        grown = [_extent(one) for one in after] != [_extent(item.dependence) for item in state]
        state = [item._replace(dependence=one) for item, one in zip(state, after, strict=True)]
        if not grown:
            found = [item.dependence for item in state]
            kept = [_stacked(inside, [one] * max_steps) for one in found]
            return [*found, None, *kept] if keep else found
    return None


def custom(
    operands: Sequence[Given],
    inside: Inside,
    *,
    forward: Graph,
    consts: int,
    jvp: Graph | None,
    vjp: Graph | None,
) -> Found | None:
    """By the tangents' graph, where it is the only one given: two might not say the same."""
    if jvp is None or vjp is not None:
        return None
    held = [item._replace(dependence=None) for item in operands]
    moving = [item for item in operands[consts:] if item.type.is_floating]
    tangents = iter(inside.body(jvp, [*held, *moving]))
    types = [forward.types[output.value] for output in forward.outputs]
    return [next(tangents) if type.is_floating else None for type in types]


def _entry(operand: Given, step: int) -> Given:
    """One step's entry of a stacked operand."""
    type = operand.type._replace(shape=operand.type.shape[1:])
    own = operand.dependence
    if own is not None:
        own = Dependence(own.numbers[step * type.size : (step + 1) * type.size], own.sets)
    return Given(type, own, None if operand.array is None else operand.array[step])


def _stacked(inside: Inside, entries: Sequence[Dependence | None]) -> Dependence | None:
    """Entries one after the other; those of nothing have the size of the others."""
    size = max([len(own.numbers) for own in entries if own is not None], default=0)
    parts = [
        Members(np.arange(k * size, (k + 1) * size), own.numbers, own.sets)
        for k, own in enumerate(entries)
        if own is not None
    ]
    return inside.joined(parts, len(entries) * size)


def _either(inside: Inside, found: Sequence[Dependence | None]) -> Dependence | None:
    """What depends on all that any of several values does, element by element."""
    given = [own for own in found if own is not None]
    parts = [Members(np.arange(len(own.numbers)), own.numbers, own.sets) for own in given]
    return inside.joined(parts, len(given[0].numbers)) if given else None


def _extent(own: Dependence | None) -> int:
    """How many columns the elements depend on, counted for each: it grows with what is new."""
    if own is None:
        return 0
    starts = own.sets.starts
    return int((starts[own.numbers + 1] - starts[own.numbers]).sum())
