"""The cancel flag of one job: set by its caller, who may go away, by a stop, or its deadline."""

from __future__ import annotations

import asyncio
from time import monotonic

from pullback_graph.errors import Cancelled, DeadlineExceeded
from pullback_worker.executor import CancelFlag


class JobFlag(CancelFlag):
    """A CancelFlag that also reads as set once the deadline has passed.

    Args:
        deadline_s: seconds from now, or None.
        caller: a flag that stands for the whole call (a stream), or None.
    """

    __slots__ = ("_called_off", "_caller", "_set", "ends_s")

    def __init__(self, deadline_s: float | None = None, caller: CancelFlag | None = None) -> None:
        self.ends_s = None if deadline_s is None else monotonic() + deadline_s
        self._caller = caller
        self._set = False
        self._called_off: asyncio.Future[None] | None = None

    @property
    def is_set(self) -> bool:  # type: ignore[override]
        """Whether the job should stop."""
        if self._set or (self._caller is not None and self._caller.is_set):
            return True
        return self.ends_s is not None and monotonic() > self.ends_s

    def set(self) -> None:
        """Ask the job to stop; on the event loop."""
        self._set = True
        if self._called_off is not None and not self._called_off.done():
            self._called_off.set_result(None)

    def called_off(self) -> asyncio.Future[None]:
        """Done once the job is asked to stop: for one that waits; on the event loop."""
        if self._called_off is None:
            self._called_off = asyncio.get_running_loop().create_future()
            if self._set:
                self._called_off.set_result(None)
        return self._called_off

    def end_within(self, deadline_s: float) -> None:
        """Bring the deadline forward to so many seconds from now, if it is later."""
        ends_s = monotonic() + deadline_s
        self.ends_s = ends_s if self.ends_s is None else min(self.ends_s, ends_s)

    @property
    def remaining_s(self) -> float | None:
        """Seconds to the deadline, not below zero; None without one."""
        return None if self.ends_s is None else max(0.0, self.ends_s - monotonic())

    def check(self) -> None:
        """Stop a job between two of its steps.

        Raises:
            DeadlineExceeded: the deadline has passed.
            Cancelled: the flag was set.
        """
        error = self.error()
        if error is not None:
            raise error

    def error(self) -> DeadlineExceeded | Cancelled | None:
        """Why the job should stop, if it should."""
        if self.ends_s is not None and monotonic() > self.ends_s:
            return DeadlineExceeded("the job's deadline passed before its result was there")
        if self.is_set:
            return Cancelled("the job was cancelled before its result was there")
        return None
