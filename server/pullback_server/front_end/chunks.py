"""A chunk of a stream's jobs: some on a process, some on a thread, some on the cluster, at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from time import monotonic
from typing import TypeAlias, TypeVar

from google.rpc import status_pb2

from pullback_graph.codec import encode_reply, error_to_status, status_to_error
from pullback_graph.errors import PullbackError, ServiceError
from pullback_proto.v1 import job_pb2
from pullback_server.front_end.arrivals import Answer, Arrival, brings_graph, id_in, unanswered
from pullback_server.front_end.evaluation import Evaluation, typed_error
from pullback_server.front_end.job_processes import JobProcesses, Returned, Visit
from pullback_server.front_end.packed_jobs import LEAST_JOBS, is_small, run_packed_jobs
from pullback_server.front_end.run_job import BoundJob

Done: TypeAlias = "Answer | BoundJob | PullbackError"
Emit: TypeAlias = Callable[[list[bytes]], Awaitable[None]]
"""Takes serialised JobReplies."""

Item = TypeVar("Item")

LOOK_S = 0.25
"""How often a long visit is looked at for jobs that should have stopped."""
PATIENCE_S = 0.5
"""What such a job has to stop by itself."""
VISIT_JOBS = 32
"""Jobs that visit a process together: enough to hide the visit, few enough to let others in."""


class ChunkRunner:
    """Answers the jobs of a chunk, each at its position, in whatever order they end."""

    def __init__(self, evaluation: Evaluation, processes: JobProcesses) -> None:
        self.evaluation = evaluation
        self._processes = processes

    async def run(self, arrivals: Sequence[Arrival], emit: Emit) -> None:
        """Answer all jobs that are not; `emit` gets their replies as they are there."""
        arrivals = unanswered(arrivals)
        if not arrivals:
            return
        with self.evaluation.holding(arrivals):
            rest = await self._packed(arrivals, emit)
            apart: list[Arrival] = []
            here: list[Arrival] = []
            for arrival in rest:
                is_apart = brings_graph(arrival.data) and not arrival.flag.is_set
                (apart if is_apart else here).append(arrival)
            if apart and not self._processes.ready:
                apart, here = [], rest
            async with asyncio.TaskGroup() as group:
                for first in range(0, len(apart), VISIT_JOBS):
                    visitors = apart[first : first + VISIT_JOBS]
                    group.create_task(self._on_process(visitors, emit))
                if here:
                    group.create_task(self._here(here, emit))

    async def call_off(self, arrivals: Sequence[Arrival], emit: Emit) -> None:
        """Stop jobs, and no others; those that no worker has are answered at once.

        What is still made of them, packed with others or by a program that goes on, is dropped.
        """
        for arrival in arrivals:
            arrival.flag.set()
            arrival.id = arrival.id or id_in(arrival.data)
        here = [(arrival, arrival.flag.error()) for arrival in arrivals if not arrival.on_cluster]
        await self._emit([(arrival, error) for arrival, error in here if error is not None], emit)

    async def _packed(self, arrivals: Sequence[Arrival], emit: Emit) -> list[Arrival]:
        """Answer those that can be run packed; those that are left."""
        machine = self.evaluation.runner.tapes.machine
        packs = sum([is_small(arrival.data) for arrival in arrivals]) >= LEAST_JOBS
        await self.evaluation.machine_ready(arrivals, batches=packs)
        if not (packs and machine.is_offered and machine.batches_ready):
            return unanswered(arrivals)
        small = [arrival for arrival in unanswered(arrivals) if is_small(arrival.data)]
        for arrival in small:
            arrival.state = "running"
        done = await self.evaluation.threads.run(0, partial(run_packed_jobs, machine, small))
        pairs = list(zip(small, done.replies, strict=True))
        told = [(a, r) for a, r in pairs if r is not None and not a.is_answered]
        if told:
            totals = done.totals(lambda number: not small[number].is_answered)
            self.evaluation.runner.remember_packed(
                [arrival.data for arrival, _ in told if brings_graph(arrival.data)]
            )
            for arrival, _ in told:
                arrival.is_answered = True
            for own in totals:
                self.evaluation.accounting.answered_together([a for a, _ in told], own)
            await emit([reply for _, reply in told])
        return unanswered(arrivals)

    async def _on_process(self, arrivals: Sequence[Arrival], emit: Emit) -> None:
        """Answer jobs on visits to a process; those that need the front end come back to it."""
        for arrival in arrivals:
            arrival.state = "running"
        rest, returned = list(arrivals), list[Arrival]()
        while rest:
            pairs, rest = await self._visited(self._run_on_process(rest), rest, emit)
            for arrival, item in pairs:
                if isinstance(item, Returned) and item.fingerprint:
                    self.evaluation.runner.remember(item.fingerprint, arrival.data)
            ended = [(own, _received(own, item)) for own, item in pairs if item is not None]
            await self._emit(ended, emit)
            returned += [arrival for arrival, item in pairs if item is None]
        if returned:
            await self._here(returned, emit)

    async def _run_on_process(
        self, arrivals: Sequence[Arrival]
    ) -> Sequence[Returned | PullbackError | None]:
        try:
            return await self._processes.run(arrivals)
        except ServiceError as error:
            return [error] * len(arrivals)

    async def _visited(
        self, work: Awaitable[Sequence[Item]], arrivals: Sequence[Arrival], emit: Emit
    ) -> tuple[list[tuple[Arrival, Item]], list[Arrival]]:
        """What a visit made of the first jobs, and those after them.

        Jobs that should have stopped and go on all the same, as a compiler does, are answered
        meanwhile; what the visit makes of them is nothing to anybody.
        """
        visit = asyncio.ensure_future(work)
        late: dict[Arrival, float] = {}
        try:
            while not (await asyncio.wait([visit], timeout=LOOK_S))[0]:
                now_s = monotonic()
                late.update({a: now_s for a in arrivals if a.flag.is_set and a not in late})
                due = [a for a, since_s in late.items() if now_s - since_s >= PATIENCE_S]
                told = [(a, a.flag.error()) for a in due]
                await self._emit([(a, error) for a, error in told if error is not None], emit)
        except asyncio.CancelledError:
            visit.cancel()
            raise
        done = visit.result()
        pairs = [(a, item) for a, item in zip(arrivals, done, strict=False) if not a.is_answered]
        return pairs, unanswered(arrivals[len(done) :])

    async def _here(self, arrivals: Sequence[Arrival], emit: Emit) -> None:
        """Answer jobs on visits to a thread; what needs the cluster follows as it ends.

        A visit ends early when it took long or its replies are large: they leave before others.
        """
        answer = self.evaluation.runner.answer
        rest = list(arrivals)
        async with asyncio.TaskGroup() as group:
            while rest:
                call = partial(_caught, [partial(answer, arrival) for arrival in rest])
                visit = self.evaluation.threads.run(0, call)
                pairs, rest = await self._visited(visit, rest, emit)
                for _, done in pairs:
                    if isinstance(done, BoundJob):
                        group.create_task(self._on_cluster(done, emit))
                await self._emit([p for p in pairs if not isinstance(p[1], BoundJob)], emit)

    async def _on_cluster(self, bound: BoundJob, emit: Emit) -> None:
        done: Done
        try:
            done = await self.evaluation.on_cluster(bound)
        except Exception as error:
            done = typed_error(error)
        await self._emit([(bound.arrival, done)], emit)

    async def _emit(self, pairs: Sequence[tuple[Arrival, Done]], emit: Emit) -> None:
        """Answer jobs that are not answered."""
        replies = [self._reply(arrival, done) for arrival, done in pairs if not arrival.is_answered]
        if replies:
            await emit(replies)

    def _reply(self, arrival: Arrival, done: Done) -> bytes:
        """One job's serialised JobReply; the job is counted."""
        arrival.is_answered = True
        if isinstance(done, Answer):
            self.evaluation.accounting.answered(arrival, done.metrics)
            return encode_reply(arrival.id, arrival.position, done.data)
        assert isinstance(done, PullbackError)
        self.evaluation.accounting.failed(arrival, done)
        reply = job_pb2.JobReply(
            id=arrival.id, position=arrival.position, error=error_to_status(done)
        )
        data: bytes = reply.SerializeToString()
        return data


def _caught(calls: Sequence[Callable[[], Answer | BoundJob]]) -> list[Done]:
    """The results of calls, or the errors they raised, as many as a visit takes; on a thread."""
    results: list[Done] = []
    visit = Visit()
    for call in calls:
        try:
            done: Done = call()
        except Exception as error:
            done = typed_error(error)
        results.append(done)
        if visit.ends_with(len(done.data) if isinstance(done, Answer) else 0):
            break
    return results


def _received(arrival: Arrival, item: Returned | PullbackError) -> Done:
    """What a process made of a job, as if it had been made here."""
    if isinstance(item, PullbackError):
        return item
    arrival.id, arrival.want = item.id, item.want
    if item.metrics is not None:
        return Answer(item.metrics, item.data)
    return status_to_error(status_pb2.Status.FromString(item.data))
