"""Tapes recorded from Python scalars, run in this process and by a service."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as xnp
from examples.server_process import running_server
from pullback_graph.codec.tapes import NAMED_BYTES
from pullback_graph.tape import Tape as FinishedTape

POINT = {"x": 0.7, "v": [1.0, 2.0, 3.0]}


def recorded(dtype: str = "float64") -> pb.Tape:
    """y = sin(x) 2 + x^2 + |v|^2 / exp(v0), and an array of scalars and numbers."""
    t = pb.Tape(dtype)
    x, v = t.input("x"), t.input("v", 3)
    y = t.sin(x) * 2 + x**2 + np.sum(v * v) / np.exp(v[0])
    t.output("y", y)
    t.output("w", [[v[1], 3.0], [x, 1]])
    return t


def expected(x: float, v: Any) -> float:
    """What its y is."""
    return float(math.sin(x) * 2 + x**2 + sum(item * item for item in v) / math.exp(v[0]))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_tape_is_evaluated_and_differentiated_in_this_process(dtype: str) -> None:
    """Values and gradients of what was recorded; outputs have the shape they were given."""
    t = recorded(dtype)
    result = pb.local().gradient(t, POINT, ["x", "v"], "y")
    x, v = POINT["x"], np.array(POINT["v"])
    assert isinstance(x, float)
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    assert float(result.outputs["y"]) == pytest.approx(expected(x, v), tolerance)
    assert result.outputs["y"].dtype == dtype
    np.testing.assert_allclose(result.outputs["w"], [[2.0, 3.0], [x, 1.0]], tolerance)
    assert float(result.gradients["x"]) == pytest.approx(2 * math.cos(x) + 2 * x, tolerance)
    slope = 2 * v / math.exp(v[0]) - [(v @ v) / math.exp(v[0]), 0, 0]
    np.testing.assert_allclose(result.gradients["v"], slope, tolerance)


def test_every_way_to_write_an_operation_records_the_same_row() -> None:
    """Operators, reflected ones, methods, functions of the tape and of NumPy, comparisons."""
    t = pb.Tape()
    x, y = t.input("x"), t.input("y")
    values = {
        "plus": x + y, "minus": 1.5 - x, "times": 3 * x, "over": 2.0 / y, "power": x**y,
        "root": x**0.5, "inverse": y**-1, "exponent": 2.0**x, "floor": x // y, "rest": x % y,
        "negative": -x, "size": abs(-x), "sine": np.sin(x), "arc": np.arctan2(x, y),
        "method": x.tanh(), "function": t.hypot(x, y), "larger": x.maximum(y),
        "chosen": t.where(x < y, x, y), "clipped": t.clip(x, 0.0, 1.0), "both": (x < y) & (y < 9.0),
        "square": x**2, "same": x**1, "zero": x * 0.0, "other zero": x * -0.0, "whole": x * 7,
        "numpy": x * np.float64(1.25), "logarithm": np.log(x), "rounded": np.rint(y),
    }  # fmt: skip
    for name, value in values.items():
        t.output(name, value)
    found = t.evaluate({"x": 1.25, "y": 2.5}).outputs
    a, b = 1.25, 2.5
    numbers = {
        "plus": a + b, "minus": 1.5 - a, "times": 3 * a, "over": 2.0 / b, "power": a**b,
        "root": a**0.5, "inverse": 1 / b, "exponent": 2.0**a, "floor": a // b, "rest": a % b,
        "negative": -a, "size": a, "sine": math.sin(a), "arc": math.atan2(a, b),
        "method": math.tanh(a), "function": math.hypot(a, b), "larger": b,
        "chosen": a, "clipped": 1.0, "both": 1.0, "square": a * a, "same": a, "zero": 0.0,
        "other zero": -0.0, "whole": a * 7, "numpy": a * 1.25, "logarithm": math.log(a),
        "rounded": 2.0,
    }  # fmt: skip
    assert {name: float(array) for name, array in found.items()} == pytest.approx(numbers, 1e-14)
    assert math.copysign(1.0, float(found["other zero"])) == -1.0


def test_plain_python_code_is_recorded_as_it_is() -> None:
    """Floats and arrays become scalars, integers stay; loops unroll; results are named."""

    def energy(q: Any, mass: float, steps: int) -> dict[str, Any]:
        p = [0.0 * item for item in q]
        for _ in range(steps):
            p = [m - 0.1 * np.sin(item) for m, item in zip(p, q, strict=True)]
            q = [item + 0.1 * m / mass for m, item in zip(p, q, strict=True)]
        return {"energy": sum(m * m for m in p) / (2 * mass), "q": q}

    start = [0.3, -0.4]
    t = pb.Tape.record(energy, start, 2.0, steps=5)
    usual = energy(start, 2.0, 5)
    result = pb.local().gradient(t, {"q": start, "mass": 2.0}, "q", "energy")
    assert [item.name for item in t.build().inputs] == ["q", "mass"]
    assert float(result.outputs["energy"]) == pytest.approx(usual["energy"], 1e-13)
    np.testing.assert_allclose(result.outputs["q"], usual["q"], 1e-13)
    nearby = energy([0.3 + 1e-6, -0.4], 2.0, 5)["energy"]
    assert result.gradients["q"][0] == pytest.approx((nearby - usual["energy"]) / 1e-6, 1e-4)
    assert pb.Tape.record(lambda x: (x, x + 1.0), 2.0).build().output_names == (
        "result.0",
        "result.1",
    )


def test_a_tape_of_a_graph_and_the_graph_of_a_tape() -> None:
    """Arrays come apart into scalars, and both compute the same."""
    graph = pb.trace(lambda x, a: xnp.sum(xnp.exp(a @ x)), np.ones(2), np.ones((3, 2)))
    t = pb.Tape.of(graph)
    inputs = {"x": np.array([0.1, 0.2]), "a": np.arange(6.0).reshape(3, 2)}
    swept = pb.local().hessian(t, inputs, "x").hessians["x", "x"]
    np.testing.assert_allclose(swept, pb.local().hessian(graph, inputs, "x").hessians["x", "x"])
    back = t.to_graph()
    assert back.output_names == graph.output_names
    np.testing.assert_allclose(
        pb.local().value(back, inputs).outputs["result"],
        pb.local().value(graph, inputs).outputs["result"],
    )


def test_what_cannot_be_recorded_is_refused_with_what_to_do() -> None:
    """Branches, numbers, other tapes' scalars, names given twice, tapes without outputs."""
    t, other = pb.Tape(), pb.Tape()
    x, z = t.input("x"), other.input("z")
    for attempt, words in (
        (lambda: 1 if x > 0 else 2, "where"),
        (lambda: math.sin(x), "x.sin"),
        (lambda: [1, 2][x], "Python's own"),
        (lambda: x + z, "another tape"),
        (lambda: x + "one", "no number"),
        (lambda: t.sin(None), "no number"),
    ):
        with pytest.raises(pb.TraceError, match=words):
            attempt()
    with pytest.raises(pb.GraphError, match="output"):
        t.build()
    t.output("y", x)
    with pytest.raises(pb.GraphError, match="twice"):
        t.output("y", x)
    t.build()
    with pytest.raises(pb.GraphError, match="finished"):
        t.input("late")
    with pytest.raises(AttributeError):
        t.frobnicate(x)
    with pytest.raises(pb.UnsupportedError, match="sort"):
        pb.Tape.of(pb.trace(xnp.sort, np.ones(3)))


