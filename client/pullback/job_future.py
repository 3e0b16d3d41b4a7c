"""The future of one job: of `concurrent.futures`, but its `cancel` stops a job that runs, too."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from pullback_graph.errors import Cancelled, PullbackError
from pullback_graph.job import Result


class JobFuture(Future[Result]):
    """A job's result, now or later; `wait`, `as_completed` and `asyncio.wrap_future` take it.

    Args:
        call_off: asks for the job to be stopped; it may be called from any thread.
    """

    def __init__(self, call_off: Callable[[JobFuture], None]) -> None:
        super().__init__()
        self._call_off = call_off
        self._is_asked = False
        self.set_running_or_notify_cancel()

    def cancel(self) -> bool:
        """Have the job stopped, and no other; False where it is finished.

        It ends when the service says so: at once, or, where workers have it, when it has stopped
        there, within their grace period and a second. `result` raises `Cancelled` then, whose
        `stop` says what that took where it ran on workers. Where its result was there first, that
        is what it ends with.
        """
        if self.done():
            return self.cancelled()
        if not self._is_asked:
            self._is_asked = True
            self._call_off(self)
        return True

    def cancelled(self) -> bool:
        """Whether the job was stopped."""
        return self.done() and isinstance(self.exception(), Cancelled)

    def end(self, outcome: Result | PullbackError) -> None:
        """Give the job its outcome."""
        if isinstance(outcome, PullbackError):
            self.set_exception(outcome)
        else:
            self.set_result(outcome)
