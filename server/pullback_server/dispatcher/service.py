"""The dispatcher's socket: one stream per front end, jobs in, answers and status out."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Sequence
from functools import partial
from typing import Any, TypeAlias

import grpc

from pullback_graph.codec import error_to_status
from pullback_graph.errors import Cancelled, NotFoundError, PullbackError
from pullback_graph.timeline import DISPATCHER
from pullback_proto.internal.v1 import dispatch_pb2 as wire
from pullback_proto.internal.v1 import dispatch_pb2_grpc as rpc
from pullback_server.dispatcher.engine import Answer, Engine
from pullback_server.held_input import SMALL_BYTES, HeldInput
from pullback_server.outbox import together
from pullback_server.plan_codec import (
    PLACEMENTS,
    decode_operand,
    decode_plan,
    discard_operand,
    encode_operand,
    encode_rates,
)
from pullback_server.planner.plan import Placement
from pullback_server.planner.rates import UNMEASURED, Rates
from pullback_server.scheduler import HERE, Dependencies, KindCount, Snapshot, TaskTiming
from pullback_server.shared_tensors import LEAST_BYTES, SharedTensors
from pullback_server.traffic import Traffic

LOG = logging.getLogger(__name__)

STATUS_S = 0.25
"""How often the status is looked at; it is sent when it changed."""
STATUS_AT_LEAST = 4
"""Looks after which it is sent unchanged."""
RATES_S = 1.0
MOST_PLANS = 256

Coming: TypeAlias = HeldInput | Awaitable[HeldInput]
"""An input of a job that is here, or will be."""
Replies: TypeAlias = "asyncio.Queue[wire.DispatchReply | None]"


class DispatcherService(rpc.DispatcherServicer):
    """Serves streams of jobs.

    Args:
        shared: the folder that large arrays cross in.
    """

    def __init__(self, engine: Engine, shared: SharedTensors) -> None:
        self._engine = engine
        self._shared = shared
        self._plans: OrderedDict[bytes, Dependencies] = OrderedDict()

    async def Run(  # noqa: N802  (gRPC's name)
        self, requests: AsyncIterator[wire.DispatchRequests], context: Any
    ) -> AsyncIterator[wire.DispatchReplies]:
        """One front end's jobs; they end with the stream."""
        stream = _Stream(self, asyncio.Queue())
        reader = asyncio.create_task(stream.read(requests))
        reporters = [
            asyncio.create_task(report(stream.replies))
            for report in (self._report, self._report_rates)
        ]
        try:
            while replies := await together(stream.replies):
                yield wire.DispatchReplies(replies=replies)
        finally:
            for task in (reader, *reporters):
                task.cancel()
            stream.close()

    # --- one job ----------------------------------------------------------------------------------

    async def evaluate(self, submit: wire.Submit, inputs: Sequence[Coming]) -> wire.DispatchReply:
        """Run a job and make its reply."""
        try:
            held = [item if isinstance(item, HeldInput) else await item for item in inputs]
            answer = await self._engine.evaluate(
                await self._plan(submit),
                held,
                client=submit.client,
                priority=submit.priority,
                deadline_s=submit.deadline_s if submit.HasField("deadline_s") else None,
            )
            return await self._done(submit.job, answer)
        except asyncio.CancelledError:
            return _failed(submit.job, Cancelled("the job was cancelled"))
        except Exception as error:
            return _failed(submit.job, error)

    async def _plan(self, submit: wire.Submit) -> Dependencies:
        """The plan of a job, decoded or known from before.

        Raises:
            NotFoundError: it is named only, and not known.
        """
        key = submit.plan_key
        plan = self._plans.get(key)
        if plan is None:
            if not submit.plan:
                raise NotFoundError("the plan is not known; send it again", field="plan")
            plan = await asyncio.to_thread(_decoded, submit.plan)
            self._plans[key] = plan
            if len(self._plans) > MOST_PLANS:
                self._plans.popitem(last=False)
        self._plans.move_to_end(key)
        return plan

    def put_small(self, item: wire.OperandTensor) -> HeldInput | None:
        """An input that came in the message and is small, at once; None for any other."""
        if item.WhichOneof("place") != "inline" or len(item.inline.data) > SMALL_BYTES:
            return None
        array = decode_operand(item, self._shared)
        if array.nbytes > SMALL_BYTES:  # it repeats what came
            return None
        return self._engine.pool.inputs.put(array, item.kept != 0)

    async def put(self, item: wire.OperandTensor) -> HeldInput:
        """An input as workers will read it."""
        if (small := self.put_small(item)) is not None:
            return small
        inputs, shared, kept = self._engine.pool.inputs, self._shared, item.kept != 0
        return await asyncio.to_thread(lambda: inputs.put(decode_operand(item, shared), kept))

    async def _done(self, job: int, answer: Answer) -> wire.DispatchReply:
        """The reply of a job that has results; cancelled meanwhile, it leaves no file."""
        if sum(array.nbytes for array in answer.results) < LEAST_BYTES:
            return wire.DispatchReply(done=_done(job, self._results(answer), answer))
        making = asyncio.ensure_future(asyncio.to_thread(self._results, answer))
        try:
            results = await asyncio.shield(making)
        except asyncio.CancelledError:
            for item in await making:
                discard_operand(item, self._shared)
            raise
        return wire.DispatchReply(done=_done(job, results, answer))

    def _results(self, answer: Answer) -> list[wire.OperandTensor]:
        return [encode_operand(array, self._shared) for array in answer.results]

    # --- status -----------------------------------------------------------------------------------

    async def _report(self, replies: Replies) -> None:
        """Send the status first, when it changes, and every second."""
        last, looks = None, 0
        address = self._engine.pool.address
        while True:
            status = status_of(self._engine.snapshot(), self._engine.pool.traffic, address)
            looks += 1
            if status != last or looks >= STATUS_AT_LEAST:
                await replies.put(wire.DispatchReply(status=status))
                last, looks = status, 0
            await asyncio.sleep(STATUS_S)

    async def _report_rates(self, replies: Replies) -> None:
        """Send the rates that changed, once a second."""
        told: dict[Placement, Rates] = {}
        while True:
            for kind, rates in self._engine.rates().items():
                if rates != told.get(kind, UNMEASURED):
                    await replies.put(wire.DispatchReply(rates=encode_rates(kind, rates)))
                    told[kind] = rates
            await asyncio.sleep(RATES_S)


