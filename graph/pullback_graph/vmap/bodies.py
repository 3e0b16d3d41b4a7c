"""Rows with subgraphs mapped over a leading axis: the subgraphs are, and the row stays.

A loop whose condition differs from point to point runs as long as one of them goes on; those that
are done keep what they have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback_graph.attributes import Lead
from pullback_graph.builder import Builder, copy_values
from pullback_graph.derivative.bodies import add_inputs, as_tuple, build, dependent
from pullback_graph.graph import Graph
from pullback_graph.ops.leading import spread
from pullback_graph.ref import Ref, do
from pullback_graph.types import BOOL, INT64, ArrayType
from pullback_graph.vmap.transform import Mapped, replay_mapped

# --- loops ----------------------------------------------------------------------------------------


def map_scan(
    operands: Sequence[Ref],
    lead: Lead,
    *,
    body: Graph,
    consts: int,
    carries: int,
    sums: int,
    **attributes: Any,
) -> tuple[Ref, ...]:
    """The loop over mapped carries and entries; entries have the axis behind that of the loop."""
    builder, size = operands[0].builder, lead.size
    first, last = consts + carries, len(body.outputs) - sums
    flags = _settled(body, lead.mapped, range(consts, first))
    mapped = _MappedBody(builder.inner(), body, flags, size)
    outputs = [
        x.whole(size) if flags[consts + k] else x.ref
        for k, x in enumerate(mapped.outputs[:carries])
    ]
    outputs += [x.ref for x in mapped.outputs[carries:]]
    given = [
        spread(x, size) if flag and not own else x
        for x, flag, own in zip(operands[:first], flags, lead.mapped, strict=False)
    ]
    given += [
        _exchanged(x) if flag else x
        for x, flag in zip(operands[first:], flags[first:], strict=True)
    ]
    results = as_tuple(
        builder.add(
            "scan",
            *given,
            body=build(mapped.builder, outputs),
            consts=consts,
            carries=carries,
            sums=sums,
            **attributes,
        )
    )
    made = []
    for k, z in enumerate(results):
        is_mapped = flags[consts + k] if k < carries else mapped.outputs[k].is_mapped
        if not is_mapped:
            made.append(spread(z, size))
        else:
            made.append(_exchanged(z) if carries <= k < last else z)
    return tuple(made)


def map_while(
    operands: Sequence[Ref],
    lead: Lead,
    *,
    cond: Graph,
    body: Graph,
    consts: int,
    max_steps: int,
    keep: bool,
) -> tuple[Ref, ...]:
    """The loop over mapped carries; one that keeps them counts the steps of each point."""
    builder, size, mapped = operands[0].builder, lead.size, lead.mapped
    if keep:
        zero = builder.constant(np.asarray(0, INT64))
        operands = (*operands[:consts], zero, *operands[consts:])
        mapped = (*mapped[:consts], False, *mapped[consts:])
        cond = _counting(builder.inner(), cond, consts, is_body=False)
        body = _counting(builder.inner(), body, consts, is_body=True)
    carried = range(consts, len(operands))
    flags = _settled(body, mapped, carried)
    differs = dependent(cond, [i for i, flag in enumerate(flags) if flag])[cond.outputs[0].value]
    if differs:
        flags = [flag or i in carried for i, flag in enumerate(flags)]
    test = _MappedBody(builder.inner(), cond, flags, size)
    holds = test.outputs[0].ref
    if differs:
        holds = do.any(holds, axes=(0,), keepdims=False)
    given = [
        spread(x, size) if flag and not own else x
        for x, flag, own in zip(operands, flags, mapped, strict=True)
    ]
    results = as_tuple(
        builder.add(
            "while_loop",
            *given,
            cond=build(test.builder, [holds]),
            body=_step(builder.inner(), cond if differs else None, body, flags, size, consts),
            consts=consts,
            max_steps=max_steps,
            keep=keep,
        )
    )
    pairs = list(zip(results, flags[consts:], strict=False))
    last = [z if flag else spread(z, size) for z, flag in pairs]
    if not keep:
        return tuple(last)
    stacks = zip(results[len(pairs) + 1 :], flags[consts:], strict=True)
    _, *kept = [_exchanged(z) if flag else spread(z, size) for z, flag in stacks]
    count, *carries = last
    return (*carries, count, *kept)


def _counting(builder: Builder, graph: Graph, consts: int, *, is_body: bool) -> Graph:
    """The condition or the body of a loop that carries, before all else, the number of its step."""
    wanted = [(item.name, item.type) for item in graph.inputs]
    wanted.insert(consts, ("counted steps", ArrayType(INT64, ())))
    inputs = add_inputs(builder, wanted)
    count = inputs.pop(consts)
    values = copy_values(builder, graph, inputs)
    outputs = [values[item.value] for item in graph.outputs]
    return build(builder, [count + 1, *outputs] if is_body else outputs)


def _step(
    builder: Builder,
    cond: Graph | None,
    body: Graph,
    flags: Sequence[bool],
    size: int,
    consts: int,
) -> Graph:
    """A step of every point; with a condition, of those alone for which it holds."""
    mapped = _MappedBody(builder, body, flags, size)
    after = [
        x.whole(size) if flag else x.ref
        for x, flag in zip(mapped.outputs, flags[consts:], strict=True)
    ]
    if cond is None:
        return build(builder, after)
    inputs = [Mapped(x, flag) for x, flag in zip(mapped.inputs, flags, strict=True)]
    (holds,) = [
        replay_mapped(builder, cond, inputs, size)[item.value].whole(size) for item in cond.outputs
    ]
    kept = [_chosen(holds, x, y) for x, y in zip(after, mapped.inputs[consts:], strict=True)]
    return build(builder, kept)


def _settled(body: Graph, mapped: Sequence[bool], carried: range) -> list[bool]:
    """Per input of a loop's body, whether it has the axis at some step."""
    flags = list(mapped)
    while True:
        reached = dependent(body, [i for i, flag in enumerate(flags) if flag])
        grown = [
            i for k, i in enumerate(carried) if reached[body.outputs[k].value] and not flags[i]
        ]
        if not grown:
            return flags
        for i in grown:
            flags[i] = True


