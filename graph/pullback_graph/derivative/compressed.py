"""Compressed Jacobians: a seed for each colour of columns (or rows), and every place read from it.

Source: Curtis, Powell & Reid 1974; for symmetric ones Coleman & Moré 1984.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, product

import numpy as np

from pullback_graph.builder import Builder
from pullback_graph.derivative.blocks import Pair, Problem
from pullback_graph.derivative.draft import Draft
from pullback_graph.derivative.forward import push
from pullback_graph.derivative.linear_part import LinearPart
from pullback_graph.derivative.many_seeds import Seeds, apply_to_many, check_passes
from pullback_graph.derivative.positions import taken_at
from pullback_graph.derivative.reverse import pull
from pullback_graph.ops.leading import reshaped
from pullback_graph.pattern import Indices, Pattern, pattern_of
from pullback_graph.ref import Ref, do
from pullback_graph.sparsity import Colouring, coloured, star_coloured
from pullback_graph.sparsity.star import readable, symmetric_part
from pullback_graph.types import ArrayType

MANY_SEEDS = 4
"""Colours from which on one mapped pass takes them all."""

CLEAR = 8
"""How many times as many colours make a mode the dearer one without a look at the passes."""


@dataclass(frozen=True, slots=True)
class Block:
    """The block of one output by one input: its pattern, and the values, or None where all zero."""

    pattern: Pattern
    values: Ref | None


@dataclass(frozen=True)
class Compression:
    """One pass that gives a whole Jacobian, compressed.

    Attributes:
        forward: seeds go into the inputs, else into the outputs.
        elements: per place of the pattern, the element of what comes out where it is read.
        colours: per place, the colour whose seed shows it there.
    """

    pattern: Pattern
    part: LinearPart
    forward: bool
    colouring: Colouring
    elements: Indices
    colours: Indices

    @property
    def mode(self) -> str:
        """Its name."""
        return "sparse forward" if self.forward else "sparse reverse"

    @property
    def reason(self) -> str:
        """The numbers that speak for it."""
        count, (rows, columns) = self.colouring.count, self.pattern.shape
        seeded = f"{columns} columns" if self.forward else f"{rows} rows"
        return f"{count} colour(s) of {seeded}, {self.pattern.count} of {rows} x {columns} places"

    @property
    def work(self) -> float:
        """The estimated time of its pass; see `LinearPart.work`."""
        return self.part.work(self.colouring.count)

    def blocks(self, draft: Draft, problem: Problem) -> Mapping[Pair, Block]:
        """The values of every block."""
        flat, types = self._flat(draft), problem.graph.types
        positions = self._positions([types[number].size for number in self.part.results])
        found: dict[Pair, Block] = {}
        for (value, index), own, pattern in _cut(problem, self.pattern):
            values = None
            if flat is not None and pattern.count:
                values, dtype = taken_at(flat, positions[own]), types[value].dtype
                values = values if values.dtype == dtype else do.astype(values, dtype=dtype)
            found[value, index] = Block(pattern, values)
        return found

    def _flat(self, draft: Draft) -> Ref | None:
        """The images of all seeds in a row: result after result, colour after colour."""
        count = self.colouring.count
        if count == 0:
            return None
        types = [draft.graph.types[number] for number in self.part.seeds]
        ends = list(accumulate([type.size for type in types]))
        own = [
            self.colouring.of[end - type.size : end].reshape(type.shape)
            for type, end in zip(types, ends, strict=True)
        ]

        def seeds(start: int, stop: int) -> list[Ref]:
            return [
                indicator(draft.builder, colours, type, start, stop)
                for colours, type in zip(own, types, strict=True)
            ]

        if count < MANY_SEEDS:
            images = self._one_by_one(draft, seeds)
        else:
            images = apply_to_many(self.part, draft.values, count, seeds)
        return _in_a_row(draft, self.part, images, count)

    def _one_by_one(self, draft: Draft, seeds: Seeds) -> list[Ref | None]:
        """The images of a few seeds, which share what they can, stacked."""
        part = self.part
        check_passes(self.colouring.count, len(draft.graph.nodes))
        columns: list[list[Ref | None]] = [[] for _ in part.results]
        for colour in range(self.colouring.count):
            own = {
                number: reshaped(seed, seed.shape[1:])
                for number, seed in zip(part.seeds, seeds(colour, colour + 1), strict=True)
            }
            found = self._swept(draft, own)
            for column, image in zip(columns, found, strict=True):
                column.append(image)
        return [_stacked(column) for column in columns]

    def _swept(self, draft: Draft, seeds: Mapping[int, Ref]) -> list[Ref | None]:
        """The images of one seed for each value that takes one."""
        if self.forward:
            tangents = push(draft.builder, draft.graph, draft.values, seeds)
            return [tangents[number] for number in self.part.results]
        return pull(draft.builder, draft.graph, draft.values, seeds, self.part.results)

    def _positions(self, sizes: Sequence[int]) -> Indices:
        """Where in the flat images each place is read."""
        ends = np.cumsum(sizes)
        owner = np.searchsorted(ends, self.elements, side="right")
        firsts, own = (ends - sizes)[owner], np.asarray(sizes)[owner]
        count = self.colouring.count
        positions: Indices = firsts * count + self.colours * own + self.elements - firsts
        return positions


def _stacked(images: Sequence[Ref | None]) -> Ref | None:
    """Images along a new leading axis; one is zero, by structure, only where all are."""
    given = [image for image in images if image is not None]
    assert len(given) in (0, len(images)), "all seeds go into the same values"
    if len(given) < 2:
        return reshaped(given[0], (1, *given[0].shape)) if given else None
    stacked: Ref = do.stack(*given, axis=0)
    return stacked


def _in_a_row(
    draft: Draft, part: LinearPart, images: Sequence[Ref | None], count: int
) -> Ref | None:
    """The images flat, one after the other; zeros for those that are zero; None if all are."""
    given = [image for image in images if image is not None]
    if not given:
        return None
    pieces = []
    for number, image in zip(part.results, images, strict=True):
        size = count * draft.graph.types[number].size
        if image is None:
            zero = draft.builder.constant(np.zeros((), given[0].dtype))
            image = do.broadcast_to(zero, shape=(size,))
        pieces.append(reshaped(image, (size,)))
    if len(pieces) == 1:
        return pieces[0]
    widest = max([piece.dtype for piece in pieces], key=lambda dtype: dtype.itemsize)
    pieces = [p if p.dtype == widest else do.astype(p, dtype=widest) for p in pieces]
    joined: Ref = do.concat(*pieces, axis=0)
    return joined


def indicator(builder: Builder, colours: Indices, type: ArrayType, start: int, stop: int) -> Ref:
    """Per colour from start to stop, ones where the elements of a type have it, zeros elsewhere.

    Axes along which the colours are the same are kept short until the end.

    Returns:
        An array of shape (stop - start, *shape).
    """
    for axis in range(colours.ndim):
        first = colours.take([0], axis) if colours.shape[axis] else colours
        if np.array_equal(np.broadcast_to(first, colours.shape), colours):
            colours = first
    kind = np.min_scalar_type(max(stop, int(colours.max(initial=0))))
    numbers = np.arange(start, stop, dtype=kind).reshape(-1, *[1] * colours.ndim)
    same = do.equal(builder.constant(numbers), builder.constant(colours.astype(kind)))
    ones = do.astype(same, dtype=type.dtype)
    whole = (stop - start, *type.shape)
    return ones if ones.shape == whole else do.broadcast_to(ones, shape=whole)


def _cut(problem: Problem, pattern: Pattern) -> Iterator[tuple[Pair, Indices, Pattern]]:
    """For each pair which places of the whole pattern are its own, and the pattern they make."""
    heights, widths = (
        np.array([problem.graph.types[number].size for number in numbers])
        for numbers in (problem.values, problem.indices)
    )
    bottoms, rights = np.cumsum(heights), np.cumsum(widths)
    block = np.searchsorted(bottoms, pattern.rows, side="right") * len(widths)
    block += np.searchsorted(rights, pattern.columns, side="right")
    order = np.argsort(block, kind="stable")
    ends = np.cumsum(np.bincount(block, minlength=len(heights) * len(widths)))
    pairs = product(range(len(heights)), range(len(widths)))
    for (i, j), own in zip(pairs, np.split(order, ends[:-1]), strict=True):
        rows = pattern.rows[own] - (bottoms[i] - heights[i])
        columns = pattern.columns[own] - (rights[j] - widths[j])
        shape = int(heights[i]), int(widths[j])
        yield (problem.values[i], problem.indices[j]), own, pattern_of(rows, columns, shape)


def compression(
    problem: Problem, pattern: Pattern, *, symmetric: bool, most: int | None = None
) -> Compression | None:
    """The cheapest compression of a pattern; None where each takes over `most` colours."""
    if symmetric:
        return _symmetric(problem, pattern, most)
    by_column = coloured(pattern, most)
    by_row = _coloured_rows(pattern, by_column, most)
    choices = [
        make(problem, pattern, colouring)
        for make, colouring, other in ((_ahead, by_column, by_row), (_back, by_row, by_column))
        if colouring is not None and not _is_dear(colouring, other)
    ]
    return min(choices, key=lambda choice: choice.work, default=None)


def _coloured_rows(
    pattern: Pattern, by_column: Colouring | None, most: int | None
) -> Colouring | None:
    """The same of rows, unless it takes so many colours that columns are the choice."""
    transposed, _ = pattern.transposed()
    if transposed.same_places(pattern):
        return by_column
    limits = [most] if by_column is None else [most, max(by_column.count, 1) * CLEAR]
    return coloured(transposed, min([n for n in limits if n is not None], default=None))


def _is_dear(colouring: Colouring, other: Colouring | None) -> bool:
    return other is not None and max(other.count, 1) * CLEAR <= colouring.count


def _ahead(problem: Problem, pattern: Pattern, colouring: Colouring) -> Compression:
    colours = colouring.of[pattern.columns]
    part = problem.ahead_at_once()
    return Compression(pattern, part, True, colouring, pattern.rows, colours)


def _back(problem: Problem, pattern: Pattern, colouring: Colouring) -> Compression:
    colours, columns = colouring.of[pattern.rows], pattern.columns.astype(np.int64)
    return Compression(pattern, problem.back_at_once(), False, colouring, columns, colours)


def _symmetric(problem: Problem, pattern: Pattern, most: int | None) -> Compression | None:
    """Forward, by whichever colouring takes fewer colours."""
    pattern = symmetric_part(pattern)
    star = star_coloured(pattern, most)
    plain = coloured(pattern, most if star is None else star.count)
    if plain is not None:
        return _ahead(problem, pattern, plain)
    if star is None:
        return None
    rows, columns = readable(pattern, star)
    return Compression(pattern, problem.ahead_at_once(), True, star, rows, star.of[columns])