class _Stream:
    """One front end's stream: the jobs submitted on it, and the arrays kept for it."""

    def __init__(self, service: DispatcherService, replies: Replies) -> None:
        self.replies = replies
        self._service = service
        self._jobs: dict[int, asyncio.Task[None]] = {}
        self._kept: dict[int, asyncio.Task[HeldInput]] = {}

    async def read(self, messages: AsyncIterator[wire.DispatchRequests]) -> None:
        """Take requests until there are no more."""
        async for message in messages:
            for request in message.requests:
                self._take(request)
        await self.replies.put(None)

    def _take(self, request: wire.DispatchRequest) -> None:
        if request.WhichOneof("request") == "submit":
            submit = request.submit
            for number in submit.dropped:
                self._kept.pop(number, None)
            inputs = [self._input(item) for item in submit.inputs]
            self._jobs[submit.job] = asyncio.create_task(self._evaluate(submit, inputs))
        elif (task := self._jobs.get(request.cancel.job)) is not None:
            # It is to have begun: of one that did not, nobody would say how it ended.
            asyncio.get_running_loop().call_soon(task.cancel)

    def _input(self, item: wire.OperandTensor) -> Coming:
        """An input, or on its way; it arrives even if the job that brought it is cancelled."""
        if not item.kept and (small := self._small(item)) is not None:
            return small
        coming = self._kept.get(item.kept)
        if item.WhichOneof("place") is not None:
            coming = asyncio.create_task(self._service.put(item))
            coming.add_done_callback(partial(self._arrived, item.kept))
            if item.kept:
                self._kept[item.kept] = coming
        elif coming is None:
            coming = asyncio.create_task(_forgotten())
        elif coming.done() and not coming.cancelled() and coming.exception() is None:
            return coming.result()
        return asyncio.shield(coming)

    def _small(self, item: wire.OperandTensor) -> HeldInput | None:
        """An input that is here, unless it can't be read: its job fails by that, not the stream."""
        try:
            return self._service.put_small(item)
        except PullbackError:
            return None  # and raised again, for whoever awaits it

    def _arrived(self, number: int, task: asyncio.Task[HeldInput]) -> None:
        """An array is there, or failed to come: then it is not kept, and is to be sent again."""
        if not task.cancelled() and task.exception() and self._kept.get(number) is task:
            del self._kept[number]

    async def _evaluate(self, submit: wire.Submit, inputs: Sequence[Coming]) -> None:
        reply = await self._service.evaluate(submit, inputs)
        self._jobs.pop(submit.job, None)
        await self.replies.put(reply)

    def close(self) -> None:
        """The front end is gone, and its jobs with it."""
        for task in tuple(self._jobs.values()):
            task.cancel()
        self._kept.clear()


