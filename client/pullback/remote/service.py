"""The remote service as users see it: every method is a conversation, run to its end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self, Unpack

from pullback.job_arguments import AnyGraph, Arrays, Asked, Names, OptionFields, asked_job
from pullback.job_future import JobFuture
from pullback.many_points import ManyPoints, run_many
from pullback.map_items import map_job_maker
from pullback.remote.channel import Connection
from pullback.remote.conversation import Conversation
from pullback.remote.descriptions import PlanReport, ServerInfo
from pullback.remote.job_window import IN_FLIGHT, Outcome, WindowSize
from pullback.remote.map_jobs import map_jobs
from pullback.remote.map_steps import map_steps
from pullback.remote.progress import counted, is_shown
from pullback.remote.remote_tensor import RemoteTensor
from pullback.remote.submissions import Submissions
from pullback.remote.transport import Transport
from pullback.transforms import Transforms
from pullback_graph.graph import Graph
from pullback_graph.job import GraphHash, Result
from pullback_graph.want import Want


class Service(Transforms[Result]):
    """A service far away. Connects on first use; threads may share it, forked processes may not.

    Use as a context manager, or call `close()`.
    """

    def __init__(self, connection: Connection) -> None:
        self._address = connection.address
        self._conversation = Conversation(connection.address, connection.retry)
        self._transport = Transport(connection)
        self._submissions = Submissions(self._transport, self._conversation)

    def evaluate(
        self,
        graph: AnyGraph,
        inputs: Arrays,
        **asked: Unpack[Asked],
    ) -> Result:
        """Run one job and wait for its result.

        Args:
            graph: what to compute; it travels once, and is named by its fingerprint from then on.
            inputs: an array, number, list or handle (see `put`) by input name; arrays from 256 KiB
                on travel once as well, but for parameters that are new with every call.
            **asked: `gradient`, inputs to differentiate the only output by (in short for
                `want=Gradient(...)`); `want`, what is wanted (without both, the value); `seeds`,
                the arrays of a vjp, jvp or hvp, by name, for each seed that the want names; and how
                to run it: `deadline_s`, `priority`, `executor`, `device`, `split`, `reproducible`,
                `memory_cap_bytes`, `check`, `certificate`, `timeline`.

        Raises:
            RequestError: what was asked is at fault; the class and message say how.
            ExecutionError: the computation failed.
            ServiceError: the service could not be reached, was too late, or was called off.
        """
        job = asked_job(graph, inputs, asked)
        return self._transport.run(self._conversation.evaluate(job))

    def submit(
        self,
        graph: AnyGraph,
        inputs: Arrays,
        **asked: Unpack[Asked],
    ) -> JobFuture:
        """Send one job on its way; arguments as for `evaluate`.

        Returns:
            A `concurrent.futures.Future` of its result, whose `cancel` stops this job alone, also
            while it runs.

        Raises:
            RequestError: the arguments make no job; what else is wrong with it, the future says.
        """
        job = asked_job(graph, inputs, asked)
        return self._submissions.submit(job)

    def plan(
        self,
        graph: AnyGraph,
        **asked: Unpack[Asked],
    ) -> PlanReport:
        """What the service would do with a job, without doing it."""
        job = asked_job(graph, {}, asked)
        return self._transport.run(self._conversation.plan(job))

    def map(
        self,
        jobs: Iterable[Any],
        *,
        gradient: Names | None = None,
        want: Want | None = None,
        in_flight: int = IN_FLIGHT,
        progress: bool | None = None,
        **options: Unpack[OptionFields],
    ) -> Iterator[Outcome]:
        """Run many jobs in parallel; outcomes come in the jobs' order.

        A job that fails gives its error in its place, unraised, and the others go on. The iterable
        is walked as results are taken, never more than `in_flight` jobs ahead.

        Args:
            jobs: `Job`s, or tuples `(graph, inputs)`, `(graph, inputs, want)` or
                `(graph, inputs, want, seeds)`.
            gradient, want: what is wanted where a tuple says nothing.
            progress: show a bar; by default, where standard error is a terminal.
            **options: how to run those given as tuples.
        """
        make = map_job_maker(gradient, want, options)
        size = WindowSize(jobs=max(1, in_flight))
        steps = map_steps(self._conversation, size, make)
        outcomes = map_jobs(self._transport, steps, jobs)
        return counted(outcomes, jobs) if is_shown(progress) else outcomes

    def _run_many(self, many: ManyPoints) -> Result:
        return run_many(self.map, many)

    def put_graph(self, graph: Graph, *, deadline_s: float | None = None) -> GraphHash:
        """Store a graph; the hash stands for it. `evaluate` does this by itself."""
        return self._transport.run(self._conversation.put_graph(graph, deadline_s))

    def put_tensor(self, array: Any, *, deadline_s: float | None = None) -> RemoteTensor:
        """Store an array; the handle stands for it as an input or seed, and is not even hashed."""
        return self._transport.run(self._conversation.put_tensor(array, deadline_s))

    put = put_tensor

    def server_info(self, *, deadline_s: float | None = None) -> ServerInfo:
        """What the service is and what it takes."""
        return self._transport.run(self._conversation.server_info(deadline_s))

    def wait_until_ready(self, deadline_s: float = 30.0) -> None:
        """Return when the service answers; ServiceError if it does not in time."""
        self._transport.run(self._conversation.wait_until_ready(deadline_s))

    def close(self) -> None:
        """End the connection; calls under way fail."""
        self._submissions.close()
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Service({str(self._address)!r})"