# --- branches, custom -----------------------------------------------------------------------------


def map_cond(
    operands: Sequence[Ref], lead: Lead, *, branches: tuple[Graph, ...]
) -> tuple[Ref, ...]:
    """The choice among mapped branches; where it differs from point to point, all of them run."""
    builder, size = operands[0].builder, lead.size
    choice, given, flags = operands[0], operands[1:], lead.mapped[1:]
    if not lead.mapped[0]:
        made = []
        for branch in branches:
            mapped = _MappedBody(builder.inner(), branch, flags, size)
            made.append(build(mapped.builder, [x.whole(size) for x in mapped.outputs]))
        return as_tuple(builder.add("cond", choice, *given, branches=tuple(made)))
    inputs = [Mapped(x, flag) for x, flag in zip(given, flags, strict=True)]
    results: list[Ref] = []
    for k, branch in enumerate(branches):
        values = replay_mapped(builder, branch, inputs, size)
        own = [values[item.value].whole(size) for item in branch.outputs]
        if k == 0:
            results = own
            continue
        limit = builder.constant(np.asarray(k, choice.dtype))
        holds = choice if choice.dtype == BOOL else choice >= limit
        results = [_chosen(holds, new, old) for new, old in zip(own, results, strict=True)]
    return tuple(results)


def map_custom(
    operands: Sequence[Ref],
    lead: Lead,
    *,
    forward: Graph,
    consts: int,
    jvp: Graph | None,
    vjp: Graph | None,
) -> tuple[Ref, ...]:
    """The graph and its derivatives mapped, over all operands that have one."""
    builder, size = operands[0].builder, lead.size
    flags = [flag or i >= consts for i, flag in enumerate(lead.mapped)]
    given = [
        spread(x, size) if flag and not own else x
        for x, flag, own in zip(operands, flags, lead.mapped, strict=True)
    ]

    def mapped(graph: Graph | None) -> Graph | None:
        if graph is None:
            return None
        more = [True] * (len(graph.inputs) - len(flags))
        made = _MappedBody(builder.inner(), graph, [*flags, *more], size)
        return build(made.builder, [x.whole(size) for x in made.outputs])

    return as_tuple(
        builder.add(
            "custom",
            *given,
            forward=mapped(forward),
            consts=consts,
            jvp=mapped(jvp),
            vjp=mapped(vjp),
        )
    )


# --- bodies ---------------------------------------------------------------------------------------


class _MappedBody:
    """A body replayed with the axis on some of its inputs.

    Attributes:
        outputs: its outputs, each with the axis or without.
    """

    def __init__(self, builder: Builder, body: Graph, flags: Sequence[bool], size: int) -> None:
        self.builder = builder
        wanted = [
            (item.name, _with_axis(item.type, size) if flag else item.type)
            for item, flag in zip(body.inputs, flags, strict=True)
        ]
        self.inputs = add_inputs(builder, wanted)
        inputs = [Mapped(x, flag) for x, flag in zip(self.inputs, flags, strict=True)]
        values = replay_mapped(builder, body, inputs, size)
        self.outputs = [values[item.value] for item in body.outputs]


def _with_axis(type: ArrayType, size: int) -> ArrayType:
    return type._replace(shape=(size, *type.shape))


def _exchanged(x: Ref) -> Ref:
    """The first two axes in each other's place."""
    exchanged: Ref = do.permute_dims(x, axes=(1, 0, *range(2, len(x.shape))))
    return exchanged


def _chosen(holds: Ref, new: Ref, old: Ref) -> Ref:
    """Point by point, the new value where it holds."""
    rank = len(new.shape)
    wide = do.reshape(holds, shape=(holds.shape[0], *[1] * (rank - 1)))
    chosen: Ref = do.where(wide, new, old)
    return chosen
