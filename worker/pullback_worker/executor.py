"""The contract of an executor: `compile(graph) -> Program`, `program(arrays) -> arrays`.

Executors are interchangeable, and each is the oracle of the others.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from pullback_graph.graph import Graph

NDArray: TypeAlias = "np.ndarray[Any, Any]"


class CancelFlag:
    """Set once from any thread; a running program polls it between nodes."""

    __slots__ = ("is_set",)

    def __init__(self) -> None:
        self.is_set = False

    def set(self) -> None:
        """Ask the program to stop."""
        self.is_set = True


class Program(Protocol):
    """A compiled graph. Safe to call from several threads at once."""

    graph: Graph

    def __call__(
        self, arrays: Sequence[NDArray], cancel: CancelFlag | None = None
    ) -> list[NDArray]:
        """The outputs, in order, for inputs in order.

        Raises:
            Cancelled: the flag was set while it ran.
            OutOfMemory: an array could not be allocated.
        """


class Executor(Protocol):
    """Turns graphs into programs."""

    name: str
    version: str

    def compile(self, graph: Graph) -> Program:
        """The program of `graph`."""


def own_threads() -> int:
    """As many threads as this process may use at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
