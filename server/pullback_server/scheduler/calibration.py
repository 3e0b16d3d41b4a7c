"""What things really take on each kind of worker: moves tasks and batches, never a plan's bounds.

A program that ran is expected to take what it took; one that did not, what its work takes by the
rates its kind of worker was measured to have, or by the cost table before that: either way scaled
by what others, bound by arithmetic or by memory, took in truth.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt

from pullback_server.planner.cost_table import COST_TABLE
from pullback_server.planner.plan import Placement, Task
from pullback_server.planner.rates import Price, Rates
from pullback_server.scheduler.dependencies import Dependencies

WEIGHT = 0.3
"""Share of the newest run in the moving average of a program, or of transfers."""
RATE_WEIGHT = 0.05
"""The same for what is averaged over all programs."""
FIRST_TASKS = 3
"""As if so many programs had told as much as the first."""
MOST_OVERHEAD_S = 50 * COST_TABLE.task_s
"""Of a batch; more is something else that went wrong."""
MOST_PROGRAMS = 4096
LEAST_MEASURED_S = 1e-4
"""Shorter runs say more about overheads than about rates."""
MOST_TOLD = 2.0
"""How many times too slow or fast a program may say that measured units are: more is its own."""
TELLING_RUNS, TELLING_PROGRAMS = 3, 64
"""First runs of which the fastest counts, of so many programs: the very first finds no memory that
was used before, and what others do meanwhile only slows one down."""
SCALE_LIMITS = (0.02, 50.0)
LEAST_TRANSFER_BYTES = 1 << 20
MOST_UNIT_S = 1.0
"""A unit of work that takes so long was measured wrong."""
NUMPY = ("", "auto", "numpy")
"""Executors that units of work were measured on."""


@dataclass(slots=True)
class Told:
    """What the first runs of a program say of others.

    Attributes:
        expected: by what it went to, before it ran.
        weight: of what it says, as an exponent.
        least_s: its fastest run.
        most: how many times too slow or fast it may say that others are predicted.
    """

    expected: Price
    weight: float
    least_s: float
    most: float
    runs: int = 1

    @property
    def ratio(self) -> float:
        """Time over expected time, as far as that is believed."""
        return min(max(self.least_s / sum(self.expected), 1.0 / self.most), self.most)


@dataclass(slots=True)
class KindRates:
    """One kind of worker, as measured.

    Attributes:
        arithmetic, memory: time over predicted time of tasks bound by the one or the other.
        unit_s: seconds per unit of work, by workers' own measurements; empty before those.
        executors: time over predicted time on executors other than NumPy.
        transfer_bytes_per_s: of arrays that came from elsewhere.
        overhead_s: of a batch, on the way to a worker and back.
        seconds: a moving average of run times, for the programs seen last.
        told: what the newest of those say of programs that nobody ran.
        workers, tasks: how many measurements there were.
        version: of `unit_s`.
    """

    arithmetic: float = 1.0
    memory: float = 1.0
    unit_s: dict[str, float] = field(default_factory=dict)
    executors: dict[str, float] = field(default_factory=dict)
    transfer_bytes_per_s: float = COST_TABLE.transfer_bytes_per_s
    overhead_s: float = COST_TABLE.task_s
    seconds: OrderedDict[str, float] = field(default_factory=OrderedDict)
    told: OrderedDict[str, Told] = field(default_factory=OrderedDict)
    workers: int = 0
    tasks: int = 0
    version: int = 0

    @property
    def flops_per_s(self) -> float:
        """Measured arithmetic of one worker."""
        return COST_TABLE.flops_per_s / self.arithmetic

    @property
    def bytes_per_s(self) -> float:
        """Measured memory traffic of one worker."""
        return COST_TABLE.bytes_per_s / self.memory

    def expected(self, plan: Dependencies, task: int) -> Price:
        """Expected time of a task on NumPy, by what it goes to."""
        if self.unit_s:
            price = plan.prices(self.version, self.unit_s)[task]
            return Price(self.arithmetic * price.rows_s, self.memory * price.memory_s)
        if _arithmetic_bound(plan.tasks[task]):
            return Price(self.arithmetic * plan.estimates_s[task], 0.0)
        return Price(0.0, self.memory * plan.estimates_s[task])


class Calibration:
    """The rates of every kind."""

    def __init__(self) -> None:
        self.kinds = {kind: KindRates() for kind in Placement}

    def rates(self, kind: Placement) -> Rates:
        """What is known of a kind, for others than the scheduler."""
        own = self.kinds[kind]
        return Rates(
            unit_s=own.unit_s,
            rows=own.arithmetic,
            memory=own.memory,
            executors=dict(own.executors),
            overhead_s=own.overhead_s,
            transfer_bytes_per_s=own.transfer_bytes_per_s,
            workers=own.workers,
            tasks=own.tasks,
        )

    def estimate_s(self, plan: Dependencies, task: int, kind: Placement) -> float:
        """Expected time of a task on a kind of worker."""
        rates = self.kinds[kind]
        measured_s = rates.seconds.get(plan.fingerprints[task])
        if measured_s is not None:
            return measured_s
        rows_s, memory_s = rates.expected(plan, task)
        scale = rates.executors.get(plan.tasks[task].executor, 1.0) if rates.executors else 1.0
        return scale * (rows_s + memory_s)

    def measured(self, kind: Placement, unit_s: Mapping[str, float]) -> None:
        """Take in what a worker measured: of several the geometric mean."""
        rates = self.kinds[kind]
        sound = {unit: spent_s for unit, spent_s in unit_s.items() if 0.0 <= spent_s < MOST_UNIT_S}
        if not sound:
            return
        known = rates.unit_s
        rates.unit_s = known | {u: sqrt(known.get(u, s) * s) for u, s in sound.items()}
        rates.workers += 1
        rates.version += 1

    def knows(self, fingerprint: str, kind: Placement) -> bool:
        """Whether a program was measured on that kind."""
        return fingerprint in self.kinds[kind].seconds

    def move_s(self, kind: Placement, size_bytes: float) -> float:
        """Expected cost of running a task away from operands of that size."""
        rates = self.kinds[kind]
        return rates.overhead_s + size_bytes / rates.transfer_bytes_per_s

    def record(
        self,
        plan: Dependencies,
        task: int,
        kind: Placement,
        running_s: float,
        executor: str = "",
    ) -> None:
        """Add one run, on an executor whose version stands behind a hyphen."""
        rates, fingerprint = self.kinds[kind], plan.fingerprints[task]
        known_s = rates.seconds.get(fingerprint)
        if known_s is None:
            rates.seconds[fingerprint] = running_s
            if len(rates.seconds) > MOST_PROGRAMS:
                rates.seconds.popitem(last=False)
            _record_rate(rates, plan, task, running_s, executor)
        else:
            rates.seconds[fingerprint] = known_s + WEIGHT * (running_s - known_s)
            rates.seconds.move_to_end(fingerprint)
            if fingerprint in rates.told:
                _record_again(rates, fingerprint, running_s, executor)

    def record_transfer(self, kind: Placement, size_bytes: float, seconds: float) -> None:
        """Arrays of that size came from elsewhere in that time.

        Never faster than the table has it: what shared memory hands on was copied into it before.
        """
        if size_bytes >= LEAST_TRANSFER_BYTES and seconds > 0:
            rates = self.kinds[kind]
            took_s = max(seconds / size_bytes, 1.0 / COST_TABLE.transfer_bytes_per_s)
            known_s = 1.0 / rates.transfer_bytes_per_s
            rates.transfer_bytes_per_s = 1.0 / (known_s + WEIGHT * (took_s - known_s))

    def record_overhead(self, kind: Placement, seconds: float) -> None:
        """A batch took that much longer than its worker was busy with it."""
        if seconds >= 0:
            rates = self.kinds[kind]
            spent_s = seconds if seconds < MOST_OVERHEAD_S else MOST_OVERHEAD_S
            rates.overhead_s += RATE_WEIGHT * (spent_s - rates.overhead_s)


def _record_rate(
    rates: KindRates, plan: Dependencies, task: int, running_s: float, executor: str
) -> None:
    """A program ran for the first time: what it says of those that have not yet."""
    expected = rates.expected(plan, task)
    expected_s = sum(expected)
    if min(expected_s, running_s) < LEAST_MEASURED_S:
        return
    rates.tasks += 1
    executor = executor.partition("-")[0]
    if executor not in NUMPY:
        known = rates.executors.get(executor, 1.0)
        rates.executors[executor] = _bounded(known * (running_s / known / expected_s) ** WEIGHT)
        return
    told = Told(
        expected,
        max(RATE_WEIGHT, 1.0 / (FIRST_TASKS + rates.tasks)),
        running_s,
        MOST_TOLD if rates.unit_s else SCALE_LIMITS[1],
    )
    rates.told[plan.fingerprints[task]] = told
    if len(rates.told) > TELLING_PROGRAMS:
        rates.told.popitem(last=False)
    _scale(rates, told, told.ratio)


def _record_again(rates: KindRates, fingerprint: str, running_s: float, executor: str) -> None:
    """A program ran again: where it was faster, that is what it says of others instead."""
    told = rates.told[fingerprint]
    told.runs += 1
    if told.runs >= TELLING_RUNS:
        del rates.told[fingerprint]
    if running_s < told.least_s and executor.partition("-")[0] in NUMPY:
        before = told.ratio
        told.least_s = running_s
        _scale(rates, told, told.ratio / before)


def _scale(rates: KindRates, told: Told, ratio: float) -> None:
    """Have rows and memory take so much longer, by what the program's time went to."""
    share = told.weight / sum(told.expected)
    rates.arithmetic = _bounded(rates.arithmetic * ratio ** (share * told.expected.rows_s))
    rates.memory = _bounded(rates.memory * ratio ** (share * told.expected.memory_s))


def _bounded(scale: float) -> float:
    """A scale within what can be believed."""
    low, high = SCALE_LIMITS
    return min(max(scale, low), high)


def _arithmetic_bound(task: Task) -> bool:
    return task.flops / COST_TABLE.flops_per_s >= task.size_bytes / COST_TABLE.bytes_per_s
