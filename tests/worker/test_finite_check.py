"""The first node, forward or backward, that made a NaN or an infinity."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback_graph.bad_node import BadNode
from pullback_graph.want import Gradient, Hessian, Hvp, Jvp, Value, Want
from pullback_worker.finite_check import first_bad_node

WRT = ("x",)


def search(function, x, want: Want, *seeds) -> BadNode | None:
    """The bad node of a function of one array."""
    x = np.asarray(x, float)
    graph = pb.trace(function, x)
    return first_bad_node(graph, want, [x, *seeds])


def shifted_logarithm(x):
    """Three nodes and a sum; not finite where an element is below -1."""
    return pnp.sum(pnp.log(x + 1.0) * 2.0)


def square_roots(x):
    """Finite at 0, where its slope is not."""
    return pnp.sum(pnp.sqrt(x))


@pytest.mark.parametrize("want", [Value(), Gradient(WRT)])
def test_a_forward_node_is_named_with_the_range_of_its_operands(want: Want):
    """The node by its position in the graph that was sent, whatever was wanted of it."""
    bad = search(shifted_logarithm, [-3.0, 1.0, 2.0], want)
    assert bad is not None
    assert (bad.phase, bad.node, bad.op, bad.ran) == ("forward", 1, "log", "log")
    assert (bad.operands[0].low, bad.operands[0].high) == (-2.0, 3.0)
    assert str(bad) == (
        "node 1 log is the first result that is not finite; it ran on float64[3] in [-2, 3]"
    )


@pytest.mark.parametrize(
    ("want", "seeds", "phase"),
    [
        (Gradient(WRT), (), "adjoint"),
        (Jvp((WRT,)), (np.ones(2),), "tangent"),
        (Hvp(WRT, (WRT,)), (np.ones(2),), "adjoint"),
    ],
)
def test_a_backward_node_is_named_by_the_node_it_differentiates(want: Want, seeds, phase: str):
    """The value is finite, the derivative is not: the fault is in the derivative of sqrt."""
    assert search(square_roots, [0.0, 4.0], Value()) is None
    bad = search(square_roots, [0.0, 4.0], want, *seeds)
    assert bad is not None
    assert (bad.phase, bad.node, bad.op) == (phase, 0, "sqrt")
    assert f"in the {phase} of node 0 sqrt" in str(bad)


def test_what_is_only_in_the_second_derivative():
    """x ** 1.5 has a slope at 0, and no curvature."""

    def function(x):
        return pnp.sum(x**1.5)

    assert search(function, [0.0, 1.0], Gradient(WRT)) is None
    bad = search(function, [0.0, 1.0], Hessian(WRT))
    assert bad is not None
    assert bad.phase != "forward"


def test_an_input_that_is_not_finite_is_the_culprit():
    """No node is blamed for what came in."""
    bad = search(shifted_logarithm, [np.nan, 1.0], Gradient(WRT))
    assert bad == BadNode("input", 0, "x", "", ())
    assert str(bad) == "input 'x' is not finite"


def test_nothing_is_found_where_all_is_finite():
    """None, and integers never count."""
    assert search(shifted_logarithm, [1.0, 2.0], Gradient(WRT)) is None
    assert search(lambda x: pnp.sum(pnp.argmax(x)), [1.0, 2.0], Value()) is None


def test_the_search_ends_where_the_check_says_so():
    """A deadline that passed ends it."""

    def stop():
        raise pb.DeadlineExceeded("over")

    graph = pb.trace(shifted_logarithm, np.ones(3))
    with pytest.raises(pb.DeadlineExceeded):
        first_bad_node(graph, Value(), [np.ones(3)], stop)
