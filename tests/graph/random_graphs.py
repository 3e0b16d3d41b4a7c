"""Random well-typed graphs over the operator table: elementwise, shapes, reductions, matmul.

A move makes one more value out of those there are; one is chosen per step. Values stay small, so
that executors and differences can be compared: what grows goes through `tanh` or `sin` first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from random import Random
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from pullback_graph.builder import Builder
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref, apply, do
from pullback_graph.types import FLOAT64, ArrayType, DType, Shape, as_dtype

SHAPES: tuple[Shape, ...] = ((), (3,), (2, 3), (3, 2), (2, 1), (1, 3), (2, 3, 2))
MAX_SIZE = 200
UNARY = ("sin", "cos", "tanh", "sigmoid", "softplus", "atan", "erf", "negative")
UNARY_WITH_KINKS = ("abs", "floor", "ceil", "sign", "round", "trunc")
BINARY = ("add", "subtract", "logaddexp")
BINARY_WITH_KINKS = ("maximum", "minimum", "atan2")
SPECIAL = (0.0, -0.0, float("nan"), float("inf"), -float("inf"), 1e-310, 1 / 3)


class Choice(NamedTuple):
    """What a move may use: the random source, and the values so far, all of one dtype."""

    random: Random
    values: Sequence[Ref]

    def value(self, minimum_rank: int = 0) -> Ref | None:
        """A value of at least so many axes, recent ones more often."""
        recent = self.values[-4:] if self.random.random() < 0.5 else self.values
        fitting = [ref for ref in recent if len(ref.shape) >= minimum_rank]
        return self.random.choice(fitting) if fitting else None

    def partner(self, ref: Ref) -> Ref:
        """A value that broadcasts with `ref`; itself, if need be."""
        fitting = [other for other in self.values if _broadcast(other.shape, ref.shape)]
        return self.random.choice(fitting)

    def axis(self, ref: Ref) -> int:
        """One of its axes."""
        return self.random.randrange(len(ref.shape))

    def axes(self, ref: Ref) -> tuple[int, ...]:
        """Some of its axes; maybe none."""
        return tuple(i for i in range(len(ref.shape)) if self.random.random() < 0.6)


Move = Callable[[Choice], Any]
"""The new value, a Ref, or None where no value fits the move."""


def random_graph(
    seed: int | Random,
    *,
    nodes: int = 10,
    inputs: int = 2,
    dtype: DType | str = FLOAT64,
    smooth: bool = False,
    special: bool = False,
    scalar: bool = False,
    moves: Sequence[Move] = (),
) -> Graph:
    """A graph of about so many nodes, the same for the same seed.

    With `smooth`, only rows that are differentiable everywhere; with `special`, constants of NaN,
    infinity and the like; with `scalar`, one output more, `total`, the 0-d sum of the last value.
    Nothing is pruned: values may go unused. `moves` are taken in place of those here.
    """
    random = seed if isinstance(seed, Random) else Random(seed)
    builder = Builder()
    kind = as_dtype(dtype)
    values = [
        builder.input(f"x{i}", ArrayType(kind, random.choice(SHAPES)))
        for i in range(max(1, inputs))
    ]
    moves = moves or (SMOOTH_MOVES if smooth else SMOOTH_MOVES + OTHER_MOVES)
    values += [_constant(builder, random, kind, special) for _ in range(random.randrange(3))]
    while len(builder) < nodes:
        made = random.choice(moves)(Choice(random, values))
        if made is not None and made.type.size <= MAX_SIZE and len(made.shape) <= 4:
            values.append(made)
    count = random.randint(1, min(3, len(values)))
    outputs = {f"z{i}": ref for i, ref in enumerate(random.sample(values, count - 1))}
    outputs["last"] = values[-1]
    if scalar:
        outputs["total"] = _sum_all(values[-1])
    return builder.build(outputs, prune=False)


def graphs(
    *,
    max_nodes: int = 12,
    dtypes: Sequence[str] = ("float64", "float32"),
    smooth: bool = False,
    special: bool = False,
    scalar: bool = False,
) -> st.SearchStrategy[Graph]:
    """`random_graph` as a strategy, its choices Hypothesis's own, so that it shrinks."""
    return st.builds(
        lambda random, nodes, inputs, dtype: random_graph(
            random,
            nodes=nodes,
            inputs=inputs,
            dtype=dtype,
            smooth=smooth,
            special=special,
            scalar=scalar,
        ),
        st.randoms(use_true_random=False),
        st.integers(1, max_nodes),
        st.integers(1, 3),
        st.sampled_from(dtypes),
    )


