"""The remote service for asyncio: what `Service` does, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from types import TracebackType
from typing import Any, Self, Unpack

from pullback.job_arguments import AnyGraph, Arrays, Asked, Names, OptionFields, asked_job
from pullback.many_points import ManyPoints, arun_many
from pullback.map_items import map_job_maker
from pullback.remote.async_map_jobs import async_map_jobs
from pullback.remote.async_submissions import AsyncSubmissions
from pullback.remote.async_transport import AsyncTransport
from pullback.remote.channel import Connection
from pullback.remote.conversation import Conversation
from pullback.remote.descriptions import PlanReport, ServerInfo
from pullback.remote.job_window import IN_FLIGHT, Outcome, WindowSize
from pullback.remote.map_steps import map_steps
from pullback.remote.progress import acounted, is_shown
from pullback.remote.remote_tensor import RemoteTensor
from pullback.transforms import AsyncTransforms
from pullback_graph.graph import Graph
from pullback_graph.job import GraphHash, Result
from pullback_graph.want import Want


class AsyncService(AsyncTransforms):
    """A service far away, for one event loop. Connects on first use.

    Use with `async with`, or await `close()`. Methods mean what they mean in `Service`.
    """

    def __init__(self, connection: Connection) -> None:
        self._address = connection.address
        self._conversation = Conversation(connection.address, connection.retry)
        self._transport = AsyncTransport(connection)
        self._submissions = AsyncSubmissions(self._transport, self._conversation)

    async def evaluate(
        self,
        graph: AnyGraph,
        inputs: Arrays,
        **asked: Unpack[Asked],
    ) -> Result:
        """Run one job; see `Service.evaluate`. Cancelling the call cancels the job."""
        job = asked_job(graph, inputs, asked)
        return await self._transport.run(self._conversation.evaluate(job))

    def submit(
        self,
        graph: AnyGraph,
        inputs: Arrays,
        **asked: Unpack[Asked],
    ) -> asyncio.Task[Result]:
        """Send one job on its way, to be awaited; arguments as for `evaluate`.

        Cancelling the task stops this job alone. It ends when the service says that the job has
        stopped, with a `CancelledError` whose `__cause__` is the `Cancelled` that says how.
        """
        job = asked_job(graph, inputs, asked)
        return self._submissions.submit(job)

    async def plan(
        self,
        graph: AnyGraph,
        **asked: Unpack[Asked],
    ) -> PlanReport:
        """What the service would do with a job, without doing it."""
        job = asked_job(graph, {}, asked)
        return await self._transport.run(self._conversation.plan(job))

    def map(
        self,
        jobs: Iterable[Any] | AsyncIterable[Any],
        *,
        gradient: Names | None = None,
        want: Want | None = None,
        in_flight: int = IN_FLIGHT,
        progress: bool | None = None,
        **options: Unpack[OptionFields],
    ) -> AsyncIterator[Outcome]:
        """Run many jobs in parallel, for `async for`; see `Service.map`. `jobs` may be async too.

        Close the iterator (`aclose()`, or `contextlib.aclosing`) when leaving it before its end.
        """
        make = map_job_maker(gradient, want, options)
        size = WindowSize(jobs=max(1, in_flight))
        steps = map_steps(self._conversation, size, make)
        outcomes = async_map_jobs(self._transport, steps, jobs)
        return acounted(outcomes, jobs) if is_shown(progress) else outcomes

    async def _run_many(self, many: ManyPoints) -> Result:
        return await arun_many(self.map, many)

    async def put_graph(self, graph: Graph, *, deadline_s: float | None = None) -> GraphHash:
        """Store a graph; the hash stands for it. `evaluate` does this by itself."""
        return await self._transport.run(self._conversation.put_graph(graph, deadline_s))

    async def put_tensor(self, array: Any, *, deadline_s: float | None = None) -> RemoteTensor:
        """Store an array; the handle stands for it as an input or seed, and is not even hashed."""
        return await self._transport.run(self._conversation.put_tensor(array, deadline_s))

    put = put_tensor

    async def server_info(self, *, deadline_s: float | None = None) -> ServerInfo:
        """What the service is and what it takes."""
        return await self._transport.run(self._conversation.server_info(deadline_s))

    async def wait_until_ready(self, deadline_s: float = 30.0) -> None:
        """Return when the service answers; ServiceError if it does not in time."""
        await self._transport.run(self._conversation.wait_until_ready(deadline_s))

    async def close(self) -> None:
        """End the connection; calls under way fail."""
        await self._submissions.close()
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncService({str(self._address)!r})"
