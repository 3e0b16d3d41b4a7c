"""The axes rules by their meaning: a row run on shards and put together is the row run whole."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from typing import NamedTuple

import numpy as np
import pytest

from pullback_graph.attributes import resized
from pullback_graph.op import Axes, Factors
from pullback_graph.resize import with_bodies_for
from pullback_graph.table import OPS
from pullback_graph.types import ArrayType, Shape
from tests.graph.drawing import (
    ALL_CASES,
    Case,
    NDArray,
    draw,
    operand_types,
    result_types,
    results_of,
)
from tests.graph.interpreter import run_row

JOINS = {"add", "maximum", "minimum", "multiply"}
PROPORTIONAL = {"reshape", "repeat"}
"""Rows whose merged axes share a factor: cutting one cuts the other in proportion."""


def axes_of(case: Case) -> Axes:
    """What the row's axes rule answers for the case."""
    return case.op.axes(operand_types(case), result_types(case), **case.attributes)


def factor_sizes(case: Case, axes: Axes) -> dict[int, set[int]]:
    """The sizes of the axes of each factor: one size, or sizes in proportion (a reshape's)."""
    sizes: dict[int, set[int]] = {}
    shapes = [*case.shapes, *[type.shape for type in result_types(case)]]
    for own, shape in zip((*axes.operands, *axes.results), shapes, strict=True):
        assert len(own) == len(shape)
        for factor, size in zip(own, shape, strict=True):
            if factor is not None:
                sizes.setdefault(factor, set()).add(size)
    return sizes


class Part(NamedTuple):
    """Units start:stop of the `units` that every axis of a factor is cut into."""

    factor: int
    units: int
    start: int
    stop: int

    def of(self, size: int) -> slice:
        """The elements of an axis of the factor."""
        return slice(self.start * size // self.units, self.stop * size // self.units)


def cut(array: NDArray, own: Factors, part: Part) -> NDArray:
    """The part of an array along the axes of one factor."""
    places = zip(own, array.shape, strict=True)
    return array[tuple(part.of(n) if f == part.factor else slice(None) for f, n in places)]


def shard(case: Case, axes: Axes, arrays: Sequence[NDArray], part: Part) -> list[NDArray]:
    """The row's results on the operands' parts, with its attributes resized."""
    parts = [cut(a, own, part) for a, own in zip(arrays, axes.operands, strict=True)]
    results = zip(result_types(case), axes.results, strict=True)
    wanted = [cut(np.empty(type.shape), own, part).shape for type, own in results]
    attributes = resized(
        case.op.attributes, case.attributes, own_shape(arrays), own_shape(parts), wanted[0]
    )
    types = [t._replace(shape=p.shape) for t, p in zip(operand_types(case), parts, strict=True)]
    attributes = with_bodies_for(case.op, attributes, types)
    assert [t.shape for t in results_of(case.op, types, attributes)] == wanted
    return [np.asarray(z) for z in run_row(case.op, parts, attributes)]


def joined(first: NDArray, last: NDArray, own: Factors, factor: int, axes: Axes) -> NDArray:
    """Two shards' results put together: side by side, or by the row that joins partials."""
    if factor in own:
        return np.concatenate([first, last], axis=own.index(factor))
    (whole,) = run_row(OPS[axes.reduce[factor]], [first, last], {})
    return np.asarray(whole)


@pytest.mark.parametrize("case", ALL_CASES, ids=str)
def test_factors_have_one_size_and_contracted_ones_a_join(case: Case):
    """Axes of one factor are in proportion; a factor in operands only names the row that joins."""
    axes = axes_of(case)
    for sizes in factor_sizes(case, axes).values():
        assert all(size % (gcd(*sizes) or 1) == 0 for size in sizes)
        assert case.op.name in PROPORTIONAL or len(sizes) == 1
    read = {f for own in axes.operands for f in own if f is not None}
    written = [{f for f in own if f is not None} for own in axes.results]
    assert set(axes.reduce) == {f for f in read if not all(f in own for own in written)}
    assert set(axes.reduce.values()) <= JOINS


@pytest.mark.parametrize("case", ALL_CASES, ids=str)
def test_shards_put_together_are_the_whole(case: Case):
    """Cutting any factor in two (unevenly), running both and joining them changes nothing."""
    axes, arrays = axes_of(case), draw(case)
    whole = [np.asarray(z) for z in run_row(case.op, arrays, case.attributes)]
    read = {f for own in axes.operands for f in own if f is not None}
    for factor, sizes in factor_sizes(case, axes).items():
        units = gcd(*sizes)
        if units < 2:
            continue
        if factor not in read:
            check_created(case, axes, arrays, whole, factor, units)
            continue
        first = shard(case, axes, arrays, Part(factor, units, 0, 1))
        last = shard(case, axes, arrays, Part(factor, units, 1, units))
        for z, a, b, own in zip(whole, first, last, axes.results, strict=True):
            together = joined(a, b, own, factor, axes)
            assert together.dtype == z.dtype
            np.testing.assert_allclose(together, z, rtol=1e-12, atol=1e-12, strict=True)


def check_created(
    case: Case,
    axes: Axes,
    arrays: list[NDArray],
    whole: list[NDArray],
    factor: int,
    units: int,
) -> None:
    """A created axis holds the same at every position, so a shorter one is a part of it."""
    head, tail = Part(factor, units, 0, units - 1), Part(factor, units, 1, units)
    shorter = shard(case, axes, arrays, tail)
    for z, a, own in zip(whole, shorter, axes.results, strict=True):
        np.testing.assert_array_equal(a, cut(z, own, tail))
        np.testing.assert_array_equal(cut(z, own, head), cut(z, own, tail))


@pytest.mark.parametrize("case", ALL_CASES, ids=str)
def test_costs_are_sound_and_do_not_shrink(case: Case):
    """FLOPs and bytes are finite, not negative, and no less for twice as long an axis."""
    axes, types = axes_of(case), operand_types(case)
    cost = case.op.cost(types, result_types(case), **case.attributes)
    assert 0 <= cost.flops < np.inf
    assert 0 <= cost.size_bytes < np.inf
    for factor in factor_sizes(case, axes):
        longer = [
            t._replace(shape=doubled(t.shape, own, factor))
            for t, own in zip(types, axes.operands, strict=True)
        ]
        wanted = doubled(result_types(case)[0].shape, axes.results[0], factor)
        attributes = resized(
            case.op.attributes, case.attributes, own_shape(types), own_shape(longer), wanted
        )
        attributes = with_bodies_for(case.op, attributes, longer)
        more = case.op.cost(longer, results_of(case.op, longer, attributes), **attributes)
        assert more.flops >= cost.flops
        assert more.size_bytes >= cost.size_bytes


def own_shape(operands: Sequence[NDArray] | Sequence[ArrayType]) -> Shape:
    """The first operand's shape; a row without operands has none to resize by."""
    return operands[0].shape if operands else ()


def doubled(shape: Shape, own: Factors, factor: int) -> Shape:
    """The shape with the axes of one factor twice as long."""
    return tuple(2 * n if f == factor else n for n, f in zip(shape, own, strict=True))
