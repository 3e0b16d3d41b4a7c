"""Pullback: the public call, by every executor, and the compiled program alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np

import pullback as pb
import pullback.numpy as pnp
from benchmarks.contest import OURS, Call, NDArray, Rival
from benchmarks.libraries.words import Vocabulary, Words, Write
from pullback_graph.derivative import lower
from pullback_graph.want import Gradient, Want
from pullback_worker.numpy_executor import NumpyExecutor, fold

Build: TypeAlias = Callable[..., Callable[..., Any]]
"""A service and options -> the function that users call."""
WARM_S, WARM_CALLS = 3.0, 3000
"""How long the headline implementation is called before it counts: it may change its executor."""


def words() -> Words:
    """`pullback.numpy`, with `scan`."""
    return Vocabulary(pnp, scan=_scan)


def _scan(*args: Any, **keywords: Any) -> Any:
    return import_module("pullback.lax").scan(*args, **keywords)


def rivals(
    build: Build, arguments: Sequence[NDArray], executors: Sequence[str] = ("numpy", "xla")
) -> list[Rival]:
    """The public call with its executor left to the service, and with each of several forced."""

    def headline() -> Call:
        return _call(build, arguments, {})

    def forced(executor: str) -> Rival:
        name = f"{OURS}, {executor} executor"
        return Rival(name, OURS, lambda: _call(build, arguments, {"executor": executor}))

    return [Rival(OURS, OURS, headline, _warm), *map(forced, executors)]


def gradient(write: Write, wrt: Sequence[int]) -> Build:
    """Value and gradient by the arguments at some positions."""

    def build(service: pb.LocalService, **options: Any) -> Callable[..., Any]:
        return service.value_and_grad(write(words()), wrt=tuple(wrt), **options)

    return build


def program_alone(write: Write, arguments: Sequence[NDArray], wrt: Sequence[int]) -> Rival:
    """The NumPy executor's program of value and gradient, called with nothing around it."""

    def make() -> Call:
        graph = pb.trace(write(words()), *arguments)
        names = tuple([graph.input_names[i] for i in wrt])
        return program(graph, Gradient(names), arguments)

    return Rival(f"{OURS}, numpy program alone", OURS, make)


def kernel_alone(write: Write, arguments: Sequence[NDArray], wrt: Sequence[int]) -> Rival:
    """What XLA compiled of value and gradient, on arrays that lie on its device already.

    The xla executor's own row less this one is what its calls spend on checks and copies.
    """

    def make() -> Call:
        graph = pb.trace(write(words()), *arguments)
        want = Gradient(tuple([graph.input_names[i] for i in wrt]))
        executor = import_module("pullback_worker.xla_executor").XlaExecutor()
        compiled = executor.compile(lower(graph, want, fold=fold).graph)
        call: Call = compiled.on_device([np.asarray(array) for array in arguments])
        return call

    return Rival(f"{OURS}, xla kernel alone", OURS, make)


def program(graph: pb.Graph, want: Want, arguments: Sequence[NDArray]) -> Call:
    """A call of the program that computes what is wanted of a graph."""
    compiled = NumpyExecutor().compile(lower(graph, want, fold=fold).graph)
    arrays = [np.asarray(array) for array in arguments]
    return lambda: compiled(arrays)


def inputs_of(graph: pb.Graph, arguments: Sequence[NDArray]) -> Mapping[str, NDArray]:
    """Arguments by input name."""
    return dict(zip(graph.input_names, arguments, strict=True))


def _call(build: Build, arguments: Sequence[NDArray], options: Mapping[str, Any]) -> Call:
    function = build(pb.LocalService(), **options)
    arrays = tuple(arguments)
    return lambda: function(*arrays)


def _warm(call: Call) -> None:
    """Call until the choice of an executor has settled."""
    end_s = time.perf_counter() + WARM_S
    for _ in range(WARM_CALLS):
        call()
        if time.perf_counter() > end_s:
            return
    while time.perf_counter() < end_s:
        time.sleep(0.05)
        call()