async def _forgotten() -> HeldInput:
    """An array that was kept, it was thought.

    Raises:
        NotFoundError: always; the front end sends it again.
    """
    raise NotFoundError("an array is not kept any more; send it again", field="inputs")


# --- messages -------------------------------------------------------------------------------------


def status_of(snapshot: Snapshot, traffic: Traffic, address: str) -> wire.PoolStatus:
    """The message of a snapshot."""
    return wire.PoolStatus(
        ready=_ready(snapshot),
        workers=[_count(kind, count) for kind, count in snapshot.workers.items()],
        queued_jobs=snapshot.queued_jobs,
        queued_tasks=snapshot.queued_tasks,
        running_tasks=snapshot.running_tasks,
        tasks_done_total=snapshot.tasks_done,
        retries_total=snapshot.retries,
        workers_lost_total=snapshot.workers_lost,
        program_cache_hits_total=snapshot.program_cache_hits,
        program_cache_misses_total=snapshot.program_cache_misses,
        compiling_s_total=snapshot.compiling_s,
        address=address,
        copies_total=snapshot.copies,
        wasted_s_total=snapshot.wasted_s,
        moved_bytes_total=traffic.moved_bytes,
        network_bytes_total=traffic.network_bytes,
    )


def _ready(snapshot: Snapshot) -> bool:
    """Whether jobs run: there is a worker, or none is wanted before there is work."""
    counts = snapshot.workers.values()
    return any(count.ready for count in counts) or not any(
        count.wanted or count.starting for count in counts
    )


def _count(kind: Placement, count: KindCount) -> wire.WorkerCount:
    return wire.WorkerCount(
        placement=PLACEMENTS[kind],
        starting=count.starting,
        ready=count.ready,
        busy=count.busy,
        busy_s_total=count.busy_s,
        wanted=count.wanted,
    )


def _timing(task: int, timing: TaskTiming) -> wire.TaskTiming:
    return wire.TaskTiming(
        task=task,
        placement=PLACEMENTS[timing.placement],
        compiling_s=timing.compiling_s,
        running_s=timing.running_s,
        transferring_s=timing.transferring_s,
        program_cache_hit=timing.program_cache_hit,
        attempts=timing.attempts,
        worker=_label(timing),
        executor=timing.executor,
        started_s=timing.started_s,
    )


def _label(timing: TaskTiming) -> str:
    """What a timeline calls a worker: its number, and its kind where that is not the usual one."""
    if timing.worker == HERE:
        return DISPATCHER
    return f"gpu-{timing.worker}" if timing.placement is Placement.GPU else str(timing.worker)


def _done(job: int, results: list[wire.OperandTensor], answer: Answer) -> wire.Done:
    statistics = answer.statistics
    return wire.Done(
        job=job,
        results=results,
        timings=[_timing(k, timing) for k, timing in sorted(statistics.timings.items())],
        workers=statistics.workers,
        retries=statistics.retries,
        queued_s=statistics.queued_s,
        transferring_s=statistics.transferring_s,
        peak_bytes=statistics.peak_bytes,
        moved_bytes=answer.traffic.moved_bytes,
        network_bytes=answer.traffic.network_bytes,
    )


def _failed(job: int, error: BaseException) -> wire.DispatchReply:
    if not hasattr(error, "message"):
        LOG.error("a job failed by a fault of the dispatcher", exc_info=error)
    return wire.DispatchReply(failed=wire.Failed(job=job, error=error_to_status(error)))


def _decoded(data: bytes) -> Dependencies:
    """A plan with what the scheduler asks of it worked out, off the event loop."""
    plan = Dependencies(decode_plan(data))
    for own in (plan, plan.stem()):
        if own is not None:
            _ = own.fingerprints, own.estimates_s, own.works
    return plan


def new_server(service: DispatcherService, address: str) -> grpc.aio.Server:
    """A server of the service at an address, without limits on messages."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.aio.server(options=options)
    rpc.add_DispatcherServicer_to_server(service, server)
    server.add_insecure_port(address)
    return server
