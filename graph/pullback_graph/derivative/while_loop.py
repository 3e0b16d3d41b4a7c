"""Derivatives of the row `while_loop`.

Forward: tangents are carried beside the carries, the condition sees the carries alone. Reverse: the
bounded loop keeps its carries, and a loop from the last step to the first pulls cotangents through
the body, run again from each carry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback_graph.builder import Builder, copy_values
from pullback_graph.derivative.bodies import (
    active_inputs,
    add_inputs,
    as_tuple,
    build,
    reached_carries,
)
from pullback_graph.derivative.forward import push
from pullback_graph.derivative.linear_space import zeros
from pullback_graph.derivative.reverse import pull
from pullback_graph.errors import NotDifferentiable
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref, do
from pullback_graph.types import INT64, ArrayType

# --- forward --------------------------------------------------------------------------------------


def jvp(
    tangents: Sequence[Ref | None],
    z: Any,
    *operands: Ref,
    cond: Graph,
    body: Graph,
    consts: int,
    max_steps: int,
    keep: bool,
) -> tuple[Ref | None, ...]:
    """Tangents of the results: one loop for values and tangents, which supersedes the loop."""
    builder = operands[0].builder
    carried = range(consts, len(operands))
    flags = active_inputs(body, carried, [t is not None for t in tangents])
    order = [(i, False) for i in range(consts)] + [(i, True) for i in range(consts) if flags[i]]
    shared = len(order)
    order += [(i, False) for i in carried] + [(i, True) for i in carried if flags[i]]
    given = [
        (tangents[i] or zeros(builder, operands[i].type)) if is_tangent else operands[i]
        for i, is_tangent in order
    ]
    results = as_tuple(
        builder.add(
            "while_loop",
            *given,
            cond=_condition(builder.inner(), cond, order),
            body=_joint_body(builder.inner(), body, order, flags, carried),
            consts=shared,
            max_steps=max_steps,
            keep=keep,
        )
    )
    count = len(order) - shared
    values, moving = _apart(results[:count], flags, carried)
    if keep:
        stacks, moved = _apart(results[count + 1 :], flags, carried)
        values, moving = [*values, results[count], *stacks], [*moving, None, *moved]
    builder.supersede(as_tuple(z), values)
    return tuple(moving)


def _apart(
    results: Sequence[Ref], flags: Sequence[bool], carried: range
) -> tuple[list[Ref], list[Ref | None]]:
    """Carries and their tangents (or None each), of results in which those follow these."""
    rest = iter(results[len(carried) :])
    return list(results[: len(carried)]), [next(rest) if flags[i] else None for i in carried]


def _inputs(builder: Builder, body: Graph, order: Sequence[tuple[int, bool]]) -> list[Ref]:
    wanted = [
        (f"d({body.inputs[i].name})" if is_tangent else body.inputs[i].name, body.inputs[i].type)
        for i, is_tangent in order
    ]
    return add_inputs(builder, wanted)


def _condition(builder: Builder, cond: Graph, order: Sequence[tuple[int, bool]]) -> Graph:
    """The condition, with tangents among its inputs that it does not read."""
    refs = dict(zip(order, _inputs(builder, cond, order), strict=True))
    values = copy_values(builder, cond, [refs[i, False] for i in range(len(cond.inputs))])
    return build(builder, [values[item.value] for item in cond.outputs])


def _joint_body(
    builder: Builder,
    body: Graph,
    order: Sequence[tuple[int, bool]],
    flags: Sequence[bool],
    carried: range,
) -> Graph:
    refs = dict(zip(order, _inputs(builder, body, order), strict=True))
    values = copy_values(builder, body, [refs[i, False] for i in range(len(body.inputs))])
    seeds = {i: ref for (i, is_tangent), ref in refs.items() if is_tangent}
    pushed = push(builder, body, values, seeds)
    numbers = [item.value for item in body.outputs]
    moving = [
        pushed[numbers[k]] or zeros(builder, values[numbers[k]].type)
        for k, i in enumerate(carried)
        if flags[i]
    ]
    return build(builder, [*[values[i] for i in numbers], *moving])


# --- reverse --------------------------------------------------------------------------------------


def vjp(
    g: Sequence[Ref | None],
    active: Sequence[bool],
    z: Sequence[Ref],
    *operands: Ref,
    cond: Graph,
    body: Graph,
    consts: int,
    max_steps: int,
    keep: bool,
) -> list[Ref | None]:
    """Cotangents of the operands.

    Raises:
        NotDifferentiable: the loop has no bound.
    """
    if not max_steps:
        raise NotDifferentiable(
            "a while_loop without a bound on its steps has no reverse derivative: give max_steps, "
            "use scan or fori_loop, or ask for tangents (jvp)"
        )
    builder = operands[0].builder
    carried = range(consts, len(operands))
    flags = active_inputs(body, carried, active)
    last, kept_g = list(g[: len(carried)]), list(g[len(carried) + 1 :]) or [None] * len(carried)
    seeded = [a is not None or b is not None for a, b in zip(last, kept_g, strict=True)]
    reached = reached_carries(body, carried, flags, seeded)
    if not reached:
        return [None] * len(operands)
    count, stacks = _kept(builder, z, operands, cond, body, consts, max_steps, keep)
    back = _Backward(builder, body, consts, flags, reached, kept_g)
    results = back.run(operands, count, stacks, last, kept_g, max_steps)
    return [results.get(i) if flag else None for i, flag in enumerate(active)]


def _kept(
    builder: Builder,
    z: Sequence[Ref],
    operands: Sequence[Ref],
    cond: Graph,
    body: Graph,
    consts: int,
    max_steps: int,
    keep: bool,
) -> tuple[Ref, Sequence[Ref]]:
    """How many steps there were, and the carries before each; the loop that says so supersedes."""
    carries = len(operands) - consts
    if not keep:
        results = as_tuple(
            builder.add(
                "while_loop",
                *operands,
                cond=cond,
                body=body,
                consts=consts,
                max_steps=max_steps,
                keep=True,
            )
        )
        builder.supersede(z, results[:carries])
        z = results
    return z[carries], z[carries + 1 :]


class _Backward:
    """The loop from the last step to the first.

    Its constants: those of the body, the kept carries, cotangents of kept carries. It carries the
    step it is at, cotangents of carries, and sums of cotangents of constants.
    """

    def __init__(
        self,
        builder: Builder,
        body: Graph,
        consts: int,
        flags: Sequence[bool],
        reached: Sequence[int],
        kept_g: Sequence[Ref | None],
    ) -> None:
        self.builder, self.body, self.consts = builder, body, consts
        self.flags, self.reached = flags, reached
        self.stacked = [k for k, cotangent in enumerate(kept_g) if cotangent and k in reached]
        self.moving = [i for i in range(consts) if flags[i]]

    def run(
        self,
        operands: Sequence[Ref],
        count: Ref,
        stacks: Sequence[Ref],
        last: Sequence[Ref | None],
        kept_g: Sequence[Ref | None],
        max_steps: int,
    ) -> dict[int, Ref]:
        """Cotangents by the position of the operand."""
        builder, consts = self.builder, self.consts
        more = [kept_g[k] for k in self.stacked]
        shared = [*operands[:consts], *stacks, *[x for x in more if x is not None]]
        first = [
            count,
            *[last[k] or zeros(builder, operands[consts + k].type) for k in self.reached],
            *[zeros(builder, operands[i].type) for i in self.moving],
        ]
        types = [x.type for x in (*shared, *first)]
        results = as_tuple(
            builder.add(
                "while_loop",
                *shared,
                *first,
                cond=self.condition(types, len(shared)),
                body=self.step(types, len(shared)),
                consts=len(shared),
                max_steps=max_steps,
            )
        )
        places = [*[consts + k for k in self.reached], *self.moving]
        return dict(zip(places, results[1:], strict=True))

    def condition(self, types: Sequence[ArrayType], shared: int) -> Graph:
        inner = self.builder.inner()
        refs = add_inputs(inner, [(f"v{i}", type) for i, type in enumerate(types)])
        return build(inner, [refs[shared] > inner.constant(np.asarray(0, INT64))])

    def step(self, types: Sequence[ArrayType], shared: int) -> Graph:
        inner, body, consts = self.builder.inner(), self.body, self.consts
        refs = add_inputs(inner, [(f"v{i}", type) for i, type in enumerate(types)])
        carries = len(body.inputs) - consts
        at = refs[shared] - inner.constant(np.asarray(1, INT64))
        inputs = refs[:consts]
        inputs += [do.take(x, at, axis=0) for x in refs[consts : consts + carries]]
        values = copy_values(inner, body, inputs)
        g = dict(zip(self.reached, refs[shared + 1 :], strict=False))
        seeds: dict[int, Ref] = {}
        for k, cotangent in g.items():
            value = body.outputs[k].value
            seeds[value] = seeds[value] + cotangent if value in seeds else cotangent
        wanted = [i for i, flag in enumerate(self.flags) if flag]
        found = dict(zip(wanted, pull(inner, body, values, seeds, wanted), strict=True))
        before = {k: found.get(consts + k) or zeros(inner, g[k].type) for k in self.reached}
        for k, stack in zip(self.stacked, refs[consts + carries : shared], strict=True):
            before[k] = before[k] + do.take(stack, at, axis=0)
        sums = refs[shared + 1 + len(g) :]
        terms = [found.get(i) for i in self.moving]
        added = [s if t is None else s + t for s, t in zip(sums, terms, strict=True)]
        return build(inner, [at, *before.values(), *added])
