"""When a graph moves from NumPy to XLA: a decision from run times alone. No clock, thread or JAX.

A graph starts on NumPy. Once NumPy has taken as long as compiling would, it is compiled aside; then
a few runs on XLA and a few on NumPy are timed, and whichever was faster runs it from then on. After
a close call for XLA both are timed again a few times: other work may have slowed NumPy down.

The rule is that of ski rental: who rents until the rent paid equals the price, and then buys, pays
at most twice what the best choice in hindsight would have cost.
"""

from __future__ import annotations

from enum import Enum, auto
from math import inf
from typing import NamedTuple

from pullback_graph.graph import Graph
from pullback_worker.xla_limits import MOST_PROMOTED_NODES, call_seconds, compile_seconds

LEAST_RUNS = 3
"""One long run alone says nothing of runs to come."""
LEAST_GAIN = 2.0
"""A run on NumPy must take so many times the least that a call of XLA does."""
TRIALS = 3
"""Runs that are timed on either, after one that is not: the first touches fresh memory, and NumPy's
threads spin for a while after their last one. All come after compiling, under the same load."""

REVIEWED_RUNS = 16
"""Runs on XLA after which both are timed again, four times as many before each further review."""
MOST_REVIEWS = 3
CLOSE = 3.0
"""NumPy that took more than so many times XLA's time is not looked at again."""


class Stage(Enum):
    """Where a graph stands."""

    WATCHED = auto()
    """On NumPy; its runs are counted."""
    COMPILING = auto()
    """On NumPy, while XLA compiles it."""
    TRIED = auto()
    """On XLA, which is measured."""
    COMPARED = auto()
    """On NumPy, which is measured."""
    PROMOTED = auto()
    """On XLA, but for a review or two."""
    KEPT = auto()
    """On NumPy for good."""


SETTLED = (Stage.PROMOTED, Stage.KEPT)
ON_XLA = (Stage.TRIED, Stage.PROMOTED)
HOLDS_XLA = (*ON_XLA, Stage.COMPARED)
"""Stages in which there is a program of XLA's."""


class Prospect(NamedTuple):
    """What XLA would cost a graph, in seconds: to compile, and at the least for a call."""

    compile_s: float
    call_s: float


def prospect(graph: Graph) -> Prospect | str:
    """What XLA would cost; or in words why it can't pay: too small a graph, or too large a one."""
    nodes = graph.node_count
    if nodes > MOST_PROMOTED_NODES:
        return (
            f"numpy, as {nodes} nodes, derivatives included, would take xla too long to compile "
            f"(it is given up to {MOST_PROMOTED_NODES}); write what repeats as a loop"
        )
    call_s = call_seconds(len(graph.inputs) + len(graph.outputs))
    if nodes < 2 or _estimated_s(graph) < LEAST_GAIN * call_s:
        return "numpy, as a call of xla would take about as long as the whole graph"
    return Prospect(compile_seconds(nodes), call_s)


def _estimated_s(graph: Graph) -> float:
    """About what a run on NumPy takes."""
    cost = graph.cost
    return 1e-6 * cost.calls + max(cost.flops / 2e10, cost.size_bytes / 6e9)


class Promotion:
    """The state of one graph. Events in; `stage` says what runs it, and why `reason`.

    Attributes:
        spent_s: what its runs on NumPy took so far.
    """

    def __init__(self, prospect: Prospect) -> None:
        self.stage = Stage.WATCHED
        self.spent_s = 0.0
        self._prospect = prospect
        self._runs = 0
        self._best_s = inf
        self._xla: list[float] = []
        self._numpy: list[float] = []
        self._least_xla_s = self._least_numpy_s = inf
        self._since = self._reviews = 0
        self._failure = ""

    def ran_on_numpy(self, seconds: float) -> bool:
        """Take in a run; whether it is time to compile."""
        self.spent_s += seconds
        self._runs += 1
        self._best_s = min(self._best_s, seconds)
        if self.stage is Stage.COMPARED:
            self._numpy.append(seconds)
            if len(self._numpy) > TRIALS:
                faster = self._xla_s < self._numpy_s
                self.stage = Stage.PROMOTED if faster else Stage.KEPT
        return self.stage is Stage.WATCHED and self._is_hot

    def ran_on_xla(self, seconds: float) -> None:
        """Take in a run."""
        if self.stage is Stage.TRIED:
            self._xla.append(seconds)
            if len(self._xla) > TRIALS:
                self.stage = Stage.COMPARED
        elif self.stage is Stage.PROMOTED and not self.is_final:
            self._since += 1
            if self._since >= REVIEWED_RUNS * 4**self._reviews:
                self._review()

    @property
    def is_final(self) -> bool:
        """Whether no run can change the stage any more."""
        is_clear = self._numpy_s > CLOSE * self._xla_s
        reviewed = self.stage is Stage.PROMOTED and (is_clear or self._reviews >= MOST_REVIEWS)
        return self.stage is Stage.KEPT or reviewed

    def compiling(self) -> None:
        """XLA was given the graph."""
        self.stage = Stage.COMPILING

    def compiled(self) -> None:
        """XLA is ready: the next runs are trials."""
        if self.stage is Stage.COMPILING:
            self.stage = Stage.TRIED

    def refused(self) -> None:
        """There was no room to compile it now; it is asked for again."""
        if self.stage is Stage.COMPILING:
            self.stage = Stage.WATCHED

    def restart(self) -> None:
        """XLA's program is gone: watch the graph as if it were new."""
        self.stage = Stage.WATCHED
        self.spent_s, self._runs = 0.0, 0
        self._xla, self._numpy = [], []
        self._least_xla_s = self._least_numpy_s = inf
        self._since = self._reviews = 0

    def failed(self, why: str) -> None:
        """XLA can't compile or run it; it is not tried again."""
        self.stage = Stage.KEPT
        self._failure = why

    @property
    def reason(self) -> str:
        """Why it runs where it does, in words."""
        compile_s, spent_s = self._prospect.compile_s, self.spent_s
        reasons = {
            Stage.WATCHED: f"numpy starts at once; xla may follow after {compile_s:.2g} s of runs",
            Stage.COMPILING: f"numpy ran for {spent_s:.2g} s so far: xla compiles meanwhile",
            Stage.TRIED: "xla has compiled the graph, and is measured",
            Stage.COMPARED: "numpy is measured, to compare xla with",
            Stage.PROMOTED: f"xla is faster: {self._measured}",
            Stage.KEPT: self._failure or f"numpy is faster: {self._measured}",
        }
        return reasons[self.stage]

    @property
    def _is_hot(self) -> bool:
        enough = self._runs >= LEAST_RUNS and self.spent_s >= self._prospect.compile_s
        return enough and self._best_s > LEAST_GAIN * self._prospect.call_s

    def _review(self) -> None:
        """Time both once more; what they took before still counts."""
        self._least_xla_s, self._least_numpy_s = self._xla_s, self._numpy_s
        self._xla, self._numpy = [], []
        self._since, self._reviews = 0, self._reviews + 1
        self.stage = Stage.TRIED

    @property
    def _numpy_s(self) -> float:
        return min([self._least_numpy_s, *self._numpy[1:]])

    @property
    def _xla_s(self) -> float:
        return min([self._least_xla_s, *self._xla[1:]])

    @property
    def _measured(self) -> str:
        return f"xla {self._xla_s * 1e3:.3g} ms, numpy {self._numpy_s * 1e3:.3g} ms measured"
