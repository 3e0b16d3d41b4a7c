"""What a process measures of itself: a rate for what graphs ask for, whatever the machine."""

from __future__ import annotations

from math import isfinite

import pytest

from pullback_graph.op import Op
from pullback_graph.ops.rules import broadcast_axes
from pullback_graph.table import OPS
from pullback_graph.types import FLOAT32
from pullback_worker import numpy_probe
from pullback_worker.numpy_probe import LONG_BYTES, SHORT_BYTES, measured, traffic_bytes
from pullback_worker.numpy_work import CROWDED, FRESH, HELD, LOOPS, MEMORY, STEPS, THIN_MEMORY
from pullback_worker.row_samples import Sample, samples


def test_every_elementwise_row_is_measured() -> None:
    """In float64 and with its calls, given time; and products and factors, by FLOPs and bytes."""
    rates = measured(budget_s=60.0)
    assert all(isfinite(rate) and rate >= 0.0 for rate in rates.values())
    assert rates[CROWDED] >= rates[MEMORY] > 0.0
    assert rates[THIN_MEMORY] >= rates[MEMORY]
    assert rates["matmul float64 thin"] > 0.0
    plain = [op for op in OPS.values() if op.axes is broadcast_axes and not op.attributes]
    assert len(plain) > 70
    assert [op.name for op in plain if f"{op.name} calls" not in rates] == []
    dense = {"matmul", "einsum", "solve", "inv", "cholesky", "eigh", "svd", "convolution"}
    assert {name for name in dense if f"{name} float64 bytes" not in rates} == set()
    assert all([rates[f"{name} float64"] > 0.0 for name in dense])
    assert all([rates[f"{name} {FLOAT32}"] > 0.0 for name in ("add", "exp", "multiply")])


def test_what_surrounds_the_elements_is_measured_as_well() -> None:
    """Inner loops, of reductions by what they go along, and calls on the scalars of loops."""
    rates = measured(budget_s=60.0)
    assert rates[LOOPS] > 0.0
    assert {"sum contracted loops", "sort kept loops", "svd whole loops"} <= rates.keys()
    assert rates["multiply scalar calls"] > 0.0
    assert rates["sin scalar calls"] > 0.0
    assert rates[STEPS] > 0.0


def test_no_row_is_measured_beyond_the_budget() -> None:
    """Memory always is, and inner loops, and those of the language."""
    assert set(measured(budget_s=0.0)) == {
        MEMORY,
        THIN_MEMORY,
        HELD,
        CROWDED,
        FRESH,
        LOOPS,
        STEPS,
    }


def test_a_worker_of_little_memory_measures_with_less() -> None:
    """Arrays of tasks beside the measurement must still fit."""
    assert traffic_bytes(0) == traffic_bytes(8 << 30) == LONG_BYTES
    assert traffic_bytes(64 << 20) == traffic_bytes(2 << 30) == SHORT_BYTES
    rates = measured(budget_s=0.0, room_bytes=64 << 20)
    assert rates[CROWDED] >= rates[MEMORY] >= rates[HELD] > 0.0


def test_a_call_that_was_disturbed_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a call is most of what a row takes, what is left of its work is a small difference."""
    calls_s = iter([9e-5, 3e-5])

    def run_s(_: object, sample: Sample) -> float:
        small = sample.times == 1
        return next(calls_s, 3e-5) if small else 1e-4

    monkeypatch.setattr(numpy_probe, "OPS", {"convolution": OPS["convolution"]})
    monkeypatch.setattr("pullback_worker.numpy_probe._Probe._run_s", run_s)
    rates = measured(budget_s=60.0)
    large = samples(OPS["convolution"], FLOAT32)
    assert rates["convolution calls"] == 3e-5
    assert large is not None
    expected = pytest.approx(7e-5 / large.large.amount)
    assert rates["convolution float32"] == expected


def test_a_row_that_does_not_run_costs_only_its_own_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that is broken for one row tells nothing of the others."""
    add, sine = OPS["add"], OPS["sin"]
    broken = Op(**{n: getattr(sine, n) for n in _COLUMNS} | {"run": lambda _: _fail})
    monkeypatch.setattr(numpy_probe, "OPS", {"sin": broken, "add": add})
    rates = measured()
    assert "add float64" in rates
    assert not any(unit.startswith("sin ") for unit in rates)


_COLUMNS = ("name", "operands", "type", "derivative", "axes", "cost", "domain")


def _fail(*_: object) -> None:
    raise ArithmeticError("no such instruction")