def operands(graph: Graph, seed: int = 0) -> list[np.ndarray]:
    """An array per input, uniform in -2 to 2 (whole numbers for an integer dtype)."""
    rng = np.random.default_rng(seed)
    arrays = []
    for _, type in graph.inputs:
        array = np.asarray(rng.uniform(-2, 2, type.shape))
        if type.is_complex:
            array = array + 1j * rng.uniform(-2, 2, type.shape)
        arrays.append(np.asarray(array, type.dtype))
    return arrays


# --- moves ----------------------------------------------------------------------------------------


def _unary(names: Sequence[str]) -> Move:
    def move(c: Choice) -> Any:
        x = c.value()
        return None if x is None else apply(c.random.choice(names), x)

    return move


def _binary(names: Sequence[str]) -> Move:
    def move(c: Choice) -> Any:
        x = c.value()
        return None if x is None else apply(c.random.choice(names), x, c.partner(x))

    return move


def _product(c: Choice) -> Any:
    x = c.value()
    return None if x is None else do.sin(x) * c.partner(x)


def _quotient(c: Choice) -> Any:
    x = c.value()
    return None if x is None else do.sin(x) / (do.softplus(c.partner(x)) + 1.0)


def _reduction(name: str) -> Move:
    def move(c: Choice) -> Any:
        x = c.value(1)
        if x is None or 0 in x.shape:
            return None
        keepdims = c.random.random() < 0.5
        return apply(name, do.tanh(x), axes=c.axes(x), keepdims=keepdims)

    return move


def _cumsum(c: Choice) -> Any:
    x = c.value(1)
    return (
        None if x is None else do.cumsum(do.tanh(x), axis=c.axis(x), reverse=bool(len(x.shape) % 2))
    )


def _permuted(c: Choice) -> Any:
    x = c.value(2)
    if x is None:
        return None
    axes = c.random.sample(range(len(x.shape)), len(x.shape))
    return do.permute_dims(x, axes=tuple(axes))


def _reshaped(c: Choice) -> Any:
    x = c.value()
    if x is None:
        return None
    cut = c.random.randint(0, len(x.shape))
    return do.reshape(x, shape=(prod(x.shape[:cut]), *x.shape[cut:]))


def _expanded(c: Choice) -> Any:
    x = c.value()
    return None if x is None else do.expand_dims(x, axes=(c.random.randint(0, len(x.shape)),))


def _squeezed(c: Choice) -> Any:
    x = c.value()
    axes = () if x is None else tuple(i for i, size in enumerate(x.shape) if size == 1)
    return do.squeeze(x, axes=axes) if axes else None


def _broadcasted(c: Choice) -> Any:
    x = c.value()
    return None if x is None else do.broadcast_to(x, shape=(c.random.randint(1, 3), *x.shape))


def _joined(c: Choice) -> Any:
    x = c.value(1)
    if x is None:
        return None
    axis = c.axis(x)
    rest = x.shape[:axis] + x.shape[axis + 1 :]
    fitting = [
        y
        for y in c.values
        if len(y.shape) == len(x.shape) and y.shape[:axis] + y.shape[axis + 1 :] == rest
    ]
    return do.concat(x, c.random.choice(fitting), axis=axis)


def _stacked(c: Choice) -> Any:
    x = c.value()
    if x is None:
        return None
    alike = [y for y in c.values if y.shape == x.shape]
    return do.stack(x, c.random.choice(alike), axis=c.random.randint(0, len(x.shape)))


