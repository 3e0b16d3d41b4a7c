"""Colouring of columns: those of one colour share no row, so that one seed serves them all.

Greedy, the longest columns first or in their own order, whichever takes fewer colours. Each row
holds the colours it has as the bits of one integer, so that the work is that of the entries.

Source: Curtis, Powell & Reid 1974; Coleman & Moré 1983; Gebremedhin, Manne & Pothen 2005,
section 4 (partial distance-2 colouring).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pullback_graph.pattern import Indices, Pattern


@dataclass(frozen=True, slots=True, eq=False)
class Colouring:
    """A colour per column, or per row of a transposed pattern.

    Attributes:
        of: each one's colour, from 0 on.
        count: how many colours.
    """

    of: Indices
    count: int


def coloured(pattern: Pattern, most: int | None = None) -> Colouring | None:
    """A colouring of the columns; None where it takes over `most` colours.

    Those that no place names have colour 0, beside the others.
    """
    lengths = np.diff(pattern.starts)
    fewest = int(lengths.max(initial=0))
    most = pattern.shape[1] if most is None else most
    if fewest > most:
        return None
    by_column, _ = pattern.transposed()
    best: Colouring | None = None
    for order in _orders(by_column, lengths):
        found = _greedy(by_column, order, most)
        if found is not None:
            best, most = found, found.count - 1
        if most < fewest or fewest == pattern.shape[1]:
            break
    return best


def _orders(by_column: Pattern, lengths: Indices) -> list[Indices]:
    """As they stand, and by how many other columns each shares a row with, at most."""
    shared = np.concatenate([[0], np.cumsum(lengths[by_column.columns] - 1)])
    degrees = shared[by_column.starts[1:]] - shared[by_column.starts[:-1]]
    return [np.arange(by_column.shape[0]), np.argsort(-degrees, kind="stable")]


def _greedy(by_column: Pattern, order: Indices, most: int) -> Colouring | None:
    """Each column in turn takes the first colour that none of its rows has."""
    rows, starts = by_column.columns.tolist(), by_column.starts.tolist()
    colours = [0] * by_column.shape[0]
    taken = [0] * by_column.shape[1]
    count = 0
    for column in order.tolist():
        own = rows[starts[column] : starts[column + 1]]
        forbidden = 0
        for row in own:
            forbidden |= taken[row]
        bit = ~forbidden & (forbidden + 1)  # the lowest that is not set
        colour = bit.bit_length() - 1
        if colour >= most:
            return None
        if own and colour >= count:
            count = colour + 1
        colours[column] = colour
        for row in own:
            taken[row] |= bit
    return Colouring(np.array(colours, np.int64), count)


def alone_in_row(pattern: Pattern, colours: Sequence[int] | Indices, count: int) -> Indices:
    """Per place, whether no other place of its row has a column of the same colour."""
    keys = pattern.rows * max(count, 1) + np.asarray(colours)[pattern.columns]
    _, place, times = np.unique(keys, return_inverse=True, return_counts=True)
    alone: Indices = times[place] == 1
    return alone
