"""Operands for every row of the operator table, drawn from the row's own domain.

A row without examples broadcasts, so it gets the shapes below. Operand number i is drawn from
interval number i, the intervals taken in turn where a variadic row has more operands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from pullback_graph.attributes import canonical
from pullback_graph.op import Interval, Op
from pullback_graph.table import OPS
from pullback_graph.text import parse
from pullback_graph.types import (
    BOOL,
    COMPLEX128,
    FLOAT64,
    INT64,
    ArrayType,
    DType,
    Shape,
    complex_dtype,
)

NDArray = np.ndarray[Any, Any]

BROADCASTS: tuple[tuple[Shape, ...], ...] = (
    ((2, 3),),
    ((2, 3), (3,)),
    ((3,), (2, 3)),
    ((2, 1), (1, 3)),
    ((), (3,)),
    ((),),
    ((0,), (1,)),
    ((2, 1), (2, 0)),
)
"""Shapes that broadcast with each other; operand number i takes shape i, the shapes in turn."""


class Case(NamedTuple):
    """A row with operand shapes and attributes that it accepts."""

    op: Op
    shapes: tuple[Shape, ...]
    attributes: Mapping[str, Any]

    def __str__(self) -> str:
        shapes = "_".join("x".join(map(str, shape)) or "0d" for shape in self.shapes)
        listed = "_".join(
            f"{name}={value}"
            for name, value in self.attributes.items()
            if name not in self.op.graphs
        )
        return f"{self.op.name}-{shapes}-{listed}".rstrip("-").replace(" ", "")


def cases(op: Op) -> list[Case]:
    """The examples of a row, or broadcasting shapes."""
    examples = op.domain.examples
    if examples:
        return [
            Case(op, example.shapes, canonical(op.attributes, _parsed(op, example.attributes)))
            for example in examples
        ]
    count = len(op.domain.operands)
    chosen = [tuple(shapes[i % len(shapes)] for i in range(count)) for shapes in BROADCASTS]
    return [Case(op, shapes, {}) for shapes in dict.fromkeys(chosen)]


def _parsed(op: Op, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes with subgraphs, which a row's examples give as text, as graphs."""

    def graphs(value: Any) -> Any:
        return tuple(map(parse, value)) if isinstance(value, tuple) else parse(value)

    return {
        name: graphs(value) if name in op.graphs else value for name, value in attributes.items()
    }


ALL_CASES: list[Case] = [case for op in OPS.values() for case in cases(op)]
"""Every case of every row."""


def spread(chosen: Sequence[Case], count: int = 4) -> list[Case]:
    """At most `count` cases of each row, evenly among them: for tests that compile each case."""
    by_row: dict[str, list[Case]] = {}
    for case in chosen:
        by_row.setdefault(case.op.name, []).append(case)
    picked = []
    for own in by_row.values():
        few = min(count, len(own))
        picked += [own[i * len(own) // few] for i in range(few)]
    return picked


def intervals(case: Case) -> list[Interval]:
    """Where each operand is drawn from."""
    own = case.op.domain.operands
    return [own[i % len(own)] for i in range(len(case.shapes))]


def operand_types(case: Case, dtype: DType = FLOAT64) -> list[ArrayType]:
    """The operands' types, those drawn from the reals having `dtype`; complex ones, that of it.

    Subgraphs are for float64, so a row that holds some has operands of float64.
    """
    dtype = FLOAT64 if case.op.graphs else dtype
    wide = complex_dtype(dtype) if dtype.kind in "fc" else COMPLEX128
    dtypes = [
        BOOL if own.boolean else INT64 if own.integer else wide if own.complex else dtype
        for own in intervals(case)
    ]
    return [ArrayType(d, shape) for d, shape in zip(dtypes, case.shapes, strict=True)]


def result_types(case: Case, dtype: DType = FLOAT64) -> tuple[ArrayType, ...]:
    """The results' types, by the row's type rule."""
    return results_of(case.op, operand_types(case, dtype), case.attributes)


def results_of(
    op: Op, operands: Sequence[ArrayType], attributes: Mapping[str, Any]
) -> tuple[ArrayType, ...]:
    """What the type rule answers, always as a tuple of types."""
    types = op.type(*operands, **attributes)
    return (types,) if isinstance(types, ArrayType) else types


def generator(case: Case, seed: int = 0) -> np.random.Generator:
    """Random numbers that depend on the case and the seed alone."""
    return np.random.default_rng([seed, crc32(str(case).encode())])


def draw(
    case: Case, dtype: DType = FLOAT64, *, seed: int = 0, special: bool = False
) -> list[NDArray]:
    """Operands inside the domain, all numbers apart; with `special`, special points among them.

    Of complex operands the real parts are so drawn, the imaginary ones from (-1, 1).
    """
    rng = generator(case, seed)
    apart = _apart(rng, sum(int(np.prod(shape)) for shape in case.shapes))
    arrays: list[NDArray] = []
    for interval, type in zip(intervals(case), operand_types(case, dtype), strict=True):
        if interval.boolean:
            array: NDArray = np.asarray(rng.random(type.shape) < 0.5)
        elif interval.integer:
            low, high = int(interval.low), int(interval.high)
            array = np.asarray(rng.integers(low, high, type.shape, endpoint=True))
        else:
            units = np.array([next(apart) for _ in range(type.size)]).reshape(type.shape)
            array = interval.low + (interval.high - interval.low) * units
            if special and interval.special:
                chosen = rng.choice(interval.special, type.shape)
                array = np.where(rng.random(type.shape) < 0.5, chosen, array)
            if interval.diagonal:
                array = array + interval.diagonal * diagonal_places(type.shape)
        if type.is_complex:
            array = array + 1j * rng.uniform(-1.0, 1.0, type.shape)
        arrays.append(np.asarray(array, type.dtype).reshape(type.shape))
    return arrays


def diagonal_places(shape: Shape) -> NDArray:
    """Matrices with 1, 2, 3, ... on the diagonal."""
    rows, columns = shape[-2:]
    return np.eye(rows, columns) * np.arange(1, rows + 1)[:, None]


def _apart(rng: np.random.Generator, count: int) -> Iterator[float]:
    """Numbers between 0 and 1 in random order, no two closer than half an even spacing."""
    return iter((rng.permutation(count) + rng.uniform(0.25, 0.75, count)) / max(count, 1))


def special_operands(op: Op) -> tuple[Case, list[NDArray]] | None:
    """Every combination of an elementwise row's special points (and one ordinary one), or None."""
    domain = op.domain
    if domain.examples or not any(interval.special for interval in domain.operands):
        return None
    points = [
        (False, True) if interval.boolean else (*interval.special, _ordinary(interval))
        for interval in domain.operands
    ]
    columns = zip(*product(*points), strict=True)
    arrays = [np.array(column) for column in columns]
    return Case(op, tuple(array.shape for array in arrays), {}), arrays


def _ordinary(interval: Interval) -> float:
    return interval.low + 0.6180339887 * (interval.high - interval.low)
