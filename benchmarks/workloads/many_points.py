"""One graph at many points as one batch, beside a `jax.vmap` written by hand."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import pullback as pb
from benchmarks.contest import Case, NDArray, Target
from benchmarks.libraries import jax_peer, ours, torch_peer
from benchmarks.libraries.words import Function, Write
from benchmarks.workloads.random_program import random_steps, write
from benchmarks.workloads.workload import Workload

SPEED = 0.9
"""Of JAX's: the least that ours may be."""


class Sizes(NamedTuple):
    """Points, nodes of the graph, and elements of a point."""

    points: int
    nodes: int = 100
    elements: int = 8


def case(sizes: Sizes) -> Case:
    """So many points at once."""
    random = np.random.default_rng(0)
    width = sizes.elements
    arguments: list[NDArray] = [
        random.normal(size=(sizes.points, width)),
        random.normal(0.0, width**-0.5, (width, width)),
    ]
    program = write(random_steps(sizes.nodes, seed=0))
    return Case(
        name=f"{sizes.points:,} points, {sizes.nodes} nodes",
        about=f"value and gradient of a random graph by points of {width} numbers, float64; "
        f"the goal is {SPEED:g} of the speed of jax.vmap",
        rivals=[
            *jax_peer.rivals(_jax(program), arguments, "JAX jit of vmap"),
            *ours.rivals(_ours(program), arguments),
            *torch_peer.rivals(_torch(program), arguments, compiled=False, name="PyTorch vmap"),
        ],
        targets=[Target(1.0 / SPEED, families=("JAX",))],
    )


def _jax(program: Write) -> jax_peer.Build:
    def build(jax: Any) -> Function:
        one = jax.value_and_grad(program(jax_peer.words()))
        return jax.jit(jax.vmap(one, in_axes=(0, None)))  # type: ignore[no-any-return]

    return build


def _ours(program: Write) -> ours.Build:
    def build(service: pb.LocalService, **options: Any) -> Function:
        vmap: Any = getattr(pb, "vmap")  # noqa: B009  (it says so where it is missing)
        one = pb.value_and_grad(program(ours.words()))
        return service.value(vmap(one, in_axes=(0, None)), **options)  # type: ignore[no-any-return]

    return build


def _torch(program: Write) -> torch_peer.Build:
    def build(torch: Any, transform: Function) -> Function:
        one = torch.func.grad_and_value(program(torch_peer.words()))
        mapped = torch.func.vmap(one, in_dims=(0, None))

        def swapped(*tensors: Any) -> tuple[Any, Any]:
            gradient, value = mapped(*tensors)
            return value, gradient

        return swapped

    return build


WORKLOAD = Workload(
    "one graph at many points", {"ten thousand": Sizes(10_000)}, Sizes(7, 12, 3), case, budget_s=8.0
)
