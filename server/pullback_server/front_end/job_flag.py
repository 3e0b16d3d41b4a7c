"""The cancel flag of one job: set by its caller going away, by a stop, or by its deadline."""

from __future__ import annotations

from time import monotonic

from pullback_graph.errors import Cancelled, DeadlineExceeded
from pullback_worker.executor import CancelFlag


class JobFlag(CancelFlag):
    """A CancelFlag that also reads as set once the deadline has passed.

    Args:
        deadline_s: seconds from now, or None.
        caller: a flag that stands for the whole call (a stream), or None.
    """

    __slots__ = ("_caller", "_set", "ends_s")

    def __init__(self, deadline_s: float | None = None, caller: CancelFlag | None = None) -> None:
        self.ends_s = None if deadline_s is None else monotonic() + deadline_s
        self._caller = caller
        self._set = False

    @property
    def is_set(self) -> bool:  # type: ignore[override]
        """Whether the job should stop."""
        if self._set or (self._caller is not None and self._caller.is_set):
            return True
        return self.ends_s is not None and monotonic() > self.ends_s

    def set(self) -> None:
        """Ask the job to stop."""
        self._set = True

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
        if self.ends_s is not None and monotonic() > self.ends_s:
            raise DeadlineExceeded("the job's deadline passed before its result was there")
        if self.is_set:
            raise Cancelled("the job was cancelled before its result was there")


def earlier(first_s: float | None, second_s: float | None) -> float | None:
    """The earlier of two deadlines in seconds from now, either of which may be absent."""
    present = [value for value in (first_s, second_s) if value is not None]
    return min(present, default=None)
