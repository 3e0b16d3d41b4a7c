"""The cost law: n nodes and p parameters cost n + p adjoints and at most five forward passes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback_graph.builder import Builder
from pullback_graph.derivative import gradient, lower
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref, do
from pullback_graph.types import FLOAT64, ArrayType
from pullback_graph.want import Gradient
from pullback_worker.numpy_executor import NumpyExecutor, fold

SIZE = 1000
UNARY = ("sin", "exp", "tanh", "sigmoid", "square", "sqrt", "log1p", "negative")
BINARY = ("add", "subtract", "multiply", "divide", "maximum", "hypot")


def _total(x: Ref) -> Ref:
    return do.sum(x, axes=tuple(range(len(x.shape))), keepdims=False)


@st.composite
def chains(draw: st.DrawFn) -> Graph:
    """A random graph of elementwise nodes over a few vectors, with fan-out, summed at the end."""
    builder = Builder()
    count = draw(st.integers(1, 4))
    values = [builder.input(f"x{i}", ArrayType(FLOAT64, (SIZE,))) for i in range(count)]
    for _ in range(draw(st.integers(1, 30))):
        pick = st.integers(0, len(values) - 1)
        if draw(st.booleans()):
            values.append(getattr(do, draw(st.sampled_from(UNARY)))(values[draw(pick)]))
        else:
            one, other = values[draw(pick)], values[draw(pick)]
            values.append(getattr(do, draw(st.sampled_from(BINARY)))(one, other))
    return builder.build({"y": _total(values[-1])})


@given(chains())
def test_adjoints_are_nodes_plus_parameters_at_most(graph: Graph) -> None:
    """Each node's adjoint is finished once, and each parameter's: never more than n + p."""
    made = gradient(graph, graph.input_names)
    assert made.adjoints <= len(graph.nodes) + len(graph.inputs)


@given(chains())
def test_a_gradient_costs_at_most_five_forward_passes(graph: Graph) -> None:
    """FLOPs and bytes of value and gradient together stay within five times the forward's."""
    lowered = lower(graph, Gradient(graph.input_names), fold=fold).graph
    assert lowered.cost.flops <= 5 * graph.cost.flops
    assert lowered.cost.size_bytes <= 5 * graph.cost.size_bytes


@pytest.mark.parametrize(
    ("name", "operands"), [("gammainc", 2), ("gammaincc", 2), ("betainc", 3)], ids=str
)
@pytest.mark.parametrize("inner", [None, "sin"])
def test_what_has_no_closed_derivative_keeps_the_law(
    name: str, operands: int, inner: str | None
) -> None:
    """Derivatives in all operands, by quadrature where they must be, within five forward passes."""
    builder = Builder()
    inputs = [builder.input(f"x{i}", ArrayType(FLOAT64, (SIZE,))) for i in range(operands)]
    value = getattr(do, name)(*inputs)
    graph = builder.build({"y": _total(value if inner is None else getattr(do, inner)(value))})
    lowered = lower(graph, Gradient(graph.input_names), fold=fold).graph
    assert lowered.cost.flops <= 5 * graph.cost.flops
    assert lowered.cost.size_bytes <= 5 * graph.cost.size_bytes
    quadratures = [node for node in lowered.nodes if "_density" not in node.op.name]
    assert len([node for node in quadratures if node.op.name.startswith(name[:7])]) == 2


def _sliced(count: int, width: int) -> Graph:
    """The sum of the squares of `count` slices of one vector."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (count * width,)))
    parts = [
        do.square(do.slice(x, starts=(i * width,), stops=((i + 1) * width,), steps=(1,)))
        for i in range(count)
    ]
    return builder.build({"y": _total(do.concat(*parts, axis=0))})


def test_ten_thousand_slices_of_one_vector_are_gathered_in_place() -> None:
    """10^4 slices cost their own elements, not 10^4 padded vectors, and add up right."""
    graph = _sliced(10_000, 3)
    lowered = lower(graph, Gradient(("x",)), fold=fold).graph
    assert lowered.cost.flops <= 5 * graph.cost.flops
    assert lowered.cost.size_bytes <= 5 * graph.cost.size_bytes
    x = np.arange(30_000.0)
    _, adjoint = NumpyExecutor().compile(lowered)([x])
    np.testing.assert_array_equal(adjoint, 2 * x)


def test_overlapping_slices_add_up() -> None:
    """A place that several slices share gets the sum of their cotangents."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (6,)))
    windows = [do.slice(x, starts=(i,), stops=(i + 3,), steps=(1,)) for i in range(4)]
    graph = builder.build({"y": _total(do.stack(*windows, axis=0))})
    _, adjoint = NumpyExecutor().compile(lower(graph, Gradient(("x",)), fold=fold).graph)(
        [np.zeros(6)]
    )
    np.testing.assert_array_equal(adjoint, [1, 2, 3, 3, 2, 1])


def test_fan_out_accumulates() -> None:
    """y = x*x + x*x with x used four times has dy/dx = 4x, each adjoint finished once."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, ()))
    graph = builder.build({"y": x * x + x * x})
    made = gradient(graph, ("x",))
    assert made.adjoints == 4
    assert float(NumpyExecutor().compile(made.graph)([np.asarray(3.0)])[1]) == 12.0


def test_a_deep_chain_needs_no_recursion() -> None:
    """Ten thousand nodes in a row differentiate in one sweep."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, ()))
    y = x
    for _ in range(10_000):
        y = do.sin(y)
    made = gradient(builder.build({"y": y}), ("x",))
    assert made.adjoints == 10_001
