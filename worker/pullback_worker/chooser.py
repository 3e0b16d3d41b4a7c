"""Which executor a job gets: the one it asks for, else NumPy at once, and XLA where that pays."""

from __future__ import annotations

from pullback_graph.graph import Graph
from pullback_worker import xla_limits
from pullback_worker.choice import Choice, Fixed, Running
from pullback_worker.executors import Executors, is_installed
from pullback_worker.program_cache import held_bytes
from pullback_worker.promoter import Promoter

ASKED = "asked for"
STEADY = "numpy, as a reproducible job stays on one executor"
EACH = "each worker starts on numpy, and moves hot tasks to xla where that is faster"
CAPPED = "numpy, which keeps to the memory cap"
ALONE = "numpy, as xla is not installed here; pip install 'pullback[xla]'"
OFF = "where every job starts; nothing moves it to xla here"


class Chooser:
    """Makes choices for one process. Safe to use from several threads.

    Args:
        promoter: moves hot graphs to XLA; None to leave every graph where it starts.
    """

    def __init__(self, executors: Executors, promoter: Promoter | None = None) -> None:
        self.executors = executors
        self._promoter = promoter if promoter is not None and is_installed("xla") else None
        self._stays = OFF if is_installed("xla") else ALONE

    def choose(self, graph: Graph, executor: str = "auto", *, steady: str = "") -> Choice:
        """What runs a graph, compiled: now, for the executor that is asked for.

        Args:
            executor: `auto` or a name.
            steady: why it must stay where it starts; empty if it need not.

        Raises:
            UnsupportedError: the executor is not here, or can't run the graph.
            LimitExceeded: the graph is more than the executor compiles.
        """
        if executor not in ("auto", ""):
            return Fixed(self._running(graph, executor, ASKED))
        running = self._running(graph, "numpy", steady or self._stays)
        if steady or self._promoter is None:
            return Fixed(running)
        return self._promoter.choice(running)

    def reason(self, executor: str, steady: str) -> str:
        """Why workers run a job on what they do."""
        if executor not in ("auto", ""):
            return ASKED
        if steady or self._promoter is None:
            return steady or self._stays
        return EACH

    def _running(self, graph: Graph, name: str, reason: str) -> Running:
        executor = self.executors.get(name)
        return Running(executor.compile(graph), executor.name, executor.version, reason)


def steadiness(is_reproducible: bool, is_capped: bool) -> str:
    """Why a job must stay where it starts; empty if it need not."""
    return STEADY if is_reproducible else CAPPED if is_capped else ""


class ChoiceMaker:
    """Makes the choices of one answer to what a job asks for, as a program cache wants it."""

    def __init__(self, chooser: Chooser, executor: str) -> None:
        self._chooser = chooser
        self.name = executor
        self.version = "" if executor == "auto" else chooser.executors.version(executor)

    def compile(self, graph: Graph) -> Choice:
        """The choice of a graph."""
        return self._chooser.choose(graph, self.name)


def choice_bytes(graph: Graph, executor: str) -> int:
    """About what a choice holds from the start."""
    return xla_limits.held_bytes(graph) if executor == "xla" else held_bytes(graph)
