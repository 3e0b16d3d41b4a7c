"""What a scheduler goes by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pullback_server.planner.plan import Placement


@dataclass(frozen=True, slots=True)
class Settings:
    """Numbers and times; the defaults suit tasks of milliseconds to minutes.

    Attributes:
        workers: how many workers of each kind there may be.
        least_workers: how many of each kind stay alive without work; all, where none is said.
        grow_s: more workers are started until what waits is predicted to be done in this time.
        idle_s: a worker above the least that had nothing to do for this long is stopped.
        batch_s: predicted time to fill a batch with.
        together_s: predicted time of the small jobs that go to a worker in one call.
        queue_behind_s: a second batch is queued when the first has at most this long to go.
        grace_s: how long a cancelled batch may go on before its worker is killed.
        most_losses: a task that took this many workers down fails its job.
        late_factor: a batch that takes this many times what it was measured to take is tried on an
            idle worker too; 0 never does.
        late_least_s: but none that has run for less than this.
        silence_s: a worker that runs a batch for longer than this, and for longer than ten times
            what was predicted, is asked whether it lives, and so are those that hold what it reads.
        answer_s: one that does not answer within this time is killed.
        start_s: a worker that has a process and is not up after this time is killed, and the next
            start is given twice as long.
    """

    workers: Mapping[Placement, int] = field(default_factory=lambda: {Placement.CPU: 1})
    least_workers: Mapping[Placement, int] = field(default_factory=dict)
    grow_s: float = 0.5
    idle_s: float = 60.0
    batch_s: float = 0.05
    together_s: float = 0.005
    queue_behind_s: float = 0.02
    grace_s: float = 1.0
    most_losses: int = 3
    late_factor: float = 3.0
    late_least_s: float = 2.0
    silence_s: float = 5.0
    answer_s: float = 20.0
    start_s: float = 120.0

    def served(self, kind: Placement) -> set[Placement]:
        """The placements whose tasks run on workers of a kind."""
        return {placement for placement, own in self.serving.items() if own is kind}

    def least(self, kind: Placement) -> int:
        """How many workers of a kind stay without work."""
        return min(self.least_workers.get(kind, self.workers[kind]), self.workers[kind])

    @property
    def serving(self) -> dict[Placement, Placement]:
        """The kind of worker that runs tasks of a placement: GPU workers fill in for CPU ones."""
        kinds = [kind for kind in Placement if self.workers.get(kind)]
        serving = {kind: kind for kind in kinds}
        if Placement.CPU not in serving and kinds:
            serving[Placement.CPU] = kinds[0]
        return serving
