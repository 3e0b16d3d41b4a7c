"""What work takes on workers, as measured: seconds per unit of `numpy_work`, and what surrounds it.

Only what is said of a plan and where its tasks go depend on these; its boundaries never do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from pullback_server.planner.cost_table import COST_TABLE
from pullback_worker.numpy_work import CROWDED, FRESH, HELD, MEMORY, THIN_MEMORY, Work

OTHER_S = {"calls": 1e-6, "bytes": 1e-10, "thin": 1e-11, "loops": 1e-8, "steps": 3e-7}
"""Of a unit that nobody measured, by its last word; `OTHER_UNIT_S` of a FLOP or an element."""
OTHER_UNIT_S = 2e-10
MOST_CROWDED = 2.5
"""What memory takes at most while others use it, over what it takes alone."""
_TRAFFIC = frozenset([MEMORY, HELD, FRESH, THIN_MEMORY])


class Price(NamedTuple):
    """Seconds of some work: in rows, and in traffic to and from memory."""

    rows_s: float
    memory_s: float


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates of one kind of worker.

    Attributes:
        unit_s: seconds per unit of work; empty where nothing was measured.
        rows, memory: time that tasks took over what their units say, by what it went to.
        executors: the same on executors other than NumPy, by name.
        overhead_s: of a batch of tasks, on the way to a worker and back.
        transfer_bytes_per_s: of what comes from elsewhere.
        workers, tasks: how many were measured.
    """

    unit_s: Mapping[str, float] = field(default_factory=dict)
    rows: float = 1.0
    memory: float = 1.0
    executors: Mapping[str, float] = field(default_factory=dict)
    overhead_s: float = COST_TABLE.task_s
    transfer_bytes_per_s: float = COST_TABLE.transfer_bytes_per_s
    workers: int = 0
    tasks: int = 0

    def task_s(self, work: Work, executor: str = "auto") -> float:
        """Expected run time of some work."""
        price = priced(work, self.unit_s)
        scale = self.executors.get(executor, 1.0)
        return scale * (self.rows * price.rows_s + self.memory * price.memory_s)

    @property
    def crowded(self) -> Rates:
        """The rates of workers that share their machine's memory.

        Tasks that told what memory takes may have run beside others: the more of both counts.
        """
        alone_s = self.unit_s.get(MEMORY, 0.0)
        over = self.unit_s.get(CROWDED, alone_s) / alone_s if alone_s else 1.0
        return replace(self, memory=max(self.memory, min(over, MOST_CROWDED)))


UNMEASURED = Rates()
"""What is known of workers that did nothing yet."""


def priced(work: Work, unit_s: Mapping[str, float]) -> Price:
    """The price of some work by measured units."""
    rows_s = memory_s = 0.0
    for unit, amount in work.items():
        if unit in _TRAFFIC:
            memory_s += amount * _unit_s(unit, unit_s)
        else:
            rows_s += amount * _unit_s(unit, unit_s)
    return Price(rows_s, memory_s)


def _unit_s(unit: str, unit_s: Mapping[str, float]) -> float:
    """The rate of a unit; of one not measured, that of the nearest one that was."""
    found = unit_s.get(unit)
    if found is None:
        alike = [unit_s[other] for other in _alike(unit) if other in unit_s]
        last = unit.rpartition(" ")[2]
        found = alike[0] if alike else OTHER_S.get(last, OTHER_UNIT_S)
    return found


def _alike(unit: str) -> list[str]:
    """Units that take about as long: the row's calls on arrays, and its work in float64."""
    row, *rest = unit.split(" ")
    if rest[-1:] == ["calls"]:
        return [f"{row} calls"]
    return [" ".join([row, dtype, *rest[1:]]) for dtype in ("float64", "complex128")]
