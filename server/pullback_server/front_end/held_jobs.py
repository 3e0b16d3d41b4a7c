"""The jobs a server holds: how many, how large and whose, and whether there is room for more.

Belongs to one event loop.
"""

from __future__ import annotations

from collections.abc import Sequence

from pullback_server.front_end.arrivals import Arrival, bytes_of
from pullback_server.front_end.leaving_rate import LeavingRate

CLIENT_SHARE = 0.75
"""Of the jobs that may be held, those of one client: another always gets in."""


class HeldJobs:
    """What was taken in and is not answered.

    Args:
        most_jobs, most_bytes: how much may be held, one job always allowed.

    Attributes:
        jobs, size_bytes: held now, and the size of their requests.
    """

    def __init__(self, most_jobs: int, most_bytes: int) -> None:
        self.jobs = self.size_bytes = 0
        self.most_jobs = most_jobs
        self.most_bytes = most_bytes
        self._most_of_a_client = max(1, int(CLIENT_SHARE * most_jobs))
        self._by_client: dict[str, int] = {}
        self._leaving = LeavingRate()

    def has_room(self, arrivals: Sequence[Arrival]) -> bool:
        """Whether these may be held as well; always, where nothing is held."""
        if not self.jobs:
            return True
        client = arrivals[0].client
        own = self._by_client.get(client, 0)
        return (
            self.jobs + len(arrivals) <= self.most_jobs
            and self.size_bytes + bytes_of(arrivals) <= self.most_bytes
            and (not own or own + len(arrivals) <= self._most_of_a_client)
        )

    def add(self, arrivals: Sequence[Arrival]) -> None:
        """Take jobs of one client in."""
        self.jobs += len(arrivals)
        self.size_bytes += bytes_of(arrivals)
        client = arrivals[0].client
        self._by_client[client] = self._by_client.get(client, 0) + len(arrivals)

    def remove(self, arrivals: Sequence[Arrival], now_s: float) -> None:
        """They are answered, or given up."""
        self.jobs -= len(arrivals)
        self.size_bytes -= bytes_of(arrivals)
        client = arrivals[0].client
        self._by_client[client] -= len(arrivals)
        if not self._by_client[client]:
            del self._by_client[client]
        self._leaving.left(len(arrivals), now_s)

    @property
    def wait_s(self) -> float:
        """When there will be room, most likely."""
        return self._leaving.wait_s(self.jobs)
