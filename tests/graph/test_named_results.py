"""Results by name: a wrong name says which there are, as a KeyError and as an error of the tree."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback_graph.errors import PullbackError, RequestError, UnknownResult
from pullback_graph.job import Metrics, Result
from pullback_graph.want import DerivativeKey


def result(**outputs: Any) -> Result:
    """One with two gradients."""
    keys = {DerivativeKey("loss", "weights"): 1.0, DerivativeKey("loss", "bias"): 2.0}
    return Result(outputs, keys, Metrics())


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        (lambda r: r.outputs["wrong"], r"no output 'wrong'; there are: 'loss', 'aux'"),
        (lambda r: r.outputs["los"], r"did you mean 'loss'\?"),
        (lambda r: r.gradients["w"], r"no gradient 'w'; there are: 'weights', 'bias'"),
        (lambda r: r.gradients["weight"], r"did you mean 'weights'\?"),
        (lambda r: r.jacobians["loss"], r"no jacobian 'loss'; there are: \('loss', 'weights'\)"),
        (lambda r: r.hessians["weights", "bias"], r"no hessian .*ask for the hessian with the job"),
        (lambda r: r.seed(1)["weights"], "no derivative of seed 1 for 'weights'"),
        (lambda r: r.derivatives["loss"], "no derivative 'loss'"),
        (lambda r: r.outputs[3], "no output 3"),
        (lambda r: r.outputs["x" * 1000], r"no output 'x{70,80}\.\.\."),
    ],
)
def test_a_wrong_name_says_which_there_are(look: Any, expected: str) -> None:
    """Whatever was looked up, and by whatever key."""
    with pytest.raises(UnknownResult, match=expected) as caught:
        look(result(loss=1.0, aux=2.0))
    assert isinstance(caught.value, KeyError)
    assert isinstance(caught.value, RequestError)
    assert str(caught.value) == caught.value.message


def test_of_many_results_the_first_are_listed() -> None:
    """A message stays readable."""
    with pytest.raises(KeyError, match="and 980 more"):
        result(**{f"y{k}": k for k in range(1000)}).outputs["wrong"]


def test_results_are_a_dict_otherwise() -> None:
    """get, in, items, equality, copies and pickles are a dict's."""
    outputs = result(loss=1.0, aux=2.0).outputs
    assert outputs == {"loss": 1.0, "aux": 2.0}
    assert outputs.get("wrong") is None
    assert "wrong" not in outputs
    assert list(outputs) == ["loss", "aux"]
    for again in (copy.copy(outputs), copy.deepcopy(outputs), pickle.loads(pickle.dumps(outputs))):
        assert again == outputs
        with pytest.raises(UnknownResult, match="no output 'wrong'"):
            again["wrong"]


def test_a_service_answers_so() -> None:
    """What a job came back with says so too."""
    graph = pb.trace(lambda w: pnp.sum(w**2), np.ones(3))
    with pb.local() as service:
        found = service.gradient(graph, {"w": np.ones(3)}, "w")
    with pytest.raises(PullbackError, match=r"no gradient 'v'; there is: 'w'"):
        found.gradients["v"]
