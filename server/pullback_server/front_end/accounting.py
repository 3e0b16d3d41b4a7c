"""Counts jobs and messages as the front end takes them in and answers them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from pullback_graph.errors import Cancelled, NotFoundError, PullbackError
from pullback_graph.job import Metrics
from pullback_server.front_end.arrivals import Arrival
from pullback_server.front_end.packed_jobs import PackedTotals
from pullback_server.metrics import ServiceCounters


class Accounting:
    """What the front end tells the counters. Jobs enter and leave on the event loop."""

    def __init__(self, counters: ServiceCounters) -> None:
        self.counters = counters
        self.received = counters.bytes_received
        self.sent = counters.bytes_sent
        self.rejected = counters.request_rejected
        self.batch = counters.batch_received
        self._held: set[Arrival] = set()
        counters.watch_jobs(self._in_flight)

    def entered(self, arrival: Arrival) -> None:
        """A job was taken in."""
        self._held.add(arrival)

    def answered(self, arrival: Arrival, metrics: Metrics) -> None:
        """A job was answered with a result."""
        self._held.discard(arrival)
        self.counters.job_finished(arrival.want, metrics)
        if metrics.workers:
            return  # what workers find compiled or compile, they report themselves
        if metrics.program_cache_hit:
            self.counters.program_cache_hit()
        else:
            self.counters.program_cache_missed()
            self.counters.compiled(metrics.executor, metrics.compiling_s)

    def answered_together(self, arrivals: Iterable[Arrival], totals: PackedTotals) -> None:
        """Jobs of a packed run were answered with results."""
        self._held.difference_update(arrivals)
        self.counters.jobs_finished(*totals)

    def failed(self, arrival: Arrival, error: BaseException) -> None:
        """A job was answered with an error, or its caller went away.

        A hash that is not stored here is a step of the conversation, not a failed job: the client
        sends what is missing and asks again.
        """
        self._held.discard(arrival)
        if isinstance(error, NotFoundError):
            self.counters.request_rejected(outcome_of(error))
        else:
            self.counters.job_failed(arrival.want, outcome_of(error))

    def left(self, arrivals: Iterable[Arrival]) -> None:
        """Nobody waits for these any more: those without an answer were cancelled."""
        for arrival in arrivals:
            if arrival in self._held:
                self.failed(arrival, Cancelled("the caller went away before the result was there"))

    def _in_flight(self) -> Mapping[tuple[str, str], int]:
        return Counter((arrival.want, arrival.state) for arrival in list(self._held))


def outcome_of(error: BaseException) -> str:
    """The outcome label of an error: its gRPC status in lower case."""
    if isinstance(error, PullbackError):
        return type(error).status.lower()
    return "cancelled" if not isinstance(error, Exception) else "internal"
