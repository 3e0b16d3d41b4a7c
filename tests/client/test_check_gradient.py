"""`pb.check_gradient` passes what is right and finds what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback.transforms import Transforms
from pullback_graph.want import DerivativeKey

RNG = np.random.default_rng(3)
W, X = RNG.normal(size=3), RNG.normal(size=(4, 3))


def loss(params: Any, x: Any) -> Any:
    """A small network."""
    return np.mean(np.tanh(x @ params["w"] + params["b"]) ** 2)


PARAMS = {"w": W, "b": 0.3}


def test_a_right_derivative_passes():
    """Every input is checked to both orders, against differences and by the dot product."""
    report = pb.check_gradient(loss, PARAMS, X, wrt=("params", "x"))
    assert report.worst.error < 1e-7
    kinds = {(check.what, check.order, check.input) for check in report.checks}
    names = ("params.w", "params.b", "x")
    assert kinds == {
        *(("central difference", order, name) for order in (1, 2) for name in names),
        *(("dot product", order, "") for order in (1, 2)),
    }
    assert "8 comparisons" in str(report)


def test_the_first_order_alone():
    """Order 1 leaves the second derivatives out."""
    report = pb.check_gradient(loss, PARAMS, X, order=1)
    assert {check.order for check in report.checks} == {1}


@pytest.mark.parametrize(
    "function",
    [
        lambda x: {"a": np.exp(x), "b": (np.sum(x), np.argmax(x))},
        lambda x: x * 3.0,
        lambda x: np.zeros(3) + 1.0,
        lambda x: 1e6 * x**2,
        lambda x: 1e-6 * np.sin(x),
        lambda x: np.concatenate([x, x[:0]]),
    ],
)
def test_results_of_every_kind(function: Any):
    """Several results, linear and constant functions, and large and small numbers pass."""
    pb.check_gradient(function, W)


def test_float32():
    """Single precision is checked as finely as it allows."""
    report = pb.check_gradient(lambda x: np.sum(np.sin(x) ** 2), W.astype(np.float32))
    assert report.tolerance == 1e-2


class Wrong(Transforms[pb.Result]):
    """A service that is wrong about one mode of derivatives of one input."""

    def __init__(self, mode: type, name: str, factor: float) -> None:
        self.mode, self.name, self.factor = mode, name, factor

    def evaluate(self, graph: Any, inputs: Any, **keywords: Any) -> pb.Result:
        """The local answer, the derivatives concerned multiplied by the factor."""
        result = pb.local().evaluate(graph, inputs, **keywords)
        if isinstance(keywords.get("want"), self.mode):
            for key in result.derivatives:
                if self._concerns(key, keywords["want"]):
                    result.derivatives[key] = result.derivatives[key] * self.factor
        return result

    def _concerns(self, key: DerivativeKey, want: Any) -> bool:
        return self.name in (key.input or want.seeds[0])


def test_a_wrong_forward_mode_is_found():
    """The message names the input and both numbers."""
    with pytest.raises(pb.GradientMismatch, match=r"order 1, input 'params\.b': the central diff"):
        pb.check_gradient(loss, PARAMS, X, service=Wrong(pb.Jvp, "params.b", 1.001))


def test_a_wrong_reverse_mode_is_found():
    """The dot product finds what differences of the function alone do not see."""
    with pytest.raises(pb.GradientMismatch, match="the dot product gives"):
        pb.check_gradient(loss, PARAMS, X, service=Wrong(pb.Vjp, "params.w", 1.001))


def test_a_step_is_found():
    """A function whose derivative is zero by definition, but not its slope, is found out."""
    with pytest.raises(pb.GradientMismatch, match="has a kink there"):
        pb.check_gradient(np.floor, np.array([1.0, 2.0]))
    with pytest.raises(pb.GradientMismatch):
        pb.check_gradient(lambda x: np.sum(np.abs(x)), np.zeros(3))


def test_what_is_not_finite():
    """NaN in a value or derivative is an error of its own."""
    with pytest.raises(pb.NonFiniteError, match="input 'x'"):
        pb.check_gradient(lambda x: np.sum(np.sqrt(x)), np.array([-1.0]))


def test_what_has_no_derivative():
    """An integer argument has none."""
    with pytest.raises(pb.NotDifferentiable):
        pb.check_gradient(pnp.sum, np.arange(3))


def test_directions_come_from_the_seed():
    """The same seed gives the same numbers, another one others."""
    first, same, other = (pb.check_gradient(loss, PARAMS, X, seed=n) for n in (1, 1, 2))
    assert first == same
    assert first != other
