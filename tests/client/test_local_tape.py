"""Graphs of scalar code on the tape machine of this process: where asked for, and by themselves."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import pullback as pb
import pullback.numpy as pnp
from pullback.local_tape import COMPILE_S, LOAD_S
from pullback_graph.errors import InputError, NonFiniteError, UnsupportedError
from pullback_graph.tape import Tape, to_graph
from pullback_graph.types import FLOAT64
from pullback_graph.want import Gradient, Hessian, Hvp, Jacobian, Jvp, Value, Vjp, Want
from pullback_worker.tape_wants import Mode
from tests.worker.tape_samples import SMOOTH, tapes

pytest.importorskip("numba")
SERVICE = pb.LocalService()
INPUTS = {"x": np.array([0.7, -0.4, 1.3]), "y": np.array(0.6)}
SEED = {"x": np.array([1.0, 0.5, -2.0]), "y": np.array(0.3)}
WANTS: dict[str, tuple[Want, tuple[dict[str, Any], ...]]] = {
    "value": (Value(), ()),
    "one value": (Value(("w",)), ()),
    "gradient": (Gradient(("y", "x"), "z"), ()),
    "vjp": (Vjp(("x", "y"), (("z",),)), ({"z": np.array(2.0)},)),
    "jvp": (Jvp((("x", "y"),)), (SEED,)),
    "hvp": (Hvp(("x",), (("x", "y"),), "z"), (SEED,)),
    "jacobian": (Jacobian(("x",)), ()),
    "hessian": (Hessian(("x", "y"), "z"), ()),
}


def chain(x: Any) -> Any:
    """Scalar code of sixty nodes."""
    y = x
    for _ in range(15):
        y = pnp.sin(y) * x + y - 0.5
    return y


def broken(x: Any) -> Any:
    """The logarithm of a negative number, at any x but 0."""
    return pnp.log(-(x * x)) + chain(x)


@pytest.mark.parametrize("name", WANTS)
@given(tape=tapes(rows=SMOOTH))
def test_a_graph_that_asks_for_the_tape_gives_what_numpy_gives(name: str, tape: Tape) -> None:
    """Random scalar graphs, every want, second order too: the same keys, shapes and numbers."""
    want, seeds = WANTS[name]
    graph = to_graph(tape)
    results = [
        SERVICE.evaluate(graph, INPUTS, want=want, seeds=seeds, executor=executor)
        for executor in ("tape", "numpy")
    ]
    mine, theirs = results
    assert (mine.metrics.executor, mine.metrics.executor_reason) == ("tape", "asked for")
    assert list(mine.outputs) == list(theirs.outputs)
    assert list(mine.derivatives) == list(theirs.derivatives)
    found = [*mine.outputs.values(), *mine.derivatives.values()]
    for got, array in zip(
        found, [*theirs.outputs.values(), *theirs.derivatives.values()], strict=True
    ):
        assert (got.dtype, got.shape) == (array.dtype, array.shape)
        if np.isfinite(array).all():
            np.testing.assert_allclose(got, array, 1e-8, 1e-8 * (1.0 + np.abs(array).max()))


def test_what_has_no_scalar_form_is_named() -> None:
    """The error says which node of the user's graph it is; inputs must be of one floating dtype."""
    graph = pb.trace(lambda x: pnp.sort(x * 2.0), np.ones(3))
    with pytest.raises(UnsupportedError, match="node 1 sort") as caught:
        SERVICE.evaluate(graph, {"x": np.ones(3)}, executor="tape")
    assert caught.value.field == "graph.nodes[1]"
    graph = pb.trace(lambda x, n: x * n, 2.0, np.arange(3))
    with pytest.raises(UnsupportedError, match="float64"):
        SERVICE.evaluate(graph, {"x": 2.0, "n": np.arange(3)}, executor="tape")
    with pytest.raises(InputError, match="no input 'z'"):
        SERVICE.evaluate(pb.trace(chain, 0.3), {"x": 0.3}, gradient="z", executor="tape")


