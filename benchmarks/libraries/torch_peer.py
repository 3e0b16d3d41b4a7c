"""PyTorch: eager, and compiled where a C++ compiler and its backend work."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, TypeAlias

from benchmarks.contest import Call, NDArray, Rival
from benchmarks.libraries.words import Vocabulary, Words, Write, python_scan

FAMILY = "PyTorch"
Build: TypeAlias = Callable[[Any, Callable[..., Any]], Callable[..., Any]]
"""The module `torch`, and what to do to functions (compile them, or nothing) -> a function."""


def library() -> Any:
    """The module `torch`, on a GPU if there is one, and as many threads as this process may use."""
    torch = import_module("torch")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    if torch.cuda.is_available():
        torch.set_default_device("cuda")
    return torch


def words() -> Words:
    """`torch`, with `scan` as a Python loop and `take` as indexing."""
    torch = library()
    return Vocabulary(torch, scan=python_scan(torch.stack), take=_take, transpose=torch.permute)


def _finished(torch: Any, result: Any) -> Any:
    """A result, once the GPU has computed it."""
    torch.cuda.synchronize()
    return result


def _take(x: Any, indices: Any, axis: int) -> Any:
    torch = library()
    return torch.index_select(x, axis, torch.as_tensor(indices))


def rivals(
    build: Build, arguments: Sequence[NDArray], *, compiled: bool = True, name: str = "PyTorch"
) -> list[Rival]:
    """A function of tensors, eager and compiled."""

    def make(transform: Callable[[Any], Callable[..., Any]]) -> Callable[[], Call]:
        def call() -> Call:
            torch = library()
            function = build(torch, transform(torch))
            tensors = [torch.as_tensor(array) for array in arguments]
            if not torch.cuda.is_available():
                return lambda: function(*tensors)
            return lambda: _finished(torch, function(*tensors))

        return call

    eager = Rival(f"{name} eager", FAMILY, make(lambda torch: lambda function: function))
    if not compiled:
        return [eager]
    return [eager, Rival(f"{name} compile", FAMILY, make(lambda torch: torch.compile))]


def gradient(write: Write, wrt: Sequence[int]) -> Build:
    """Value and gradient by the tensors at some positions."""

    def build(torch: Any, transform: Callable[..., Any]) -> Callable[..., Any]:
        function = transform(write(words()))

        def value_and_gradient(*tensors: Any) -> tuple[Any, Sequence[Any]]:
            leaves = list(tensors)
            for position in wrt:
                leaves[position] = leaves[position].detach().requires_grad_()
            value = function(*leaves)
            chosen = [leaves[i] for i in wrt]
            gradient: Sequence[Any] = torch.autograd.grad(value, chosen, materialize_grads=True)
            return value, gradient

        return value_and_gradient

    return build
