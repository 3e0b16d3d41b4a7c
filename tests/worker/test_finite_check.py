"""The first node, forward or backward, that made a NaN or an infinity."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import lax
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


# --- loops and branches ---------------------------------------------------------------------------


def growing(x):
    """Infinite from the fourth step on."""
    last, _ = lax.scan(lambda c, k: (c * 1e100 + k, None), x, pnp.arange(6.0))
    return pnp.sum(last)


def nested(x):
    """A loop in a branch in a loop."""

    def inner(c):
        return lax.scan(lambda d, k: (pnp.log(d) * k, None), c, pnp.arange(3.0))[0]

    def step(c, k):
        return lax.cond(k > 1.0, inner, lambda c: c + 1.0, c), None

    return pnp.sum(lax.scan(step, x, pnp.arange(4.0))[0])


def until_large(x):
    """The test of the third step is of infinity less infinity."""

    def step(c):
        return c * 1e200

    return pnp.sum(lax.while_loop(lambda c: pnp.sum(c - c) == 0.0, step, x))


def own(x):
    """A function with a rule of its own, that overflows."""
    exp = lax.custom_derivative(pnp.exp, vjp=lambda primals, z, g: (g * z,))
    return pnp.sum(exp(x * 1000.0))


@pytest.mark.parametrize(
    ("function", "where", "ran"),
    [
        (growing, "node 0 scan (step 3, node 0 multiply)", "multiply"),
        (nested, "(step 2, node 1 cond, branch 1, node 0 scan, step 1, node 0 log)", "log"),
        (until_large, "node 0 while_loop (step 1, node 0 multiply)", "multiply"),
        (own, "node 1 custom (node 0 exp)", "exp"),
    ],
)
@pytest.mark.parametrize("want", [Value(), Jvp((WRT,))])
def test_a_loop_is_looked_into(function, where: str, ran: str, want: Want):
    """The step, the branch and the node of the body, in a derivative's job too."""
    seeds = () if isinstance(want, Value) else (np.ones(2),)
    bad = search(function, [1.0, 2.0], want, *seeds)
    assert bad is not None
    assert bad.phase == "forward"
    assert where in bad.where
    assert bad.ran == ran
    assert len(bad.operands) >= 1


def test_a_loop_that_is_bad_only_backwards():
    """The value is right at every step; the step whose derivative is not is named."""

    def roots(x):
        last, _ = lax.scan(lambda c, k: (pnp.sqrt(c * k), None), x, pnp.arange(3.0))
        return pnp.sum(last)

    assert search(roots, [1.0, 2.0], Value()) is None
    bad = search(roots, [1.0, 2.0], Gradient(WRT))
    assert bad is not None
    assert (bad.phase, bad.node, bad.op, bad.inside) == ("adjoint", 0, "scan", "step 2")
    assert "in the adjoint of node 0 scan (step 2)" in str(bad)


def test_masks_of_infinity_are_no_fault():
    """A constant that is infinite, and what it passes through, is not where NaN came from."""

    def attention(x):
        masked = pnp.where(np.array([True, True, False]), x, -np.inf)
        return pnp.sum(pnp.log(pnp.exp(masked[:2]) - 1.0)) + pnp.max(masked)

    assert search(attention, [1.0, 2.0, 3.0], Value()) is None
    bad = search(attention, [0.0, 2.0, 3.0], Value())
    assert bad is not None
    assert bad.op == "log"
    bad = search(
        lambda x: pnp.sum(x * 0.0 + (pnp.where(x > 0.0, np.inf, 0.0) - np.inf)), [1.0], Value()
    )
    assert bad is not None
    assert bad.op == "subtract"


def test_what_no_output_needs_is_not_looked_at():
    """A node that nothing depends on may make what it likes."""
    graph = pb.parse(
        "graph(x: float64[2]) {\n  %unused = log(x)\n  %y = exp(x)\n  return y = %y\n}"
    )
    assert [node.op.name for node in graph.nodes] == ["log", "exp"]
    assert first_bad_node(graph, Value(), [np.zeros(2)]) is None
