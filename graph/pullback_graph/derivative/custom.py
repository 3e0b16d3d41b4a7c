"""Derivatives of the row `custom`: the graph that it brings, or that one transposed.

A JVP is linear in the tangents and a VJP in the cotangents, and each is the other's transpose; so
pulling through the one that is given gives the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pullback_graph.builder import copy_values
from pullback_graph.derivative.bodies import as_tuple, dependent
from pullback_graph.derivative.linear_space import zeros
from pullback_graph.derivative.reverse import pull
from pullback_graph.errors import NotDifferentiable
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref


def jvp(
    tangents: Sequence[Ref | None],
    z: Any,
    *operands: Ref,
    forward: Graph,
    consts: int,
    jvp: Graph | None,
    vjp: Graph | None,
) -> tuple[Ref | None, ...]:
    """Tangents of the results."""
    _check_consts([t is not None for t in tangents[:consts]], forward)
    results = as_tuple(z)
    moving = _floating(operands, consts)
    given = [tangents[i] or _zeros_like(operands[i]) for i in moving]
    floating = _floating(results, 0)
    if jvp is not None:
        found = _outputs(jvp, [*operands, *given])
    else:
        assert vjp is not None, "the row has one of the two"
        like = [results[k] for k in floating]
        found = _transposed(vjp, [*operands, *results], like, given)
    by_place = dict(zip(floating, found, strict=True))
    return tuple([by_place.get(k) for k in range(len(results))])


def vjp(
    g: Sequence[Ref | None],
    active: Sequence[bool],
    z: Sequence[Ref],
    *operands: Ref,
    forward: Graph,
    consts: int,
    jvp: Graph | None,
    vjp: Graph | None,
) -> list[Ref | None]:
    """Cotangents of the operands."""
    _check_consts(active[:consts], forward)
    moving = _floating(operands, consts)
    given = [g[k] or _zeros_like(z[k]) for k in _floating(z, 0)]
    if vjp is not None:
        found = _outputs(vjp, [*operands, *z, *given])
    else:
        assert jvp is not None, "the row has one of the two"
        found = _transposed(jvp, operands, [operands[i] for i in moving], given)
    by_place = dict(zip(moving, found, strict=True))
    return [by_place.get(i) for i in range(len(operands))]


def _check_consts(active: Sequence[bool], forward: Graph) -> None:
    """Refuse a derivative by what the function took from around itself.

    Raises:
        NotDifferentiable: one is asked for.
    """
    outputs = [item.value for item in forward.outputs]
    for i in [i for i, flag in enumerate(active) if flag]:
        reads = dependent(forward, [i])
        if not any([reads[value] for value in outputs]):
            continue
        name = forward.inputs[i].name
        raise NotDifferentiable(
            f"a function with a derivative of its own uses {name!r} from around it, and has no "
            "derivative by that; pass it as an argument, or apply stop_gradient to it"
        )


def _floating(values: Sequence[Ref], start: int) -> list[int]:
    """Positions, from `start` on, of what carries derivatives."""
    return [i for i in range(start, len(values)) if values[i].type.is_floating]


def _zeros_like(x: Ref) -> Ref:
    return zeros(x.builder, x.type)


def _outputs(graph: Graph, inputs: Sequence[Ref]) -> list[Ref | None]:
    """The graph's outputs on these inputs."""
    values = copy_values(inputs[0].builder, graph, inputs)
    return [values[item.value] for item in graph.outputs]


def _transposed(
    graph: Graph, known: Sequence[Ref], like: Sequence[Ref], given: Sequence[Ref]
) -> list[Ref | None]:
    """The transpose of a graph that is linear in its last inputs.

    Args:
        known: its first inputs.
        like: values of the types of its last inputs.
        given: what stands on its outputs.
    """
    blanks = [_zeros_like(x) for x in like]
    values = copy_values(known[0].builder, graph, [*known, *blanks])
    seeds: dict[int, Ref] = {}
    for item, x in zip(graph.outputs, given, strict=True):
        seeds[item.value] = seeds[item.value] + x if item.value in seeds else x
    wanted = range(len(known), len(graph.inputs))
    return pull(known[0].builder, graph, values, seeds, wanted)
