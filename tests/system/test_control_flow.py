"""Loops over real gRPC: gradients, deadlines that stop endless ones, hostile tables refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from examples.server_process import RunningServer, running_server
from pullback import lax
from pullback.remote.service import Service


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """One server for the module."""
    with running_server("--workers", "0") as running:
        yield running


@pytest.fixture
def service(server: RunningServer) -> Iterator[Service]:
    """A client of its own for each test."""
    with pb.connect(server.address) as service:
        yield service


def loss(w: Any, x: Any) -> Any:
    """A recurrent loss."""

    def step(h: Any, entry: Any) -> Any:
        h = pnp.tanh(w @ h + entry)
        return h, pnp.sum(h * h)

    return pnp.sum(lax.scan(step, pnp.zeros(w.shape[0]), x)[1])


def test_a_scan_gives_the_same_here_and_there(service: Service) -> None:
    """Value, gradients and Hessian product, bit for bit, inline and by its fingerprint."""
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(3, 3)), rng.normal(size=(20, 3))
    for _ in range(2):
        value, (by_w, by_x) = service.value_and_grad(loss, ("w", "x"))(w, x)
        local = pb.value_and_grad(loss, ("w", "x"))(w, x)
        np.testing.assert_array_equal(value, local[0])
        np.testing.assert_array_equal(by_w, local[1][0])
        np.testing.assert_array_equal(by_x, local[1][1])
    direction = service.hvp(loss, "w")(w, x, tangent=w)
    np.testing.assert_array_equal(direction, pb.hvp(loss, "w")(w, x, tangent=w))


def test_a_memory_cap_cuts_a_long_scan(service: Service) -> None:
    """Ten thousand steps under a tenth of their plain peak; the metrics say what that cost."""
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(16, 16)) / 16, rng.normal(size=(10_000, 1))
    graph = pb.trace(loss, w, x)
    plain = service.evaluate(graph, {"w": w, "x": x}, gradient=["w"])
    cap = plain.metrics.peak_bytes // 10
    capped = service.evaluate(graph, {"w": w, "x": x}, gradient=["w"], memory_cap_bytes=cap)
    assert capped.metrics.peak_bytes <= cap
    assert capped.metrics.recompute_factor > 1.0
    np.testing.assert_allclose(capped.gradients["w"], plain.gradients["w"], rtol=1e-9)


def test_a_deadline_stops_an_endless_loop(service: Service) -> None:
    """And the server goes on."""

    def endless(x: Any) -> Any:
        return lax.while_loop(lambda s: s == s, pnp.sin, x)

    graph = pb.trace(endless, 1.0)
    with pytest.raises(pb.DeadlineExceeded):
        service.evaluate(graph, {"x": 1.0}, deadline_s=0.3)
    assert service.evaluate(pb.trace(pnp.sin, 0.0), {"x": 0.0}).outputs["result"] == 0.0


def test_branches_and_custom_derivatives_travel(service: Service) -> None:
    """A graph with both, chosen by its inputs."""

    @lax.custom_derivative(vjp=lambda primals, result, g: (3.0 * g,))
    def tripled(x: Any) -> Any:
        return x

    def chosen(p: Any, x: Any) -> Any:
        return lax.cond(p > 0, lambda x: pnp.sum(tripled(x)), lambda x: pnp.sum(x * x), x)

    x = np.arange(3.0)
    np.testing.assert_array_equal(service.grad(chosen, "x")(1.0, x), np.full(3, 3.0))
    np.testing.assert_array_equal(service.grad(chosen, "x")(-1.0, x), 2 * x)
