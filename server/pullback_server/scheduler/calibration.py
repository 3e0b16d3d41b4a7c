"""What things really take on each kind of worker: moves tasks and batches, never a plan's bounds.

A program that ran is expected to take what it took; of one that did not, the cost table's figure is
scaled by what others of its kind, bound by arithmetic or by memory, took in truth.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from pullback_server.planner.cost_table import COST_TABLE
from pullback_server.planner.plan import Placement, Task
from pullback_server.scheduler.dependencies import Dependencies

WEIGHT = 0.3
"""Share of the newest run in the moving average of a program."""
RATE_WEIGHT = 0.05
"""The same for what is averaged over all programs."""
MOST_PROGRAMS = 4096
LEAST_MEASURED_S = 1e-4
"""Shorter runs say more about overheads than about rates."""
SCALE_LIMITS = (0.02, 50.0)
LEAST_TRANSFER_BYTES = 1 << 20


@dataclass(slots=True)
class KindRates:
    """One kind of worker, as measured.

    Attributes:
        arithmetic, memory: time over predicted time of tasks bound by the one or the other.
        transfer_bytes_per_s: of operands that came from elsewhere.
        overhead_s: of a batch, on the way to a worker and back.
        seconds: a moving average of run times, for the programs seen last.
    """

    arithmetic: float = 1.0
    memory: float = 1.0
    transfer_bytes_per_s: float = COST_TABLE.transfer_bytes_per_s
    overhead_s: float = COST_TABLE.task_s
    seconds: OrderedDict[str, float] = field(default_factory=OrderedDict)

    @property
    def flops_per_s(self) -> float:
        """Measured arithmetic of one worker."""
        return COST_TABLE.flops_per_s / self.arithmetic

    @property
    def bytes_per_s(self) -> float:
        """Measured memory traffic of one worker."""
        return COST_TABLE.bytes_per_s / self.memory


class Calibration:
    """The rates of every kind."""

    def __init__(self) -> None:
        self.kinds = {kind: KindRates() for kind in Placement}

    def estimate_s(self, plan: Dependencies, task: int, kind: Placement) -> float:
        """Expected time of a task on a kind of worker."""
        rates = self.kinds[kind]
        measured_s = rates.seconds.get(plan.fingerprints[task])
        if measured_s is not None:
            return measured_s
        scale = rates.arithmetic if _arithmetic_bound(plan.tasks[task]) else rates.memory
        return plan.estimates_s[task] * scale

    def knows(self, fingerprint: str, kind: Placement) -> bool:
        """Whether a program was measured on that kind."""
        return fingerprint in self.kinds[kind].seconds

    def knows_all(self, fingerprints: AbstractSet[str], kind: Placement) -> bool:
        """Whether each of these programs was."""
        return self.kinds[kind].seconds.keys() >= fingerprints

    def move_s(self, kind: Placement, size_bytes: float) -> float:
        """Expected cost of running a task away from operands of that size."""
        rates = self.kinds[kind]
        return rates.overhead_s + size_bytes / rates.transfer_bytes_per_s

    def record(self, plan: Dependencies, task: int, kind: Placement, running_s: float) -> None:
        """Add one run."""
        rates, fingerprint = self.kinds[kind], plan.fingerprints[task]
        known_s = rates.seconds.get(fingerprint)
        if known_s is None:
            rates.seconds[fingerprint] = running_s
            if len(rates.seconds) > MOST_PROGRAMS:
                rates.seconds.popitem(last=False)
            self._record_rate(rates, plan, task, running_s)
        else:
            rates.seconds[fingerprint] = known_s + WEIGHT * (running_s - known_s)
            rates.seconds.move_to_end(fingerprint)

    def record_transfer(self, kind: Placement, size_bytes: float, seconds: float) -> None:
        """Operands of that size came from elsewhere in that time."""
        if size_bytes >= LEAST_TRANSFER_BYTES and seconds > 0:
            rates = self.kinds[kind]
            rates.transfer_bytes_per_s = _mixed(rates.transfer_bytes_per_s, size_bytes / seconds)

    def record_overhead(self, kind: Placement, seconds: float) -> None:
        """A batch took that much longer than its worker was busy with it."""
        if seconds >= 0:
            rates = self.kinds[kind]
            rates.overhead_s = _mixed(rates.overhead_s, min(seconds, 50 * COST_TABLE.task_s))

    def _record_rate(
        self, rates: KindRates, plan: Dependencies, task: int, running_s: float
    ) -> None:
        """A program ran for the first time: what it says of those that have not yet."""
        predicted_s = plan.estimates_s[task]
        if min(predicted_s, running_s) < LEAST_MEASURED_S:
            return
        low, high = SCALE_LIMITS
        ratio = min(max(running_s / predicted_s, low), high)
        if _arithmetic_bound(plan.tasks[task]):
            rates.arithmetic = _mixed(rates.arithmetic, ratio)
        else:
            rates.memory = _mixed(rates.memory, ratio)


def _mixed(known: float, new: float) -> float:
    """The moving average."""
    return known + RATE_WEIGHT * (new - known)


def _arithmetic_bound(task: Task) -> bool:
    return task.flops / COST_TABLE.flops_per_s >= task.size_bytes / COST_TABLE.bytes_per_s
