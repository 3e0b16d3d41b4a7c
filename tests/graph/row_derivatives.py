"""Derivatives of a single row, by the passes and by JAX, on arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from pullback_graph.builder import Builder
from pullback_graph.derivative import hvp, jvp, vjp
from pullback_graph.graph import Graph
from pullback_graph.op import Undefined, Zero
from pullback_graph.ref import Ref, do
from pullback_graph.types import type_of
from pullback_worker.jax_kernels import JaxKernels
from tests.graph.drawing import ALL_CASES, Case, NDArray, intervals, operand_types, result_types
from tests.graph.interpreter import evaluate, run_row

JAX: Any = JaxKernels()


def differentiable_operands(case: Case) -> list[int]:
    """Positions of the operands that carry derivatives into the results."""
    if isinstance(case.op.derivative, Undefined | Zero):
        return []
    if not all(type.is_floating for type in result_types(case)):
        return []
    return [i for i, own in enumerate(intervals(case)) if not own.boolean and not own.integer]


def differentiable_cases() -> list[Case]:
    """Every case of every row that has a derivative to be tested, of real numbers alone."""
    return [case for case in ALL_CASES if differentiable_operands(case) and is_real(case)]


def is_real(case: Case) -> bool:
    """Whether no operand or result is complex."""
    return not any(type.is_complex for type in (*operand_types(case), *result_types(case)))


def names(positions: Sequence[int]) -> tuple[str, ...]:
    """Input names of the operands at `positions`."""
    return tuple(f"x{i}" for i in positions)


def row_graph(case: Case, arrays: Sequence[NDArray]) -> Graph:
    """The graph of one node, with inputs x0, x1, ... and outputs z0, ..."""
    builder = Builder()
    results = _apply(builder, case, arrays)
    return builder.build({f"z{i}": z for i, z in enumerate(results)})


def scalar_graph(case: Case, arrays: Sequence[NDArray], weights: Sequence[NDArray]) -> Graph:
    """One node, its results weighted and summed (their real parts) to the scalar output `s`."""
    builder = Builder()
    results = _apply(builder, case, arrays)
    total: Ref = builder.constant(np.asarray(0.0))
    for z, weight in zip(results, weights, strict=True):
        weighted = z * builder.constant(weight)
        if weighted.type.is_complex:
            weighted = do.real(weighted)
        total = total + do.sum(weighted, axes=tuple(range(weight.ndim)), keepdims=False)
    return builder.build({"s": total}, prune=False)


def _apply(builder: Builder, case: Case, arrays: Sequence[NDArray]) -> tuple[Ref, ...]:
    inputs = [builder.input(f"x{i}", type_of(array)) for i, array in enumerate(arrays)]
    results = builder.add(case.op.name, *inputs, **case.attributes)
    return results if isinstance(results, tuple) else (results,)


def pushed(case: Case, arrays: Sequence[NDArray], tangents: Sequence[NDArray]) -> list[NDArray]:
    """The results' tangents, by the forward pass."""
    positions = differentiable_operands(case)
    made = jvp(row_graph(case, arrays), [names(positions)])
    return _evaluated(made.graph, [*arrays, *tangents])[made.value_count :]


def pulled(case: Case, arrays: Sequence[NDArray], cotangents: Sequence[NDArray]) -> list[NDArray]:
    """The operands' cotangents, by the reverse pass."""
    graph = row_graph(case, arrays)
    made = vjp(graph, names(differentiable_operands(case)), [graph.output_names])
    return _evaluated(made.graph, [*arrays, *cotangents])[made.value_count :]


def second(
    case: Case,
    arrays: Sequence[NDArray],
    weights: Sequence[NDArray],
    directions: Sequence[NDArray],
) -> list[NDArray]:
    """The Hessian of the weighted sum of the results times directions, forward over reverse."""
    wrt = names(differentiable_operands(case))
    made = hvp(scalar_graph(case, arrays, weights), wrt, [wrt])
    return _evaluated(made.graph, [*arrays, *directions])[made.value_count :]


def _evaluated(graph: Graph, arrays: Sequence[NDArray]) -> list[NDArray]:
    return [np.asarray(array) for array in evaluate(graph, arrays)]


def numpy_function(
    case: Case, arrays: Sequence[NDArray]
) -> Callable[[Sequence[NDArray]], list[NDArray]]:
    """The row on NumPy as a function of its differentiable operands."""

    def function(moved: Sequence[NDArray]) -> list[NDArray]:
        return run_row(case.op, _replaced(case, arrays, moved), case.attributes)

    return function


def jax_function(case: Case, arrays: Sequence[NDArray]) -> Callable[..., tuple[Any, ...]]:
    """The row on JAX as a function of its differentiable operands."""

    def function(*moved: Any) -> tuple[Any, ...]:
        return tuple(run_row(case.op, _replaced(case, arrays, moved), case.attributes, JAX))

    return function


def _replaced(case: Case, arrays: Sequence[Any], moved: Sequence[Any]) -> list[Any]:
    operands = list(arrays)
    for i, array in zip(differentiable_operands(case), moved, strict=True):
        operands[i] = array
    return operands


def jax_first(
    case: Case,
    arrays: Sequence[NDArray],
    tangents: Sequence[NDArray],
    cotangents: Sequence[NDArray],
) -> tuple[list[NDArray], list[NDArray]]:
    """The results' tangents and the operands' cotangents, by JAX."""
    function = jax_function(case, arrays)

    def both(primals: Any, tangents: Any, cotangents: Any) -> Any:
        pushed = jax.jvp(function, primals, tangents)[1]
        return pushed, jax.vjp(function, *primals)[1](cotangents)

    primals = tuple(arrays[i] for i in differentiable_operands(case))
    forward, reverse = jax.jit(both)(primals, tuple(tangents), tuple(cotangents))
    return [np.asarray(a) for a in forward], [np.asarray(a) for a in reverse]


def jax_second(
    case: Case,
    arrays: Sequence[NDArray],
    weights: Sequence[NDArray],
    directions: Sequence[NDArray],
) -> list[NDArray]:
    """The Hessian of the weighted sum of the results times directions, by JAX."""
    function = jax_function(case, arrays)

    def gradient(*primals: Any) -> Any:
        return jax.vjp(function, *primals)[1](tuple(weights))

    primals = tuple(arrays[i] for i in differentiable_operands(case))
    forward = jax.jit(lambda p, t: jax.jvp(gradient, p, t)[1])
    return [np.asarray(array) for array in forward(primals, tuple(directions))]
