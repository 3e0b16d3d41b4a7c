"""Which worker each shard of a job belongs to: laid out once a plan, as the workers are then.

A job that a second worker would save hardly any time is not spread: its first worker keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pullback_server.planner.plan import Phase, Placement
from pullback_server.scheduler.board import Board
from pullback_server.scheduler.calibration import Calibration
from pullback_server.scheduler.dependencies import Dependencies, Layout
from pullback_server.scheduler.events import WorkerId
from pullback_server.scheduler.job import Job
from pullback_server.scheduler.ready import ANYWHERE
from pullback_server.scheduler.worker import Worker

CLEARLY_MORE = 1.5
"""A job is spread when that saves at least this many times what the way to a worker takes."""


class Layouts:
    """The layouts of plans, each kept with its plan."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._serving = board.settings.serving

    def homes(self, plan: Dependencies) -> Sequence[WorkerId] | None:
        """Which shard of a plan belongs to which of the workers there are.

        None for a plan without shards, or too short to be spread, or so short that it depends on
        who else wants workers when its turn comes.
        """
        if not plan.sharded or not self._board.fleet.is_alive:
            return None
        layout = self._layout(plan)
        return None if layout.brief else layout.homes

    def lay(self, job: Job, is_crowded: bool) -> bool:
        """Give a job's shards their homes, if it is to be spread; whether it was.

        Args:
            is_crowded: whether so many others are under way that a brief job is not.
        """
        layout = self._layout(job.plan)
        if layout.homes is None or (layout.brief and is_crowded):
            return False
        job.lay(layout.homes)
        return True

    def keep_together(self, job: Job, worker: Worker) -> None:
        """Keep a job that is not to be spread on the worker that has its first batch.

        Its values would travel between workers, batch by batch, if anyone took the next.
        """
        job.keep_on(worker.id, self._board.settings.served(worker.placement))

    def _layout(self, plan: Dependencies) -> Layout:
        """The layout kept with a plan until workers come or go, or its first task was measured."""
        fleet, calibration = self._board.fleet, self._board.calibration
        kind = self._serving.get(plan.tasks[0].placement, Placement.CPU)
        found_for = fleet.generation, calibration.knows(plan.fingerprints[0], kind)
        if plan.layout is None or plan.layout.found_for != found_for:
            kinds = fleet.kinds
            workers = {p: kinds[k].ready for p, k in self._serving.items()}
            alone_s = work_s(plan, calibration, kind)
            together = stays_together(plan, calibration, kind, alone_s)
            homes = None if together else lay_shards(plan, workers)
            plan.layout = Layout(found_for, homes, alone_s <= self._board.settings.batch_s)
        return plan.layout


def lay_shards(
    plan: Dependencies, workers: Mapping[Placement, Sequence[WorkerId]]
) -> list[WorkerId]:
    """A worker per task: contiguous shards of about equal work each, on neighbouring workers.

    Tasks outside any shard, and those no worker is for, get ANYWHERE. Which neighbours is the
    plan's alone, so that the same plan finds its programs and data where they were.

    Args:
        workers: those that serve a placement, ascending.
    """
    middles, total = _middles(plan)
    windows = {kind: _window(plan, own, len(middles)) for kind, own in workers.items()}
    homes = []
    for task in plan.tasks:
        able = windows.get(task.placement)
        if task.shard < 0 or not able:
            homes.append(ANYWHERE)
            continue
        share = middles.get(task.shard, 0.0) / total if total else 0.0
        homes.append(able[int(share * len(able))])
    return homes


def work_s(plan: Dependencies, calibration: Calibration, kind: Placement) -> float:
    """Predicted time of all tasks of a plan, on one worker."""
    return sum([calibration.estimate_s(plan, task, kind) for task in range(len(plan.tasks))])


def stays_together(
    plan: Dependencies, calibration: Calibration, kind: Placement, alone_s: float
) -> bool:
    """Whether a second worker would save a job hardly more time than the way to it takes.

    Such a job is one batch on any one worker; others do other jobs meanwhile.

    Args:
        alone_s: what it takes one worker.
    """
    join_bytes = max([sum(map(plan.size_bytes, values)) for values in plan.operands])
    way_s = calibration.move_s(kind, join_bytes / 2)
    return alone_s / 2 <= CLEARLY_MORE * plan.rounds * way_s


def _middles(plan: Dependencies) -> tuple[dict[int, float], float]:
    """Where the middle of each shard's work lies in that of all, and all of it."""
    work: dict[int, float] = {}
    for task, estimate_s in zip(plan.tasks, plan.estimates_s, strict=True):
        if task.shard >= 0 and task.phase is not Phase.REDUCE:
            work[task.shard] = work.get(task.shard, 0.0) + estimate_s
    middles, before = {}, 0.0
    for shard in sorted(work):
        middles[shard] = before + work[shard] / 2
        before += work[shard]
    return middles, before


def _window(plan: Dependencies, workers: Sequence[WorkerId], shards: int) -> Sequence[WorkerId]:
    """As many neighbouring workers as there are shards, or all."""
    if shards >= len(workers):
        return workers
    start = int(plan.fingerprints[0][:8], 16) % len(workers)
    return [workers[(start + k) % len(workers)] for k in range(shards)]
