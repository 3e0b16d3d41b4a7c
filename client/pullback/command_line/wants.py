"""From flags or a row of JSON to a want and its seeds; what is left out follows from the graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pullback.command_line.flags import WantName
from pullback.command_line.values import input_dtypes, output_dtypes, read_texts
from pullback_graph.errors import InputError
from pullback_graph.graph import Graph
from pullback_graph.want import Gradient, Hessian, Hvp, Jacobian, Jvp, Names, Value, Vjp, Want

Seed = Mapping[str, Any]


def make_want(
    graph: Graph,
    kind: WantName | None,
    *,
    gradient: Sequence[str] = (),
    wrt: Sequence[str] = (),
    of: Sequence[str] = (),
    seeds: Sequence[Seed] = (),
    sparse: bool = False,
) -> Want:
    """The want; `gradient` is short for a gradient by those inputs.

    Raises:
        InputError: the parts contradict each other, or a seed is missing.
    """
    if gradient:
        if wrt or kind not in (None, WantName.GRADIENT):
            raise InputError("give gradient, or want and wrt, not both", field="want")
        kind, wrt = WantName.GRADIENT, gradient
    kind = kind or WantName.VALUE
    if kind in _SEEDED and not seeds:
        raise InputError(f"a {kind} needs a seed: {_SEEDED[kind]} by name", field="seeds")
    if kind not in _SEEDED and seeds:
        raise InputError(f"a {kind} takes no seed", field="seeds")
    if sparse and kind not in _SPARSE:
        raise InputError(f"a {kind} is never sparse; ask for a jacobian or hessian", field="sparse")
    by = tuple(wrt) or _floating(graph)
    want = _WANTS[kind](by, tuple(of), tuple([tuple(seed) for seed in seeds]))
    return replace(want, sparse=True) if isinstance(want, Jacobian | Hessian) and sparse else want


def read_seeds(graph: Graph, kind: WantName | None, texts: Sequence[str]) -> list[dict[str, Any]]:
    """The one seed that a command line can give, of `NAME=VALUE` texts; or none.

    Raises:
        InputError: a value is no array.
    """
    dtypes = output_dtypes(graph) if kind is WantName.VJP else input_dtypes(graph)
    return [read_texts(texts, dtypes, "--seed")] if texts else []


_SEEDED = {
    WantName.VJP: "cotangents of outputs",
    WantName.JVP: "tangents of inputs",
    WantName.HVP: "a direction in inputs",
}
"""The wants that take seeds, and what a seed is."""

_SPARSE = (WantName.JACOBIAN, WantName.HESSIAN)
"""The wants that may come as sparse matrices."""

_WANTS: dict[WantName, Callable[[Names, Names, tuple[Names, ...]], Want]] = {
    WantName.VALUE: lambda by, of, seeds: Value(of),
    WantName.GRADIENT: lambda by, of, seeds: Gradient(by, _one(of)),
    WantName.VJP: lambda by, of, seeds: Vjp(by, seeds),
    WantName.JVP: lambda by, of, seeds: Jvp(seeds),
    WantName.HVP: lambda by, of, seeds: Hvp(by, seeds, _one(of)),
    WantName.JACOBIAN: lambda by, of, seeds: Jacobian(by, of),
    WantName.HESSIAN: lambda by, of, seeds: Hessian(by, _one(of)),
}
"""Inputs, outputs and names of seeds -> the want."""


def _floating(graph: Graph) -> tuple[str, ...]:
    """The inputs that carry derivatives."""
    return tuple([item.name for item in graph.inputs if item.type.is_floating])


def _one(of: Sequence[str]) -> str:
    if len(of) > 1:
        raise InputError(f"one output can be differentiated, got {', '.join(of)}", field="of")
    return of[0] if of else ""