def _sliced(c: Choice) -> Any:
    x = c.value(1)
    if x is None or 0 in x.shape:
        return None
    starts = tuple(c.random.randrange(size) for size in x.shape)
    steps = tuple(c.random.choice((1, 2)) for _ in x.shape)
    return do.slice(x, starts=starts, stops=x.shape, steps=steps)


def _padded(c: Choice) -> Any:
    x = c.value(1)
    if x is None:
        return None
    fill = x.builder.constant(x.dtype.type(0.5))
    low = tuple(c.random.randint(0, 1) for _ in x.shape)
    return do.pad(x, fill, low=low, high=low[::-1])


def _flipped(c: Choice) -> Any:
    x = c.value(1)
    return None if x is None else do.flip(x, axes=c.axes(x))


def _rolled(c: Choice) -> Any:
    x = c.value(1)
    return None if x is None else do.roll(x, shifts=(c.random.randint(-2, 2),), axes=(c.axis(x),))


def _multiplied(c: Choice) -> Any:
    x = c.value(2)
    if x is None:
        return None
    last = len(x.shape) - 1
    axes = (*range(last - 1), last, last - 1)
    return do.matmul(do.tanh(x), do.permute_dims(do.sin(x), axes=axes))


def _contracted(c: Choice) -> Any:
    x = c.value(1)
    if x is None or len(x.shape) > 3:
        return None
    letters = "abc"[: len(x.shape)]
    return do.einsum(do.tanh(x), do.sin(x), subscripts=f"{letters},{letters}->{letters[0]}")


def _taken(c: Choice) -> Any:
    x = c.value(1)
    if x is None:
        return None
    axis = c.axis(x)
    if not x.shape[axis]:
        return None
    chosen = [c.random.randrange(x.shape[axis]) for _ in range(c.random.randint(1, 4))]
    return do.take(x, x.builder.constant(np.array(chosen)), axis=axis)


def _chosen(c: Choice) -> Any:
    x = c.value()
    if x is None:
        return None
    y = c.partner(x)
    return do.where(x < y, x, y)


def _clipped(c: Choice) -> Any:
    x = c.value()
    return None if x is None else do.clip(x, -1.0, 0.5)


def _sorted(c: Choice) -> Any:
    x = c.value(1)
    return None if x is None else do.sort(x, axis=c.axis(x))


MOVING: tuple[Move, ...] = (
    _permuted,
    _reshaped,
    _expanded,
    _squeezed,
    _broadcasted,
    _joined,
    _stacked,
    _sliced,
    _padded,
    _flipped,
    _rolled,
    _taken,
)
"""Moves that only move elements, of any dtype."""
SMOOTH_MOVES: tuple[Move, ...] = (
    _unary(UNARY),
    _unary(UNARY),
    _binary(BINARY),
    _product,
    _quotient,
    _reduction("sum"),
    _reduction("logsumexp"),
    _cumsum,
    _multiplied,
    _contracted,
    *MOVING,
)
OTHER_MOVES: tuple[Move, ...] = (
    _unary(UNARY_WITH_KINKS),
    _binary(BINARY_WITH_KINKS),
    _reduction("max"),
    _reduction("prod"),
    _chosen,
    _clipped,
    _sorted,
)


def _constant(builder: Builder, random: Random, dtype: DType, special: bool) -> Ref:
    shape = random.choice(SHAPES)
    draw = (lambda: random.choice(SPECIAL)) if special else (lambda: random.randint(-8, 8) / 4)
    array = np.array([draw() for _ in range(prod(shape))])
    return builder.constant(array.astype(dtype).reshape(shape))


def _sum_all(x: Ref) -> Ref:
    total: Ref = do.sum(x, axes=tuple(range(len(x.shape))), keepdims=False)
    return total


def _broadcast(one: Shape, other: Shape) -> bool:
    pairs = zip(reversed(one), reversed(other), strict=False)
    return all(n == m or 1 in (n, m) for n, m in pairs)
