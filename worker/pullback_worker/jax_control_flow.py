"""Loops and branches over `jax.lax`: a body is the run rules of its nodes, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from pullback_graph.graph import Graph
from pullback_graph.kernels import Kernels, Loop
from pullback_graph.types import ArrayType

Array = Any
Body = Callable[[Sequence[Array]], list[Array]]


class JaxControlFlow:
    """Rows with subgraphs, for jax.numpy's kernels."""

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels

    def scan(self, body: Graph, loop: Loop) -> Callable[..., Any]:
        """The loop over a leading axis, sums being carried."""
        run = bound(body, self._kernels)
        types = [body.types[item.value] for item in body.outputs]
        last = len(types) - loop.sums

        def step(consts: Sequence[Array], carried: Any, entries: Any) -> Any:
            carries, sums = carried
            results = run([*consts, *carries, *entries])
            added = [s + y for s, y in zip(sums, results[last:], strict=True)]
            return (results[: loop.carries], added), results[loop.carries : last]

        def scan(*operands: Array) -> Any:
            consts = operands[: loop.consts]
            first = loop.consts + loop.carries
            carries = [
                jnp.asarray(x, type.dtype)
                for x, type in zip(operands[loop.consts : first], types, strict=False)
            ]
            sums = [_zeros(type) for type in types[last:]]
            (carries, sums), stacked = lax.scan(
                lambda carried, entries: step(consts, carried, entries),
                (carries, sums),
                list(operands[first:]),
                length=loop.length if first == len(operands) else None,
                reverse=loop.reverse,
            )
            return _alone([*carries, *stacked, *sums])

        return scan


def bound(graph: Graph, kernels: Kernels) -> Body:
    """The function of a graph: inputs to outputs."""
    functions = [node.op.run(kernels, **node.attributes) for node in graph.nodes]
    held = [jnp.asarray(array) for array in graph.constants]

    def run(inputs: Sequence[Array]) -> list[Array]:
        values = [*inputs, *held]
        for node, function in zip(graph.nodes, functions, strict=True):
            results = function(*[values[i] for i in node.operands])
            values += results if isinstance(results, tuple) else (results,)
        return [values[item.value] for item in graph.outputs]

    return run


def _zeros(type: ArrayType) -> Array:
    return jnp.zeros(type.shape, type.dtype)


def _alone(results: Sequence[Array]) -> Any:
    """A single result alone, several as a tuple."""
    return results[0] if len(results) == 1 else tuple(results)
