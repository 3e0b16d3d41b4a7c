"""Derivatives of the row `cond`: the same choice among the branches' derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pullback_graph.builder import copy_values
from pullback_graph.derivative.activity import active_values
from pullback_graph.derivative.bodies import add_inputs, as_tuple, build, dependent
from pullback_graph.derivative.forward import push
from pullback_graph.derivative.linear_space import zeros
from pullback_graph.derivative.reverse import pull
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref


def jvp(
    tangents: Sequence[Ref | None],
    z: Any,
    *operands: Ref,
    branches: tuple[Graph, ...],
) -> tuple[Ref | None, ...]:
    """Tangents of the results: one choice for values and tangents, which supersedes the choice."""
    builder = operands[0].builder
    moving = [i for i, t in enumerate(tangents[1:]) if t is not None]
    results = [item.value for item in branches[0].outputs]
    moved = [
        k
        for k in range(len(results))
        if any([active_values(b, moving)[b.outputs[k].value] for b in branches])
    ]
    made = []
    for branch in branches:
        inner = builder.inner()
        wanted = [(item.name, item.type) for item in branch.inputs]
        wanted += [(f"d({branch.inputs[i].name})", branch.inputs[i].type) for i in moving]
        refs = add_inputs(inner, wanted)
        values = copy_values(inner, branch, refs[: len(branch.inputs)])
        seeds = dict(zip(moving, refs[len(branch.inputs) :], strict=True))
        pushed = push(inner, branch, values, seeds)
        numbers = [item.value for item in branch.outputs]
        outputs = [values[i] for i in numbers]
        outputs += [pushed[numbers[k]] or zeros(inner, outputs[k].type) for k in moved]
        made.append(build(inner, outputs))
    given = [t for t in tangents[1:] if t is not None]
    joint = as_tuple(builder.add("cond", *operands, *given, branches=tuple(made)))
    builder.supersede(as_tuple(z), joint[: len(results)])
    found = dict(zip(moved, joint[len(results) :], strict=True))
    return tuple([found.get(k) for k in range(len(results))])


def vjp(
    g: Sequence[Ref | None],
    active: Sequence[bool],
    z: Sequence[Ref],
    *operands: Ref,
    branches: tuple[Graph, ...],
) -> list[Ref | None]:
    """Cotangents of the operands; each branch runs again for its own."""
    builder = operands[0].builder
    wrt = [i for i, flag in enumerate(active[1:]) if flag]
    seeded = [k for k, cotangent in enumerate(g) if cotangent is not None]
    drafts = [_Pulled(builder.inner(), branch, wrt, seeded) for branch in branches]
    reached = [k for k in range(len(wrt)) if any([d.found[k] is not None for d in drafts])]
    if not reached:
        return [None] * len(operands)
    graphs = [draft.graph(reached) for draft in drafts]
    read = [i for i in range(len(graphs[0].inputs)) if any([_reads(graph, i) for graph in graphs])]
    given = [*operands[1:], *[x for x in g if x is not None]]
    results = as_tuple(
        builder.add(
            "cond",
            operands[0],
            *[given[i] for i in read],
            branches=tuple([_taking(builder.inner(), graph, read) for graph in graphs]),
        )
    )
    found = {wrt[k] + 1: x for k, x in zip(reached, results, strict=True)}
    return [found.get(i) for i in range(len(operands))]


class _Pulled:
    """A branch and its pullback: inputs are the operands, then cotangents of results."""

    def __init__(
        self, builder: Any, branch: Graph, wrt: Sequence[int], seeded: Sequence[int]
    ) -> None:
        self.builder = builder
        wanted = [(item.name, item.type) for item in branch.inputs]
        wanted += [(f"g({branch.outputs[k].name})", branch.output_type(k)) for k in seeded]
        refs = add_inputs(builder, wanted)
        self.values = copy_values(builder, branch, refs[: len(branch.inputs)])
        seeds: dict[int, Ref] = {}
        for k, cotangent in zip(seeded, refs[len(branch.inputs) :], strict=True):
            value = branch.outputs[k].value
            seeds[value] = seeds[value] + cotangent if value in seeds else cotangent
        self.found = pull(builder, branch, self.values, seeds, wrt)
        self.wrt = wrt

    def graph(self, reached: Sequence[int]) -> Graph:
        """Cotangents of those operands that some branch reaches; zeros where this one does not."""
        outputs = [
            self.found[k] or zeros(self.builder, self.values[self.wrt[k]].type) for k in reached
        ]
        return build(self.builder, outputs)


def _reads(graph: Graph, number: int) -> bool:
    """Whether an output depends on an input."""
    flags = dependent(graph, [number])
    return any([flags[item.value] for item in graph.outputs])


def _taking(builder: Any, graph: Graph, read: Sequence[int]) -> Graph:
    """The graph without the inputs that are not read."""
    kept = add_inputs(builder, [graph.inputs[i] for i in read])
    refs = dict(zip(read, kept, strict=True))
    rest = {i for i in range(len(graph.inputs)) if i not in refs}
    blanks = {i: zeros(builder, graph.inputs[i].type) for i in rest}
    values = copy_values(
        builder, graph, [refs.get(i) or blanks[i] for i in range(len(graph.inputs))]
    )
    return build(builder, [values[item.value] for item in graph.outputs])
