"""Random programs for a batch of any length: built at two lengths, they differ in that only.

Shapes are symbolic, so that no choice depends on the length: an axis is `times` elements, or so
many for every element of the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

import numpy as np

from pullback_graph.builder import Builder
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref, do
from pullback_graph.types import FLOAT64, ArrayType, Shape


class Axis(NamedTuple):
    """An axis of `times` elements, times the batch's length where `batched`."""

    times: int
    batched: bool = False


Form = tuple[Axis, ...]
ONE, BATCH = Axis(1), Axis(1, batched=True)
INPUTS: dict[str, Form] = {
    "x": (BATCH, Axis(2), Axis(3)),
    "y": (BATCH,),
    "w": (Axis(3),),
    "b": (),
}


class Value(NamedTuple):
    """A value with its symbolic shape."""

    ref: Ref
    form: Form


class Program:
    """One random program being built for a batch of `length`."""

    def __init__(self, seed: int, length: int) -> None:
        self.random = Random(seed)
        self.length = length
        self.builder = Builder()
        self.values = [
            Value(self.builder.input(name, ArrayType(FLOAT64, self.shape(form))), form)
            for name, form in INPUTS.items()
        ]
        self.values.append(Value(self.builder.constant(np.arange(3.0)), (Axis(3),)))

    def graph(self, steps: int) -> Graph:
        """The program after so many steps that found something to do."""
        while len(self.builder) < steps:
            move = self.random.choice(MOVES)
            made = move(self, self.pick())
            if made is not None and len(made.form) < 5 and all(a.times < 50 for a in made.form):
                assert made.ref.shape == self.shape(made.form)
                self.values.append(made)
        return self.builder.build({"z": self.values[-1].ref}, prune=False)

    def shape(self, form: Form) -> Shape:
        """The sizes of a symbolic shape at this length."""
        return tuple([axis.times * (self.length if axis.batched else 1) for axis in form])

    def pick(self) -> Value:
        """Any value, late ones more often."""
        return self.random.choice(self.values[-3:] + self.values)

    def axis(self, value: Value) -> int | None:
        """One of its axes, if it has any."""
        return self.random.randrange(len(value.form)) if value.form else None


Move = Callable[[Program, Value], Value | None]


def sized_graph(seed: int, length: int, steps: int = 8) -> Graph:
    """The random program of that seed, built for a batch of that length."""
    return Program(seed, length).graph(steps)


def _sine(p: Program, x: Value) -> Value:
    return Value(do.sin(x.ref), x.form)


def _sum(p: Program, x: Value) -> Value:
    axes = tuple(i for i in range(len(x.form)) if p.random.random() < 0.5)
    keepdims = p.random.random() < 0.5
    if keepdims:
        form = tuple(ONE if i in axes else axis for i, axis in enumerate(x.form))
    else:
        form = tuple(axis for i, axis in enumerate(x.form) if i not in axes)
    return Value(do.sum(x.ref, axes=axes, keepdims=keepdims), form)


def _add(p: Program, x: Value) -> Value | None:
    y = p.pick()
    rank = max(len(x.form), len(y.form))
    pairs = zip(*[(ONE,) * (rank - len(v.form)) + v.form for v in (x, y)], strict=True)
    form = []
    for first, second in pairs:
        if first != second and ONE not in (first, second):
            return None
        form.append(second if first == ONE else first)
    return Value(x.ref + y.ref, tuple(form))


def _reshape(p: Program, x: Value) -> Value | None:
    """Merge two neighbouring axes."""
    at = p.axis(x)
    if at is None or at + 1 == len(x.form) or x.form[at + 1].batched:
        return None
    first, second = x.form[at : at + 2]
    merged = Axis(first.times * second.times, first.batched)
    form = (*x.form[:at], merged, *x.form[at + 2 :])
    return Value(do.reshape(x.ref, shape=p.shape(form)), form)


def _split(p: Program, x: Value) -> Value | None:
    """Split an axis of twos off another."""
    at = p.axis(x)
    if at is None or x.form[at].times % 2:
        return None
    first = x.form[at]._replace(times=x.form[at].times // 2)
    form = (*x.form[:at], first, Axis(2), *x.form[at + 1 :])
    return Value(do.reshape(x.ref, shape=p.shape(form)), form)


def _permute(p: Program, x: Value) -> Value:
    axes = tuple(p.random.sample(range(len(x.form)), len(x.form)))
    return Value(do.permute_dims(x.ref, axes=axes), tuple(x.form[i] for i in axes))


def _broadcast(p: Program, x: Value) -> Value:
    form = (Axis(2), *x.form)
    return Value(do.broadcast_to(x.ref, shape=p.shape(form)), form)


def _broadcast_over_batch(p: Program, x: Value) -> Value:
    form = (BATCH, *x.form)
    return _with_batch(p, Value(do.broadcast_to(x.ref, shape=p.shape(form)), form))


def _count(p: Program, x: Value) -> Value:
    form = (BATCH, Axis(3))
    axis = p.random.randrange(2)
    ref = p.builder.add("iota", shape=p.shape(form), axis=axis, dtype="float64")
    return _with_batch(p, Value(ref, form))


def _with_batch(p: Program, x: Value) -> Value:
    """Times an input along the leading axis, which shows that its size was meant as the batch's."""
    y = do.expand_dims(p.values[1].ref, axes=tuple(range(1, len(x.form))))
    return Value(x.ref * y, x.form)


def _concat(p: Program, x: Value) -> Value | None:
    at = p.axis(x)
    if at is None:
        return None
    form = (*x.form[:at], x.form[at]._replace(times=2 * x.form[at].times), *x.form[at + 1 :])
    return Value(do.concat(x.ref, x.ref, axis=at), form)


def _cumsum(p: Program, x: Value) -> Value | None:
    at = p.axis(x)
    return None if at is None else Value(do.cumsum(x.ref, axis=at), x.form)


def _sort(p: Program, x: Value) -> Value | None:
    at = p.axis(x)
    return None if at is None else Value(do.sort(x.ref, axis=at), x.form)


def _slice(p: Program, x: Value) -> Value | None:
    """The first element of an axis that is not the batch's."""
    at = p.axis(x)
    if at is None or x.form[at].batched:
        return None
    form = (*x.form[:at], ONE, *x.form[at + 1 :])
    stops = tuple(1 if i == at else size for i, size in enumerate(x.ref.shape))
    ranks = len(x.form)
    return Value(do.slice(x.ref, starts=(0,) * ranks, stops=stops, steps=(1,) * ranks), form)


def _squeeze(p: Program, x: Value) -> Value | None:
    axes = tuple(i for i, axis in enumerate(x.form) if axis == ONE)
    form = tuple(axis for axis in x.form if axis != ONE)
    return Value(do.squeeze(x.ref, axes=axes), form) if axes else None


def _size(p: Program, x: Value) -> Value:
    axes = tuple(range(len(x.form)))
    return Value(do.size(x.ref, axes=axes, dtype="float64"), ())


def _gram(p: Program, x: Value) -> Value | None:
    if len(x.form) != 2:
        return None
    transposed = do.permute_dims(x.ref, axes=(1, 0))
    return Value(do.matmul(x.ref, transposed), (x.form[0], x.form[0]))


MOVES: tuple[Move, ...] = (
    _sine,
    _sum,
    _add,
    _add,
    _reshape,
    _split,
    _permute,
    _broadcast,
    _broadcast_over_batch,
    _count,
    _concat,
    _cumsum,
    _sort,
    _slice,
    _squeeze,
    _size,
    _gram,
)
