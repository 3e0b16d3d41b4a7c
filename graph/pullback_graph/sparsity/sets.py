"""Sets of columns by number, and the union of many: what every element of a value depends on.

Elements share sets: what broadcasts or is copied names the same set again. Set 0 is the empty one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pullback_graph.pattern import Indices

MAX_ELEMENTS = 1 << 26
"""Elements of one value that are followed, each with a number of eight bytes."""
ELEMENTS_AN_ENTRY = 8
"""Nor more than so many for each entry that its sets may hold."""


class TooDense(Exception):
    """A value has more elements, or its sets came to hold more entries, than are followed."""


@dataclass(frozen=True, slots=True, eq=False)
class Sets:
    """Set k holds the columns `columns[starts[k]:starts[k + 1]]`, ascending, each once."""

    starts: Indices
    columns: Indices

    def __len__(self) -> int:
        return len(self.starts) - 1

    @classmethod
    def singletons(cls, first: int, count: int) -> Sets:
        """The empty set, then one for each of `count` columns from `first` on."""
        starts = np.concatenate([[0], np.arange(count + 1)])
        return cls(starts, np.arange(first, first + count))

    def entries(self, numbers: Indices) -> tuple[Indices, Indices]:
        """Of some sets in turn: how many columns each has, and all those columns."""
        firsts = self.starts[numbers]
        counts = self.starts[numbers + 1] - firsts
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        places = np.arange(total) + np.repeat(firsts - ends + counts, counts)
        return counts, self.columns[places]


class Members(NamedTuple):
    """Sets of one table that go into others: set `numbers[i]` into the one called `targets[i]`."""

    targets: Indices
    numbers: Indices
    sets: Sets


@dataclass(frozen=True, slots=True, eq=False)
class Dependence:
    """What each element of a value depends on: set `numbers[i]` for element i."""

    numbers: Indices
    sets: Sets

    @property
    def entries(self) -> int:
        """Columns of all sets together."""
        return len(self.sets.columns)


def union(parts: Sequence[Members], count: int, limit: int) -> Dependence:
    """For each of `count` targets the union of its members; the empty set where it has none.

    Raises:
        TooDense: they would hold more than `limit` entries.
    """
    parts = [part for part in map(_without_empty, parts) if len(part.targets)]
    if not parts:
        return Dependence(np.zeros(count, np.int64), Sets.singletons(0, 0))
    targets = np.concatenate([part.targets for part in parts])
    if np.bincount(targets, minlength=count).max() <= 1:
        return _chosen(parts, count, limit)
    if len(parts) == 2 and _alike(*parts):
        return union(parts[:1], count, limit)
    return _merged(parts, count, limit)


def _without_empty(part: Members) -> Members:
    kept = part.numbers > 0
    if kept.all():
        return part
    return Members(part.targets[kept], part.numbers[kept], part.sets)


def _alike(one: Members, other: Members) -> bool:
    """Whether two parts say the same: both operands of x * x, say."""
    return (
        one.sets is other.sets
        and np.array_equal(one.targets, other.targets)
        and np.array_equal(one.numbers, other.numbers)
    )


def _chosen(parts: Sequence[Members], count: int, limit: int) -> Dependence:
    """Where no target has two members: the members themselves, in one table."""
    numbers = np.zeros(count, np.int64)
    tables = list({id(part.sets): part.sets for part in parts}.values())
    if len(tables) == 1:
        for part in parts:
            numbers[part.targets] = part.numbers
        return Dependence(numbers, tables[0])
    starts, columns, first = [np.zeros(2, np.int64)], [], 1
    total = 0
    for table in tables:
        own = [part for part in parts if part.sets is table]
        used, places = np.unique(
            np.concatenate([part.numbers for part in own]), return_inverse=True
        )
        counts, entries = table.entries(used)
        numbers[np.concatenate([part.targets for part in own])] = places + first
        starts.append(total + np.cumsum(counts))
        columns.append(entries)
        first, total = first + len(used), total + len(entries)
        _check(total, limit)
    return Dependence(numbers, Sets(np.concatenate(starts), np.concatenate(columns)))


def _merged(parts: Sequence[Members], count: int, limit: int) -> Dependence:
    """The general case; targets that have the very same members share their union."""
    shared = _same_members(parts, count)
    if shared is not None:
        first, place = shared
        targets = np.full(count, -1)
        targets[first] = np.arange(len(first))
        kept = [_renamed(part, targets) for part in parts]
        return Dependence(place + 1, _united(kept, len(first), limit))
    return Dependence(np.arange(1, count + 1), _united(parts, count, limit))


def _same_members(parts: Sequence[Members], count: int) -> tuple[Indices, Indices] | None:
    """Of two parts that each have one member for every target: one target of each pair of members.

    Returns:
        Those targets, and for each of all targets the position of the one like it; None otherwise.
    """
    if len(parts) != 2 or any([len(part.targets) != count for part in parts]):
        return None
    keys = np.empty((2, count), np.int64)
    for row, part in zip(keys, parts, strict=True):
        row[part.targets] = part.numbers
    if len(parts[0].sets) > count or len(parts[1].sets) > count:
        return None  # about as many sets as targets: hardly two are alike
    _, first, place = np.unique(
        keys[0] * len(parts[1].sets) + keys[1], return_index=True, return_inverse=True
    )
    return first, place


def _renamed(part: Members, names: Indices) -> Members:
    """The part with targets by other names; without those that have none."""
    targets = names[part.targets]
    kept = targets >= 0
    return Members(targets[kept], part.numbers[kept], part.sets)


def _united(parts: Sequence[Members], count: int, limit: int) -> Sets:
    """The empty set, then the union of each target's members: all entries sorted at once."""
    width = 1 + max([int(part.sets.columns.max(initial=0)) for part in parts])
    keys, total = [], 0
    for targets, numbers, sets in map(_distinct, parts):
        total += int((sets.starts[numbers + 1] - sets.starts[numbers]).sum())
        _check(total, limit)
        counts, columns = sets.entries(numbers)
        keys.append(np.repeat(targets, counts) * width + columns)
    found = _sorted_once(np.concatenate(keys))
    targets = found // width
    starts = np.zeros(count + 2, np.int64)
    np.cumsum(np.bincount(targets, minlength=count), out=starts[2:])
    return Sets(starts, found - targets * width)


def _sorted_once(keys: Indices) -> Indices:
    """Ascending, each once: what np.unique gives, which hashes, and takes fifty times as long."""
    found = np.sort(keys)
    is_new = np.ones(len(found), np.bool_)
    np.not_equal(found[1:], found[:-1], out=is_new[1:])
    return found[is_new]


def _distinct(part: Members) -> Members:
    """Without pairs that come twice: many elements of a sum may share one set."""
    if len(part.sets) > len(part.targets):
        return part
    count = len(part.sets)
    pairs = _sorted_once(part.targets * count + part.numbers)
    if len(pairs) == len(part.targets):
        return part
    return Members(pairs // count, pairs % count, part.sets)


def check_size(count: int, limit: int) -> None:
    """Refuse to follow so many elements of a value.

    Raises:
        TooDense: they are too many, beside that limit of entries.
    """
    allowed = min(MAX_ELEMENTS, ELEMENTS_AN_ENTRY * limit)
    if count > allowed:
        raise TooDense(f"a value has {count} elements, and {allowed} are followed")


def _check(entries: int, limit: int) -> None:
    if entries > limit:
        raise TooDense(f"over {limit} places may differ from zero")
