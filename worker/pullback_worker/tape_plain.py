"""Values, or values and one sweep of adjoints, with as little around the sweeps as can be.

What the general way of `tape_program` finds out at every run is found out once here: a call of a
small tape is a few microseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import prod
from typing import NamedTuple

import numpy as np

from pullback_graph.errors import InputError
from pullback_graph.graph import Input
from pullback_graph.tape import Tape
from pullback_graph.tape.rows import NDArray
from pullback_graph.types import Shape
from pullback_worker.tape_code import Code
from pullback_worker.tape_forward import evaluate, linearise
from pullback_worker.tape_scratch import SCRATCH
from pullback_worker.tape_sweeps import reverse
from pullback_worker.tape_wants import Asked, Mode


class _Part(NamedTuple):
    """A result: where it stands among the scalars gathered, and its shape."""

    first: int
    last: int
    shape: Shape


class Plain:
    """The program of a value, a gradient or a vjp of one seed; safe to call from any thread."""

    def __init__(self, tape: Tape, code: Code, asked: Asked) -> None:
        self._dtype = tape.dtype
        self._inputs = tape.inputs
        self._sizes = [item.type.size for item in tape.inputs]
        self._input_size = tape.input_size
        self._constants = tape.constants
        self._code = code
        outputs = [tape.outputs[position] for position in asked.values]
        self._values = code.places(_joined([item.values for item in outputs])).astype(np.intp)
        self._value_parts = _parts([item.shape for item in outputs])
        self._given: tuple[Input, ...] = ()
        self._is_gradient = asked.mode is Mode.REVERSE
        if self._is_gradient:
            self._given = asked.given[0] if asked.given else ()
            self._seeded = code.places(asked.seeds[0]).astype(np.intp)
            self._gathered = code.places(asked.gathered).astype(np.intp)
            self._gradient_parts = _parts(asked.columns)

    def __call__(self, arrays: Sequence[NDArray]) -> list[NDArray]:
        """Values, then derivatives; raises InputError for arrays that do not fit."""
        code, dtype = self._code, self._dtype
        v = SCRATCH.take("v", code.size, dtype)
        self._fill(v, arrays)
        if not self._is_gradient:
            evaluate(code.code, code.operands, code.start, v)
            return _cut(v.take(self._values), self._value_parts)
        p = SCRATCH.take("p", 2 * len(code.code), dtype)
        g = SCRATCH.take("g", code.size, dtype)
        self._seed(g, arrays)
        linearise(code.code, code.operands, code.start, v, p)
        reverse(code.code, code.edges, code.start, p, g)
        results = _cut(v.take(self._values), self._value_parts)
        return results + _cut(g.take(self._gathered), self._gradient_parts)

    def _fill(self, v: NDArray, arrays: Sequence[NDArray]) -> None:
        """Put inputs and constants where the machine has them."""
        wanted = len(self._sizes) + len(self._given)
        if len(arrays) != wanted:
            raise wrong_count(wanted, arrays)
        first = 0
        for position, size in enumerate(self._sizes):
            array = arrays[position]
            if type(array) is not np.ndarray:
                array = np.asarray(array)
            if array.size != size:
                raise wrong_size(self._inputs[position], array.size)
            v[first : first + size] = array.reshape(-1)
            first += size
        v[first : self._code.start] = self._constants

    def _seed(self, g: NDArray, arrays: Sequence[NDArray]) -> None:
        """Zeros, and the adjoints that are given; ones where none are."""
        g.fill(0.0)
        if not self._given:
            g[self._seeded] = 1.0
            return
        own = [np.asarray(array).reshape(-1) for array in arrays[len(self._sizes) :]]
        for item, array in zip(self._given, own, strict=True):
            if array.size != item.type.size:
                raise wrong_size(item, array.size)
        np.add.at(g, self._seeded, own[0] if len(own) == 1 else np.concatenate(own))


def is_plain(asked: Asked) -> bool:
    """Whether a want is one that `Plain` runs."""
    one = len(asked.seeds) == 1 and asked.rows == ((),)
    return asked.mode is Mode.NONE or (asked.mode is Mode.REVERSE and one)


def wrong_count(wanted: int, arrays: Sequence[NDArray]) -> InputError:
    """The error of a wrong number of arrays."""
    return InputError(f"the program takes {wanted} input(s), got {len(arrays)}")


def wrong_size(item: Input, size: int) -> InputError:
    """The error of an array of another size."""
    return InputError(f"input {item.name!r} is {item.type}, got {size} elements", field=item.name)


def _joined(groups: Sequence[NDArray]) -> NDArray:
    return np.concatenate(groups) if groups else np.empty(0, np.uint32)


def _parts(shapes: Sequence[Shape]) -> list[_Part]:
    ends = list(accumulate([prod(shape) for shape in shapes], initial=0))
    return [_Part(*bounds) for bounds in zip(ends[:-1], ends[1:], shapes, strict=True)]


def _cut(gathered: NDArray, parts: Sequence[_Part]) -> list[NDArray]:
    """The results that were gathered together."""
    return [gathered[first:last].reshape(shape) for first, last, shape in parts]
