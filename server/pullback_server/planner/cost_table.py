"""The versioned cost table: seconds from the rows' FLOPs and bytes.

Plans depend on this table and never on the machine that plans, so that a job gives the same plan,
and so the same bits, everywhere. Raise the version with any change of a number, and of what is
made of them: it is part of a result's digest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log
from statistics import fmean

from pullback_graph.graph import Graph
from pullback_graph.op import Cost


@dataclass(frozen=True, slots=True)
class CostTable:
    """What work costs on one core of a common server, order of magnitude right."""

    version: int = 3
    flops_per_s: float = 2e10
    """Floating point operations of large array calls."""
    bytes_per_s: float = 6e9
    """Memory traffic of large array calls."""
    node_s: float = 1.0e-6
    """Overhead of one array call."""
    task_s: float = 2e-3
    """The way to a worker and back, of a task or of several that travel together."""
    call_s: float = 0.2e-3
    """Overhead of one task among those that travel together."""
    transfer_bytes_per_s: float = 1e9
    """Between processes."""
    shard_s: float = 40e-3
    """The least work that makes a shard worth its overhead."""
    most_shards: int = 64
    workers: tuple[int, ...] = (1, 2, 4, 8, 64)
    """Numbers of workers that a plan is to suit, whichever there are."""
    aimed_longer: float = 1.15
    """What shards are to take on one worker, by the estimate their number is found with, over the
    same work in one task; the plan that is then made of them is held to `choose.MOST_LONGER`."""

    def seconds(self, cost: Cost) -> float:
        """Time of one node: a loop's is that of all its steps."""
        work = max(cost.flops / self.flops_per_s, cost.size_bytes / self.bytes_per_s)
        return self.node_s * cost.calls + work

    def move_s(self, size_bytes: float) -> float:
        """Time until what one worker computed can be read on another."""
        return self.task_s + size_bytes / self.transfer_bytes_per_s

    def typical_s(self, spent_s: Callable[[int], float]) -> float:
        """A time that depends on the number of workers: its geometric mean over those imagined."""
        return exp(fmean([log(max(spent_s(count), 1e-12)) for count in self.workers]))


COST_TABLE = CostTable()
"""The table every plan is made with."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Predicted seconds of a graph on one core, and of its largest single call."""

    total_s: float
    largest_call_s: float


def estimate(graph: Graph, table: CostTable = COST_TABLE) -> Estimate:
    """Predicted time of one evaluation."""
    seconds = [table.seconds(cost) for cost in graph.node_costs]
    return Estimate(sum(seconds), max(seconds, default=0.0))