def test_a_graph_is_kept_as_a_tape() -> None:
    """The second job of a graph finds its program."""
    service = pb.LocalService()
    graph = pb.trace(chain, 0.3)
    first, again = (
        service.evaluate(graph, {"x": 0.3}, gradient="x", executor="tape") for _ in range(2)
    )
    assert (first.metrics.program_cache_hit, again.metrics.program_cache_hit) == (False, True)
    assert first.gradients["x"] == again.gradients["x"]


def test_a_repeated_call_stays_on_the_tape() -> None:
    """The short way runs the same program: the same types and the same bits."""
    derivative = pb.LocalService().value_and_grad(chain, executor="tape")
    first, again = derivative(0.3), derivative(0.3)
    assert first == again
    assert type(first[1]) is type(again[1])
    matrix = pb.LocalService().hessian(lambda x: pnp.sum(x * x * x), executor="tape")
    np.testing.assert_allclose(matrix(np.arange(2.0)), np.diag([0.0, 6.0]))
    np.testing.assert_allclose(matrix(np.arange(2.0)), np.diag([0.0, 6.0]))


def loaded() -> pb.LocalService:
    """A service whose machine is ready for values and gradients."""
    service = pb.LocalService()
    for mode in (Mode.NONE, Mode.REVERSE):
        service._tapes.loader.load(FLOAT64, mode)
    return service


def test_scalar_code_moves_once_the_machine_is_there() -> None:
    """By estimate; the reason says so. Long arrays, and what must stay, stay."""
    graph = pb.trace(chain, 0.3)
    cold = pb.LocalService().evaluate(graph, {"x": 0.3}, gradient="x")
    assert cold.metrics.executor == "numpy"
    service = loaded()
    moved = service.evaluate(graph, {"x": 0.3}, gradient="x")
    assert moved.metrics.executor == "tape"
    assert "scalar code" in moved.metrics.executor_reason
    np.testing.assert_allclose(moved.gradients["x"], cold.gradients["x"], 1e-12)
    stay: list[dict[str, Any]] = [
        {"reproducible": True},
        {"memory_cap_bytes": 1 << 20},
        {"executor": "numpy"},
        {"certificate": True},
    ]
    for options in stay:
        result = service.evaluate(graph, {"x": 0.3}, gradient="x", **options)
        assert result.metrics.executor == "numpy", options
    stays = pb.LocalService(promote=False).evaluate(graph, {"x": 0.3}, gradient="x")
    assert stays.metrics.executor == "numpy"
    long = pb.trace(lambda x: pnp.sum(pnp.sin(x) * x), np.ones(100_000))
    result = service.evaluate(long, {"x": np.ones(100_000)}, gradient="x")
    assert result.metrics.executor == "numpy"
    asked = service.evaluate(graph, {"x": 0.3}, gradient="x", executor="tape", certificate=True)
    assert asked.metrics.executor == "tape"
    assert asked.metrics.certificate_error is not None


