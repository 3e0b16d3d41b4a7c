"""When to call again, and after how long: a decision from data. No clock and no network here.

Only UNAVAILABLE is tried again (a job has no side effects, so running it twice is harmless), after
a wait that doubles, or for as long as the server asks, never past the deadline. The wait is drawn
from its upper half at random, so that clients a restarting server dropped at once do not all come
back at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from pullback_graph.errors import PullbackError

GRACE_S = 3.0
"""How long after its deadline a job is still left to the service, which says more of it: when it
stopped on its workers, and what that wasted."""
LONGEST_HINT_S = 30.0
"""A server that asks for more patience than this is asked again sooner."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patiently a client waits for a service that is away.

    Attributes:
        attempts: calls in all, the first included; 1 never tries again.
        first_s: upper bound of the first wait.
        longest_s: upper bound of every wait.
    """

    attempts: int = 6
    first_s: float = 0.05
    longest_s: float = 2.0

    def wait_s(
        self, error: PullbackError, attempt: int, remaining_s: float | None, draw: float
    ) -> float | None:
        """Seconds to wait before the next call, or None where there shall be none.

        Args:
            attempt: number of the call that failed, from 1.
            remaining_s: time left until the deadline; None where there is none.
            draw: a uniform random number in [0, 1).
        """
        if error.status != "UNAVAILABLE" or not error.retryable or attempt >= self.attempts:
            return None
        bound_s = min(self.longest_s, self.first_s * 2.0 ** min(attempt - 1, 60))
        wait_s = bound_s * (1.0 + draw) / 2.0
        if error.retry_after_s is not None:
            wait_s = max(wait_s, min(error.retry_after_s, LONGEST_HINT_S) * (1.0 + draw / 2.0))
        return None if remaining_s is not None and wait_s >= remaining_s else wait_s


DEFAULT_RETRY = RetryPolicy()
