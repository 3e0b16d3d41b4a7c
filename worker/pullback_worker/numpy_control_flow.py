"""Loops and branches over NumPy: for each body a Python function that does nothing else.

Carries are handed from step to step without a copy, which is safe because no node writes into what
it was given; stacked results are written in place, sums added up in place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log2
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from pullback_graph.graph import Graph
from pullback_graph.kernels import Loop
from pullback_graph.types import ArrayType
from pullback_worker.numpy_source import Polled, Source

_POLL_S = 1e-3
"""About how often a loop looks at the cancel flag."""
_BODY = 3
"""How deep the body of a loop is indented."""

_written: WeakValueDictionary[Any, Polled] = WeakValueDictionary()
"""Functions in use, by what they compute: a body that several nodes run is compiled once."""


class NumpyControlFlow:
    """Rows with subgraphs, for NumPy's kernels."""

    def scan(self, body: Graph, loop: Loop) -> Callable[..., Any]:
        """The loop over a leading axis."""
        return _kept(("scan", body.fingerprint, loop), lambda: _scan(body, loop))

    def while_loop(
        self, cond: Graph, body: Graph, consts: int, max_steps: int, keep: bool
    ) -> Callable[..., Any]:
        """The loop that ends when the condition says so."""
        key = ("while", cond.fingerprint, body.fingerprint, consts, max_steps, keep)
        return _kept(key, lambda: _while(cond, body, consts, max_steps, keep))

    def cond(self, branches: Sequence[Graph]) -> Callable[..., Any]:
        """One of the branches: the choice, then what it runs on."""
        runs = [self.call(branch) for branch in branches]
        last = len(runs) - 1

        def choose(choice: Any, *operands_and_flag: Any) -> Any:
            return runs[min(max(int(choice), 0), last)].polled(*operands_and_flag)

        return Polled(choose)

    def call(self, graph: Graph) -> Polled:
        """The graph itself."""
        return _kept(("call", graph.fingerprint), lambda: _call(graph))


def _kept(key: Any, write: Callable[[], Polled]) -> Polled:
    found = _written.get(key)
    if found is None:
        found = _written[key] = write()
    return found


# --- scan -----------------------------------------------------------------------------------------


def _scan(body: Graph, loop: Loop) -> Polled:
    source = Source()
    names = _given(source, body)
    first = loop.consts + loop.carries
    consts, carries, stacked = names[: loop.consts], names[loop.consts : first], names[first:]
    types = [body.types[item.value] for item in body.outputs]
    last = len(types) - loop.sums
    source.scalars(names[:first], body, 2)
    source.line(f"steps = {f'len({stacked[0]})' if stacked else loop.length}", 2)
    outs = [_allocated(source, type) for type in types[loop.carries : last]]
    sums = [_zero(source, type) for type in types[last:]]
    source.line(f"for i in range({'steps - 1, -1, -1' if loop.reverse else 'steps'}):", 2)
    source.poll(_BODY, _now_and_then(body))
    entries = [source.fresh("x") for _ in stacked]
    for entry, name in zip(entries, stacked, strict=True):
        source.line(f"{entry} = {name}[i]", _BODY)
    results = source.graph(body, [*consts, *carries, *entries], _BODY)
    for out, value in zip(outs, results[loop.carries : last], strict=True):
        source.line(f"{out}[i] = {value}", _BODY)
    for name, value, type in zip(sums, results[last:], types[last:], strict=True):
        _add(source, name, value, type)
    _assign(source, carries, results[: loop.carries], _BODY)
    source.line(f"return {_listed([*carries, *outs, *sums])}", 2)
    return source.finish(names)


# --- while_loop, call -----------------------------------------------------------------------------


def _while(cond: Graph, body: Graph, consts: int, max_steps: int, keep: bool) -> Polled:
    source = Source()
    names = _given(source, body)
    carries = names[consts:]
    types = [body.types[item.value] for item in body.outputs]
    source.scalars(names, body, 2)
    source.line("i = 0", 2)
    source.line(f"steps = {max_steps}", 2)
    outs = [_allocated(source, type, "zeros") for type in types] if keep else []
    source.line("while i < steps:" if max_steps else "while True:", 2)
    source.poll(_BODY, _now_and_then(body))
    (holds,) = source.graph(cond, names, _BODY)
    source.line(f"if not {holds}: break", _BODY)
    for out, name in zip(outs, carries, strict=False):
        source.line(f"{out}[i] = {name}", _BODY)
    _assign(source, carries, source.graph(body, names, _BODY), _BODY)
    source.line("i += 1", _BODY)
    source.held["int64"] = np.int64
    source.line(f"return {_listed([*carries, *(['int64(i)', *outs] if keep else [])])}", 2)
    return source.finish(names)


def _call(graph: Graph) -> Polled:
    source = Source()
    names = _given(source, graph)
    source.scalars(names, graph, 2)
    source.line(f"return {_listed(source.graph(graph, names, 2))}", 2)
    return source.finish(names)


# --- lines ----------------------------------------------------------------------------------------


def _given(source: Source, body: Graph) -> list[str]:
    """Names for what a body's inputs come from."""
    return [source.fresh("a") for _ in body.inputs]


def _allocated(source: Source, type: ArrayType, how: str = "empty") -> str:
    """A variable for stacked entries of a type, an array of `steps` of them."""
    name, dtype = source.fresh("o"), source.hold(type.dtype)
    source.held[how] = getattr(np, how)
    source.line(f"{name} = {how}((steps, *{type.shape}), {dtype})", 2)
    return name


def _zero(source: Source, type: ArrayType) -> str:
    """A variable for a sum, zero at first."""
    name = source.fresh("s")
    if type.shape:
        source.held["zeros"] = np.zeros
        source.line(f"{name} = zeros({type.shape}, {source.hold(type.dtype)})", 2)
    else:
        source.line(f"{name} = {source.hold(type.dtype.type(0))}", 2)
    return name


def _add(source: Source, name: str, value: str, type: ArrayType) -> None:
    """Add a term to a sum, in place where it is an array."""
    source.line(f"{name} {'+=' if type.shape else f'= {name} +'} {value}", _BODY)


def _assign(source: Source, targets: Sequence[str], values: Sequence[str], depth: int) -> None:
    """Assign all at once: a value may be the old one of another target."""
    changed = [(t, v) for t, v in zip(targets, values, strict=True) if t != v]
    if changed:
        left, right = zip(*changed, strict=True)
        source.line(f"{', '.join(left)} = {', '.join(right)}", depth)


def _listed(names: Sequence[str]) -> str:
    """A single result alone, several as a tuple."""
    return names[0] if len(names) == 1 else f"({', '.join(names)})"


def _now_and_then(body: Graph) -> str:
    """The condition of looking at the cancel flag about every millisecond: `not i & 63 and `."""
    cost = body.cost
    step_s = 1e-6 * (1 + cost.calls) + cost.flops / 2e9 + cost.size_bytes / 4e9
    bits = int(log2(max(1.0, _POLL_S / step_s)))
    return f"not i & {(1 << bits) - 1} and " if bits else ""
