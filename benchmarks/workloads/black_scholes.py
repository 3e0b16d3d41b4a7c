"""Prices and greeks of European call options by Black and Scholes: elementwise over long arrays."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from math import pi, sqrt
from typing import Any

import numpy as np

from benchmarks.contest import Call, Case, NDArray, Rival, Target
from benchmarks.libraries import autograd_peer, jax_peer, ours, torch_peer
from benchmarks.libraries.words import Function, Words
from benchmarks.workloads.workload import Workload

GREEKS = (0, 2, 3, 4)
"""Delta, vega, theta (its negative) and rho: by spot, volatility, expiry and rate."""


def write(np: Words) -> Function:
    """The price of each option, arrays of one length throughout."""

    def price(spot: Any, strike: Any, volatility: Any, expiry: Any, rate: Any) -> Any:
        spread = volatility * np.sqrt(expiry)
        d1 = (np.log(spot / strike) + (rate + 0.5 * volatility * volatility) * expiry) / spread
        d2 = d1 - spread
        discount = np.exp(-rate * expiry)
        return spot * _normal(np, d1) - strike * discount * _normal(np, d2)

    return price


def _normal(np: Words, x: Any) -> Any:
    """The standard normal distribution function."""
    return 0.5 * (1.0 + np.erf(x * sqrt(0.5)))


def by_hand(
    spot: NDArray, strike: NDArray, volatility: NDArray, expiry: NDArray, rate: NDArray
) -> Sequence[NDArray]:
    """Prices and greeks by their formulas (Hull, Options, Futures and Other Derivatives, 19)."""
    ndtr = import_module("scipy.special").ndtr
    root = np.sqrt(expiry)
    spread = volatility * root
    d1 = (np.log(spot / strike) + (rate + 0.5 * volatility * volatility) * expiry) / spread
    d2 = d1 - spread
    owed = strike * np.exp(-rate * expiry)
    delta, exercised = ndtr(d1), ndtr(d2)
    owed *= exercised
    vega = spot * np.exp(-0.5 * d1 * d1) * (root / sqrt(2 * pi))
    by_expiry = vega * volatility / (2.0 * expiry) + rate * owed
    return spot * delta - owed, delta, vega, by_expiry, owed * expiry


def data(count: int) -> list[NDArray]:
    """Spots, strikes, volatilities, expiries in years and rates."""
    random = np.random.default_rng(0)
    bounds = ((80.0, 120.0), (80.0, 120.0), (0.1, 0.5), (0.1, 2.0), (0.0, 0.05))
    return [random.uniform(low, high, count) for low, high in bounds]


def case(count: int) -> Case:
    """So many options at once."""
    arguments = data(count)
    ones = np.ones(count)
    return Case(
        name=f"{count:,} options",
        about="call prices, and delta, vega, theta and rho of each, float64",
        rivals=[
            Rival("NumPy by hand", "NumPy", lambda: lambda: by_hand(*arguments)),
            *ours.rivals(_ours(ones), arguments),
            *jax_peer.rivals(_jax, arguments),
            *torch_peer.rivals(_torch, arguments),
            Rival("autograd", "autograd", lambda: _autograd(arguments, ones)),
        ],
        targets=[Target(1.1, families=("JAX",)), Target(0.5, families=("NumPy",))],
        tolerance=1e-9,
    )


def _ours(ones: NDArray) -> ours.Build:
    def build(service: Any, **options: Any) -> Function:
        greeks = service.vjp(write(ours.words()), GREEKS, **options)
        return lambda *arrays: greeks(*arrays, cotangent=ones)

    return build


def _jax(jax: Any) -> Function:
    price = write(jax_peer.words())

    @jax.jit  # type: ignore[untyped-decorator]
    def priced(*arrays: Any) -> tuple[Any, Any]:
        def of_chosen(*chosen: Any) -> Any:
            full = list(arrays)
            for position, array in zip(GREEKS, chosen, strict=True):
                full[position] = array
            return price(*full)

        value, pull = jax.vjp(of_chosen, *[arrays[i] for i in GREEKS])
        return value, pull(jax.numpy.ones_like(value))

    return priced  # type: ignore[no-any-return]


def _torch(torch: Any, transform: Function) -> Function:
    price = transform(write(torch_peer.words()))

    def priced(*tensors: Any) -> tuple[Any, Any]:
        leaves = list(tensors)
        for position in GREEKS:
            leaves[position] = leaves[position].detach().requires_grad_()
        value = price(*leaves)
        chosen = [leaves[i] for i in GREEKS]
        return value, torch.autograd.grad(value, chosen, torch.ones_like(value))

    return priced


def _autograd(arguments: Sequence[NDArray], ones: NDArray) -> Call:
    price = write(autograd_peer.words())

    def of_chosen(chosen: Any) -> Any:
        full = list(arguments)
        for position, array in zip(GREEKS, chosen, strict=True):
            full[position] = array
        return price(*full)

    make_vjp = import_module("autograd").make_vjp(of_chosen)

    def call() -> Any:
        pull, value = make_vjp(tuple([arguments[i] for i in GREEKS]))
        return value, pull(ones)

    return call


WORKLOAD = Workload(
    "Black–Scholes, price and greeks", {"million": 1_000_000}, 7, case, budget_s=12.0
)
