"""Small graphs that ask for much: refused or bounded before they take time or memory."""

from __future__ import annotations

import numpy as np
import pytest

from pullback_graph.builder import Builder, copy_inputs, copy_values
from pullback_graph.codec import decode_graph, encode_graph
from pullback_graph.derivative import lower
from pullback_graph.errors import (
    ArityError,
    DeadlineExceeded,
    LimitExceeded,
    NotDifferentiable,
    PullbackError,
)
from pullback_graph.graph import Graph
from pullback_graph.limits import Limits
from pullback_graph.memory import peak_bytes
from pullback_graph.ref import do
from pullback_graph.types import FLOAT32, FLOAT64, ArrayType
from pullback_graph.want import Jacobian, Jvp, Value, Vjp, Want
from pullback_worker.numpy_executor import NumpyExecutor, fold


def chain(nodes: int, size: int) -> Graph:
    """As many sines in a row as asked for, of a vector."""
    b = Builder()
    y = b.input("x", ArrayType(FLOAT64, (size,)))
    for _ in range(nodes):
        y = do.sin(y)
    return b.build({"y": y})


@pytest.mark.parametrize(
    "want", [Jvp((("x",),) * 4096), Vjp(("x",), (("y",),) * 4096)], ids=["jvp", "vjp"]
)
def test_many_passes_over_many_nodes_are_refused(want: Want) -> None:
    """Seeds of which few fit in memory at once, over many nodes, are refused before the first."""
    with pytest.raises(LimitExceeded, match=r"passes over \d+ nodes; at most"):
        lower(chain(1000, 1 << 22), want, fold=fold)


def test_a_builder_stops_at_its_limit() -> None:
    """Past `max_nodes` a builder refuses, within the nodes between two looks."""
    graph, builder = chain(4000, 2), Builder(max_nodes=1000)
    inputs = copy_inputs(builder, graph)
    with pytest.raises(LimitExceeded, match="over 1000 nodes"):
        copy_values(builder, graph, inputs)


def test_lowering_stops_when_told() -> None:
    """What the check raises leaves as it is: a deadline reaches the differentiation."""
    fault = DeadlineExceeded("the deadline passed")

    def check() -> None:
        raise fault

    with pytest.raises(PullbackError) as caught:
        lower(chain(3000, 2), Jacobian(("x",)), fold=fold, check=check)
    assert caught.value is fault


def test_partial_contractions_count_as_memory() -> None:
    """An outer product inside an einsum is seen, though neither operands nor results are large."""
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, (50, 50)))
    graph = b.build({"y": do.einsum(x, x, x, x, subscripts="ab,cd,bc,ad->")})
    assert peak_bytes(graph) >= 8 * 50**4


def test_an_einsum_takes_a_bounded_number_of_operands() -> None:
    """More operands would make a derivative of their number squared."""
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, ()))
    with pytest.raises(ArityError, match="at most 64"):
        do.einsum(*[x] * 65, subscripts="," * 64 + "->")


def test_folding_does_no_large_work() -> None:
    """Constants whose product is small but costly are left to be computed by the job."""
    b = Builder()
    y = b.constant(np.ones((90, 90)))
    chained = b.build({"y": do.einsum(*[y] * 4, subscripts="ab,cd,bc,ad->")})
    assert lower(chained, Value(), fold=fold).graph.nodes


def test_operands_are_counted_over_all_nodes() -> None:
    """Operands cost memory as nodes do, however few nodes they stand at."""
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, (1,)))
    message = encode_graph(b.build({"y": do.concat(*[x] * 100, axis=0)}))
    assert decode_graph(message.SerializeToString()).output_type(0).shape == (100,)
    with pytest.raises(LimitExceeded, match="max_operands"):
        decode_graph(message.SerializeToString(), Limits(max_operands=99))


def test_zeros_of_either_sign_are_two_attributes() -> None:
    """Common subexpressions keep a fill of -0.0 apart from one of 0.0."""
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, (3,)))
    graph = b.build(
        {
            "plus": do.shift(x, axis=0, offset=1, fill=0.0),
            "minus": do.shift(x, axis=0, offset=1, fill=-0.0),
        }
    )
    program = NumpyExecutor().compile(lower(graph, Value(), fold=fold).graph)
    plus, minus = program([np.ones(3)])
    assert not np.signbit(plus[0])
    assert np.signbit(minus[0])


def test_a_cotangent_of_an_integer_output_is_an_error() -> None:
    """A seed for an output without a derivative is refused, never answered with zeros."""
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, (3,)))
    graph = b.build({"order": do.argsort(x, axis=0)})
    with pytest.raises(NotDifferentiable, match="'order' is int64"):
        lower(graph, Vjp(("x",), (("order",),)))


@pytest.mark.parametrize("reduced", [True, False], ids=["reverse", "forward"])
def test_a_jacobian_has_the_dtype_of_its_output(reduced: bool) -> None:
    """Whichever mode computes it, and where it is zero."""
    b = Builder()
    x, other = b.input("x", ArrayType(FLOAT64, (3,))), b.input("other", ArrayType(FLOAT64, (3,)))
    y = do.astype(do.concat(x * x, x, axis=0), dtype=FLOAT32)
    z = do.sum(y, axes=(0,), keepdims=False) if reduced else do.concat(y, y, axis=0)
    graph = lower(b.build({"z": z}), Jacobian(("x", "other"))).graph
    assert [graph.output_type(i).dtype for i in (1, 2)] == [FLOAT32, FLOAT32]
    assert other.dtype == FLOAT64