def test_a_tape_says_how_long_it_is_and_what_it_computes() -> None:
    """Its length is its nodes; short ones print as graphs."""
    t = recorded()
    assert len(t) == 11 + 1
    assert "sin(x)" in str(t)
    assert repr(t) == "<Tape of 12 nodes, float64>"
    assert isinstance(t.build(), FinishedTape)
    assert t.fingerprint == recorded().fingerprint
    assert bool(pb.Tape())


def test_recording_imports_no_numba() -> None:
    """A tape is recorded, finished and encoded without the machine."""
    code = (
        "import sys, pullback as pb; t = pb.Tape(); t.output('y', t.input('x') * 2); t.build();"
        "assert 'numba' not in sys.modules and 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- by a service ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def service() -> Iterator[Any]:
    """A service without workers."""
    with running_server("--workers", "0") as running, pb.connect(running.address) as opened:
        yield opened


def test_a_service_takes_tapes_wherever_it_takes_graphs(service: Any) -> None:
    """Values, derivatives, plans and maps give what this process gives."""
    pytest.importorskip("numba")
    t = recorded()
    here, there = (each.gradient(t, POINT, ["x", "v"], "y") for each in (pb.local(), service))
    assert there.metrics.executor == "tape"
    for name, array in here.gradients.items():
        assert there.gradients[name].tobytes() == array.tobytes()
    assert service.plan(t).executor == "tape"
    assert t.evaluate(POINT, service=service, gradient=None).outputs.keys() == {"y", "w"}
    points = [(t, {**POINT, "x": float(k)}, pb.Gradient(("x",), "y")) for k in range(70)]
    for k, outcome in enumerate(service.map(points)):
        assert isinstance(outcome, pb.Result), outcome
        slope = 2 * math.cos(k) + 2 * k
        assert float(outcome.gradients["x"]) == pytest.approx(slope, 1e-12)


def test_a_large_tape_travels_once(service: Any) -> None:
    """From NAMED_BYTES on the service keeps it, and the client names it."""
    pytest.importorskip("numba")
    t = pb.Tape()
    x = y = t.input("x")
    for _ in range(NAMED_BYTES // 10):
        y = y.sin() * x
    t.output("y", y)
    assert t.build().size_bytes > NAMED_BYTES
    first = service.gradient(t, {"x": 0.9}, "x")
    again = service.gradient(t, {"x": 0.9}, "x")
    assert not first.metrics.graph_cache_hit
    assert again.metrics.graph_cache_hit
    assert first.gradients["x"] == again.gradients["x"]


def test_the_machine_can_be_asked_for_without_a_server() -> None:
    """By name, as on a server; other names are refused as ever."""
    tape = pb.Tape.record(lambda x: x * x + 1.0, 3.0)
    result = pb.local().evaluate(tape, {"x": 3.0}, gradient="x", executor="tape")
    assert (result.metrics.executor, float(result.gradients["x"])) == ("tape", 6.0)
    with pytest.raises(pb.RequestError, match="executor"):
        pb.local().evaluate(tape, {"x": 3.0}, executor="abacus")
