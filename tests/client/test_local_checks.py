"""The options that ask more of a job than its results: check, certificate, memory cap."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback_graph.want import Gradient, Value

X = np.linspace(0.0, 1.0, 6)


def roots(x):
    """Finite at 0, where its slope is not."""
    return pnp.sum(pnp.sqrt(x))


def long_chain(x):
    """Many residuals, each cheap to compute again."""
    for _ in range(60):
        x = pnp.sin(x) + x * 0.5
    return pnp.sum(x)


def test_finite_names_the_first_bad_node():
    """The value is fine; the error names the derivative of node 0, and what it ran on."""
    graph = pb.trace(roots, X)
    with pytest.raises(pb.NonFiniteError, match="in the adjoint of node 0 sqrt") as caught:
        pb.local().evaluate(graph, {"x": X}, gradient="x", check="finite")
    assert caught.value.field == "graph.nodes[0]"
    assert pb.local().evaluate(graph, {"x": X}, check="finite").metrics.bad_node is None


def test_report_returns_the_result_and_names_the_node():
    """The arrays as they are, and the culprit in the metrics."""
    result = pb.local().evaluate(pb.trace(roots, X), {"x": X}, gradient="x", check="report")
    assert np.isinf(result.gradients["x"][0])
    assert result.metrics.bad_node is not None
    assert (result.metrics.bad_node.phase, result.metrics.bad_node.op) == ("adjoint", "sqrt")
    assert sum(result.metrics.non_finite.values()) == 1


def test_an_input_that_is_not_finite_is_named():
    """It is not the graph's fault."""
    with pytest.raises(pb.NonFiniteError, match="input 'x' is not finite"):
        pb.local().evaluate(pb.trace(roots, X), {"x": X * np.nan}, check="finite")


def test_a_certificate_leaves_the_results_as_they_are():
    """The same arrays, and an error of the size of rounding beside them."""
    graph = pb.trace(long_chain, X)
    service, point = pb.local(), {"x": X}
    plain = service.evaluate(graph, point, gradient="x", executor="numpy")
    certified = service.evaluate(graph, point, gradient="x", executor="numpy", certificate=True)
    assert plain.metrics.certificate_error is None
    assert certified.metrics.certificate_error is not None
    assert certified.metrics.certificate_error < 1e-13
    assert certified.outputs.keys() == plain.outputs.keys()
    np.testing.assert_array_equal(certified.gradients["x"], plain.gradients["x"])


def test_a_value_has_no_certificate():
    """The error says what to ask for."""
    with pytest.raises(pb.InputError, match="ask for one"):
        pb.local().evaluate(pb.trace(roots, X), {"x": X}, want=Value(), certificate=True)


def test_a_memory_cap_is_kept_by_computing_values_again():
    """The same bits within a fifth of the memory; the metrics say at what price."""
    x = np.linspace(0.0, 1.0, 10_000)
    graph = pb.trace(long_chain, x)
    plain = pb.local().evaluate(graph, {"x": x}, want=Gradient(("x",)))
    cap = plain.metrics.peak_bytes // 5
    capped = pb.local().evaluate(graph, {"x": x}, gradient="x", memory_cap_bytes=cap)
    assert capped.metrics.peak_bytes <= cap
    assert 1.0 < capped.metrics.recompute_factor < 2.0
    assert plain.metrics.recompute_factor == 0.0
    np.testing.assert_array_equal(capped.gradients["x"], plain.gradients["x"])
    with pytest.raises(pb.LimitExceeded, match="raise the cap"):
        pb.local().evaluate(graph, {"x": x}, gradient="x", memory_cap_bytes=1000)


@pytest.mark.parametrize(
    "option", [{"check": "sometimes"}, {"certificate": 1}, {"memory_cap_bytes": 0}]
)
def test_options_out_of_range_are_refused(option):
    """Before anything is sent or run."""
    with pytest.raises(pb.RequestError):
        pb.local().evaluate(pb.trace(roots, X), {"x": X}, **option)
