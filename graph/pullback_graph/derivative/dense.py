"""Dense blocks: a pass starts from the rows of identity matrices, mapped over a leading axis."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

from pullback_graph.builder import Builder
from pullback_graph.derivative.blocks import Blocks, Pair, Problem
from pullback_graph.derivative.draft import Draft
from pullback_graph.derivative.linear_part import LinearPart
from pullback_graph.derivative.many_seeds import apply_to_many
from pullback_graph.ops.leading import cut, reshaped
from pullback_graph.ref import Ref
from pullback_graph.types import ArrayType


def forward(draft: Draft, problem: Problem, parts: list[LinearPart]) -> Blocks:
    """Every block, of columns: the tangents of the outputs for each element of the inputs."""
    blocks: dict[Pair, Ref | None] = {}
    for part in parts:
        images = _images(draft, part, lambda index, value: problem.depends(value, index))
        for (index, value), image in images.items():
            blocks[value, index] = problem.from_columns(image, value, index)
    return blocks


def reverse(draft: Draft, problem: Problem, parts: list[LinearPart]) -> Blocks:
    """Every block, of rows: the cotangents of the inputs for each element of the outputs."""
    blocks: dict[Pair, Ref | None] = {}
    for part in parts:
        for (value, index), image in _images(draft, part, problem.depends).items():
            blocks[value, index] = problem.from_rows(image, value, index)
    return blocks


def seed_count(part: LinearPart, problem: Problem) -> int:
    """How many seeds a part takes: an element each of the values it seeds."""
    return sum([problem.graph.types[number].size for number in part.seeds])


def _images(draft: Draft, part: LinearPart, wanted: Callable[[int, int], bool]) -> dict[Pair, Ref]:
    """Per seeded value and result: the images of the value's elements, (size, *result.shape).

    Those that are zero are left out, and those not `wanted`: of many pairs, few may depend.
    """
    types = [draft.graph.types[number] for number in part.seeds]
    ends = list(accumulate([type.size for type in types]))
    offsets = [end - type.size for end, type in zip(ends, types, strict=True)]

    def seeds(start: int, stop: int) -> list[Ref]:
        return [
            identity(draft.builder, type, start - offset, stop - offset)
            for type, offset in zip(types, offsets, strict=True)
        ]

    found = apply_to_many(part, draft.values, ends[-1], seeds)
    return {
        (seed, result): cut(image, start, stop)
        for seed, start, stop in zip(part.seeds, offsets, ends, strict=True)
        for result, image in zip(part.results, found, strict=True)
        if image is not None and wanted(seed, result)
    }


def identity(builder: Builder, type: ArrayType, start: int, stop: int) -> Ref:
    """Rows start to stop of the identity of a type's elements; rows beyond it are zero.

    Returns:
        An array of shape (stop - start, *shape).
    """
    eye = builder.add("eye", rows=stop - start, columns=type.size, k=start, dtype=type.dtype)
    return reshaped(eye, (stop - start, *type.shape))
