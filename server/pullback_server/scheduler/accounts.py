"""What all jobs count together: values held, tasks ready and running."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pullback_server.planner.plan import Placement
from pullback_server.scheduler.events import WorkerId
from pullback_server.scheduler.holdings import HeldBytes
from pullback_server.scheduler.ready import Backlog, HomeIndex


@dataclass(slots=True)
class Accounts:
    """What all jobs keep together.

    Attributes:
        held_bytes: what each holder has of values.
        homes: which jobs have tasks ready for which worker.
        backlog: what is ready, by placement.
        suspects: tasks that are ready and run alone.
        running: tasks that workers have.
        unstarted: jobs no worker was given anything of.
        serves: whether a worker is of the kind that runs tasks of a placement.
    """

    held_bytes: HeldBytes = field(default_factory=lambda: defaultdict(int))
    homes: HomeIndex = field(default_factory=HomeIndex)
    backlog: Mapping[Placement, Backlog] = field(
        default_factory=lambda: {placement: Backlog() for placement in Placement}
    )
    suspects: int = 0
    running: int = 0
    unstarted: int = 0
    serves: Callable[[WorkerId, Placement], bool] = lambda worker, placement: True
