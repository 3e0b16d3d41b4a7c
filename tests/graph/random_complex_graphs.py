"""Random graphs of complex numbers, through real parts, transforms and back.

What grows is brought near the unit circle first, so that executors and differences can be compared.
"""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import strategies as st

from pullback_graph.builder import Builder, copy_inputs, copy_values
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref, do
from pullback_graph.types import real_dtype
from tests.graph.random_graphs import MOVING, Choice, Move, random_graph

NORMS = ("backward", "ortho", "forward")


def bounded(x: Ref) -> Ref:
    """The number z as 2 z / (1 + |z|²), which is no larger than one."""
    size = do.square(do.real(x)) + do.square(do.imag(x)) + 1.0
    return x / do.complex(size, 0.0) * 2.0


def _any_value(make: Any, minimum_rank: int = 0) -> Move:
    def move(c: Choice) -> Any:
        x = c.value(minimum_rank)
        return None if x is None else make(c, x)

    return move


def _transformed(c: Choice, x: Ref) -> Any:
    axes, norm = tuple(sorted({c.axis(x), c.axis(x)}))[::-1], c.random.choice(NORMS)
    return do.fft(bounded(x), axes=axes, inverse=c.random.random() < 0.5, norm=norm)


def _through_real_transforms(c: Choice, x: Ref) -> Any:
    axis, norm = c.axis(x), c.random.choice(NORMS)
    forth = do.rfft(do.real(bounded(x)), axes=(axis,), norm=norm)
    size = 2 * forth.shape[axis] - c.random.randint(1, 2)
    if size < 1:
        return forth
    back = do.irfft(bounded(forth), axes=(axis,), size=size, norm=norm)
    return do.astype(back, dtype=x.dtype)


def _summed(c: Choice, x: Ref) -> Any:
    return do.sum(bounded(x), axes=c.axes(x), keepdims=c.random.random() < 0.5)


def _multiplied_up(c: Choice, x: Ref) -> Any:
    return do.prod(bounded(x), axes=(c.axis(x),), keepdims=False)


def _matrix_product(c: Choice, x: Ref) -> Any:
    last = len(x.shape) - 1
    flipped = do.permute_dims(do.conj(x), axes=(*range(last - 1), last, last - 1))
    return do.matmul(bounded(x), bounded(flipped))


COMPLEX_MOVES: tuple[Move, ...] = (
    _any_value(lambda c, x: do.conj(x)),
    _any_value(lambda c, x: do.exp(bounded(x))),
    _any_value(lambda c, x: do.sin(bounded(x))),
    _any_value(lambda c, x: do.sqrt(bounded(x) + 1.5)),
    _any_value(lambda c, x: do.log(bounded(x) + 1.5)),
    _any_value(lambda c, x: bounded(x) / (bounded(c.partner(x)) + 1.5)),
    _any_value(lambda c, x: (bounded(x) + 1.5) ** bounded(c.partner(x))),
    _any_value(lambda c, x: x + c.partner(x)),
    _any_value(lambda c, x: x - do.conj(c.partner(x))),
    _any_value(lambda c, x: bounded(x) * c.partner(x)),
    _any_value(lambda c, x: do.complex(do.abs(bounded(x) + 1.5), do.imag(c.partner(x)))),
    _any_value(lambda c, x: do.where(do.real(x) < do.imag(x), x, -x)),
    _any_value(_transformed, 1),
    _any_value(_through_real_transforms, 1),
    _any_value(_summed, 1),
    _any_value(_multiplied_up, 1),
    _any_value(_matrix_product, 2),
    *MOVING,
)


def complex_graph(seed: int | Random, *, nodes: int = 60, dtype: str = "complex128") -> Graph:
    """A random graph of complex inputs; its last output is `size`, a real scalar of all others."""
    graph = random_graph(seed, nodes=nodes, dtype=dtype, moves=COMPLEX_MOVES)
    builder = Builder()
    values = copy_values(builder, graph, copy_inputs(builder, graph))
    outputs = {item.name: values[item.value] for item in graph.outputs}
    total = builder.constant(real_dtype(values[0].dtype).type(0.0))
    for z in outputs.values():
        size = do.square(do.real(bounded(z))) + do.imag(bounded(z))
        total = total + do.sum(size, axes=tuple(range(len(z.shape))), keepdims=False)
    return builder.build({**outputs, "size": total}, prune=False)


def complex_graphs() -> st.SearchStrategy[Graph]:
    """`complex_graph` as a strategy, of either precision."""
    return st.builds(
        lambda random, nodes, dtype: complex_graph(random, nodes=nodes, dtype=dtype),
        st.randoms(use_true_random=False),
        st.integers(1, 70),
        st.sampled_from(["complex64", "complex128"]),
    )
