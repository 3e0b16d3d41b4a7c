"""Colouring for symmetric matrices: of each two places mirrored, one seed gives at least one.

A restricted star colouring: neighbours differ, and two neighbours of one vertex have the same
colour only where that vertex has a lower one. So no path of four vertices has two colours, and
every place is read directly, here or in its mirror image.

Source: Powell & Toint 1979; Coleman & Moré 1984; Gebremedhin, Manne & Pothen 2005, section 5.
"""

from __future__ import annotations

import numpy as np

from pullback_graph.pattern import Indices, Pattern, pattern_of
from pullback_graph.sparsity.colouring import Colouring, alone_in_row


def symmetric_part(pattern: Pattern) -> Pattern:
    """The places whose mirror images are places too; of a symmetric matrix the others are zero."""
    size = pattern.shape[0]
    mirrored, _ = pattern.transposed()
    if mirrored.same_places(pattern):
        return pattern
    places, images = _numbers(pattern), _numbers(mirrored)
    both = np.intersect1d(places, images, assume_unique=True)
    return pattern_of(both // size, both % size, pattern.shape)


def _numbers(pattern: Pattern) -> Indices:
    """The places of a pattern, counted through the whole matrix."""
    numbers: Indices = pattern.rows * pattern.shape[1] + pattern.columns
    return numbers


def star_coloured(pattern: Pattern, most: int | None = None) -> Colouring | None:
    """A colouring of a symmetric pattern; None where it takes over `most` colours."""
    size = pattern.shape[0]
    most = size if most is None else most
    degrees = np.diff(pattern.starts)
    best: Colouring | None = None
    for order in (np.argsort(-degrees, kind="stable"), np.arange(size)):
        found = _greedy(pattern, order, most)
        if found is not None:
            best, most = found, found.count - 1
    return best


def _greedy(pattern: Pattern, order: Indices, most: int) -> Colouring | None:
    """Each vertex in turn takes the first colour that the rule leaves it."""
    columns, starts = pattern.columns.tolist(), pattern.starts.tolist()
    colours = [-1] * pattern.shape[0]
    around = [0] * pattern.shape[0]  # the colours of each vertex's neighbours, as bits
    count = 0
    for vertex in order.tolist():
        own = columns[starts[vertex] : starts[vertex + 1]]
        forbidden = 0
        for other in own:
            colour = colours[other]
            if colour < 0:
                if other != vertex:
                    forbidden |= around[other]
            else:
                bit = 1 << colour
                forbidden |= bit | (around[other] & (bit - 1))
        bit = ~forbidden & (forbidden + 1)  # the lowest that is not set
        colour = bit.bit_length() - 1
        if colour >= most:
            return None
        if own and colour >= count:
            count = colour + 1
        colours[vertex] = colour
        for other in own:
            if other != vertex:
                around[other] |= bit
    return Colouring(np.array(colours, np.int64), count)


def readable(pattern: Pattern, colouring: Colouring) -> tuple[Indices, Indices]:
    """Where each place is read: the row, and the column whose colour's seed shows it alone there.

    The place itself, or its mirror image where other columns of its colour meet it in its row.
    """
    alone = alone_in_row(pattern, colouring.of, colouring.count)
    rows, columns = pattern.rows, pattern.columns.astype(np.int64)
    return np.where(alone, rows, columns), np.where(alone, columns, rows)
