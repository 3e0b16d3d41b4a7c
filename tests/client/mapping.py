"""A map without a network or a clock, for the tests of maps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pullback.map_items import map_job_maker
from pullback.remote.job_window import Outcome, WindowSize
from pullback.remote.map_steps import map_steps
from pullback.remote.retry import RetryPolicy
from pullback_graph.errors import ServiceError
from pullback_graph.job import Result
from tests.client.fake_service import FakeService
from tests.client.fake_transport import FakeMap, FakeTransport
from tests.client.graphs import square

AWAY = ServiceError("away")


class Map:
    """A service, a client's transport, and the shell of one map."""

    def __init__(self, retry: RetryPolicy | None = None, jobs: int = 8) -> None:
        self.service = FakeService()
        self.transport = FakeTransport(self.service, retry)
        self.shell = FakeMap(self.transport)
        self.size = WindowSize(jobs=jobs)

    def __call__(self, items: Iterable[object], **options) -> Iterator[Outcome]:
        """The outcomes of a map over `items`."""
        make = map_job_maker("x", None, options)
        return self.shell.run(map_steps(self.transport.conversation, self.size, make), items)


def points(count: int) -> list[tuple[object, dict[str, float]]]:
    """One graph at many points."""
    graph = square()
    return [(graph, {"x": float(i)}) for i in range(count)]


def gradients(outcomes: Iterable[Outcome]) -> list[float]:
    """The gradients by x; every outcome must be a result."""
    found = []
    for outcome in outcomes:
        assert isinstance(outcome, Result), outcome
        found.append(float(outcome.gradients["x"]))
    return found