def test_the_machine_is_loaded_once_it_would_have_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time on NumPy counts, of long calls and of short ones; nobody waits for the load."""
    service = pb.LocalService()
    begun: list[Any] = []
    monkeypatch.setattr(service._tapes.loader, "begin", lambda *kind: begun.append(kind))
    derivative = service.value_and_grad(chain)
    derivative(0.3)
    derivative(0.3)
    assert not begun
    service._tapes._is_compiled = False
    service._tapes._spent_s = LOAD_S
    derivative(0.3)
    assert not begun
    service._tapes._spent_s = COMPILE_S
    derivative(0.3)
    assert begun == [(FLOAT64, Mode.REVERSE)]
    service._tapes.loader.load(FLOAT64, Mode.REVERSE)
    before = derivative(0.3)
    assert before == service.value_and_grad(chain, executor="tape")(0.3)


WANTS_AT_POINTS: dict[str, Any] = {
    "value": {},
    "gradient": {"gradient": ["x", "y"]},
    "hessian": {"want": Hessian(("x", "y"))},
    "hvp": {"want": Hvp(("x",), (("x",),)), "seeds": [{"x": np.array(2.0)}]},
    "vjp": {"want": Vjp(("y",), (("result",),)), "seeds": [{"result": np.array(3.0)}]},
    "jvp": {"want": Jvp((("x",),)), "seeds": [{"x": np.array(2.0)}]},
}


@pytest.mark.parametrize("name", WANTS_AT_POINTS)
def test_a_tape_runs_at_many_points(name: str) -> None:
    """Every want but a Jacobian of vectors; the machine runs one point's tape at all of them."""
    tape = pb.Tape.record(lambda x, y: (x * y).sin() + x * x * y, 0.5, 1.0)
    points = {"x": np.linspace(-1, 1, 150), "y": np.linspace(2, 3, 150)}
    how = WANTS_AT_POINTS[name]
    swept = tape.at(points, service=SERVICE, executor="tape", **how)
    usual = tape.at(points, service=SERVICE, executor="numpy", **how)
    assert (swept.metrics.executor, usual.metrics.executor) == ("tape", "numpy")
    assert list(swept.derivatives) == list(usual.derivatives)
    np.testing.assert_allclose(swept.outputs["result"], usual.outputs["result"], 1e-13)
    for key, array in usual.derivatives.items():
        np.testing.assert_allclose(swept.derivatives[key], array, 1e-12, 1e-12)


def test_many_points_move_by_themselves() -> None:
    """Once the kernels for points are loaded; the reason says how many points there are."""
    service = pb.LocalService()
    graph, points = pb.trace(chain, 0.3), {"x": np.linspace(-1, 1, 320)}
    assert service.evaluate_many(graph, points, gradient="x").metrics.executor == "numpy"
    service._tapes.loader.load(FLOAT64, Mode.POINTS)
    moved = service.evaluate_many(graph, points, gradient="x").metrics
    assert (moved.executor, "at 320 points" in moved.executor_reason) == ("tape", True)


def test_a_wrong_want_of_scalar_code_has_the_graphs_own_error() -> None:
    """What moves by itself changes no error."""
    graph = pb.trace(chain, 0.3)
    messages = []
    for service in (loaded(), pb.LocalService(promote=False)):
        with pytest.raises(InputError) as caught:
            service.evaluate(graph, {"x": 0.3}, gradient="z")
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("executor", ["auto", "tape"])
def test_a_nan_is_traced_to_its_node(executor: str) -> None:
    """A check of the results works as on NumPy, and without one they are counted."""
    service, graph = loaded(), pb.trace(broken, 0.3)
    with pytest.raises(NonFiniteError, match="log"):
        service.evaluate(graph, {"x": 0.3}, executor=executor, check="finite")
    counted = service.evaluate(graph, {"x": 0.3}, executor=executor).metrics
    assert counted.executor == "tape"
    assert counted.non_finite == {"result": 1}


_WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None
import pullback as pb
graph = pb.trace(lambda x: x * x, 3.0)
assert pb.local().evaluate(graph, {"x": 3.0}, gradient="x").metrics.executor == "numpy"
tape = pb.Tape.record(lambda x: x * x, 3.0)
assert tape.evaluate({"x": 3.0}).metrics.executor == "numpy"
for job in (graph, tape):
    try:
        pb.local().evaluate(job, {"x": 3.0}, executor="tape")
    except pb.UnsupportedError as error:
        assert "pip install 'pullback[tape]'" in str(error), error
    else:
        raise AssertionError("refused")
"""


def test_without_numba_graphs_run_and_the_machine_is_refused_with_what_installs_it() -> None:
    """In a process where numba can't be imported."""
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_NUMBA], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
