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

    def while_loop(
        self, cond: Graph, body: Graph, consts: int, max_steps: int, keep: bool
    ) -> Callable[..., Any]:
        """The loop that ends when the condition says so."""
        test, run = bound(cond, self._kernels), bound(body, self._kernels)
        types = [body.types[item.value] for item in body.outputs]
        stacked = [type._replace(shape=(max_steps, *type.shape)) for type in types] if keep else []

        def loop(*operands: Array) -> Any:
            shared = operands[:consts]

            def goes_on(state: Any) -> Array:
                steps, carries, _ = state
                holds = test([*shared, *carries])[0]
                return (steps < max_steps) & holds if max_steps else holds

            def step(state: Any) -> Any:
                steps, carries, kept = state
                kept = [o.at[steps].set(x) for o, x in zip(kept, carries, strict=bool(kept))]
                return steps + 1, run([*shared, *carries]), kept

            first = [
                jnp.asarray(x, type.dtype) for x, type in zip(operands[consts:], types, strict=True)
            ]
            start = (jnp.asarray(0, jnp.int64), first, [_zeros(type) for type in stacked])
            steps, carries, kept = lax.while_loop(goes_on, step, start)
            return _alone([*carries, steps, *kept] if keep else carries)

        return loop

    def cond(self, branches: Sequence[Graph]) -> Callable[..., Any]:
        """One of the branches: the choice, then what it runs on."""
        runs = [bound(branch, self._kernels) for branch in branches]

        def choose(choice: Array, *operands: Array) -> Any:
            index = jnp.clip(jnp.asarray(choice).astype(jnp.int64), 0, len(runs) - 1)
            return _alone(lax.switch(index, runs, operands))

        return choose

    def call(self, graph: Graph) -> Callable[..., Any]:
        """The graph itself."""
        run = bound(graph, self._kernels)
        return lambda *operands: _alone(run(operands))


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
