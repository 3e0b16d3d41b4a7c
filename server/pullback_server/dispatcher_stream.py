"""One dispatcher's stream of jobs, as the front end sees it: messages out, answers in.

What the dispatcher has been given (plans, kept arrays) is known per stream; a new dispatcher knows
nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import Any

import grpc

from pullback_graph.job import NDArray
from pullback_proto.internal.v1 import dispatch_pb2 as wire
from pullback_proto.internal.v1 import dispatch_pb2_grpc as rpc
from pullback_server.kept_arrays import KeptArrays
from pullback_server.outbox import together
from pullback_server.plan_codec import encode_operand, encode_plan
from pullback_server.planner.plan import Plan
from pullback_server.shared_tensors import LEAST_BYTES, SharedTensors

MOST_PLANS = 256
LAST_LOOK_S = 1.0
"""Where this process stood still itself, what was said meanwhile is here within this time."""
OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
)


@dataclass(frozen=True, slots=True)
class JobOrder:
    """What a stream needs to know of a job.

    Attributes:
        sent_ahead: positions of inputs that the client names by their hashes.
    """

    number: int
    plan: Plan
    inputs: Sequence[NDArray]
    priority: int
    client: str = ""
    sent_ahead: Collection[int] = ()


class EncodedPlans:
    """Plans in serialised form, with their keys, for those used last."""

    def __init__(self) -> None:
        self._entries: OrderedDict[int, tuple[Plan, bytes, bytes]] = OrderedDict()

    def known(self, plan: Plan) -> bool:
        """Whether getting a plan takes no time."""
        return id(plan) in self._entries

    def get(self, plan: Plan) -> tuple[bytes, bytes]:
        """Key and bytes of a plan, known by identity."""
        entry = self._entries.pop(id(plan), None)
        if entry is None:
            data = encode_plan(plan)
            entry = plan, hashlib.sha256(data).digest(), data
        self._entries[id(plan)] = entry
        if len(self._entries) > MOST_PLANS:
            self._entries.popitem(last=False)
        return entry[1], entry[2]


class DispatcherStream:
    """A stream to one dispatcher. Close it in any case.

    Args:
        kept_bytes: arrays the dispatcher may keep between jobs.
    """

    def __init__(
        self, address: str, shared: SharedTensors, plans: EncodedPlans, kept_bytes: int
    ) -> None:
        self._shared = shared
        self._plans = plans
        self._known: set[bytes] = set()
        self._kept = KeptArrays(kept_bytes)
        self._outbox: asyncio.Queue[wire.DispatchRequest | None] = asyncio.Queue()
        self._sent: set[int] = set()
        self._order = asyncio.Lock()
        self._channel = grpc.aio.insecure_channel(address, options=OPTIONS)
        self._call: Any = None
        self._heard_s = inf
        self._replies: deque[wire.DispatchReply] = deque()

    async def connect(self) -> None:
        """Wait until the dispatcher serves."""
        await self._channel.channel_ready()
        self._call = rpc.DispatcherStub(self._channel).Run(self._requests())
        self._heard_s = monotonic()

    async def submit(self, job: JobOrder, deadline_s: float | None) -> None:
        """Send a job; those sent before it arrive before it."""
        async with self._order:
            if self._plans.known(job.plan) and sum(a.nbytes for a in job.inputs) < LEAST_BYTES:
                submit = self._encode(job, deadline_s)
            else:
                submit = await asyncio.to_thread(self._encode, job, deadline_s)
            self._sent.add(job.number)
            self._outbox.put_nowait(wire.DispatchRequest(submit=submit))

    def cancel(self, number: int) -> None:
        """Stop a job that was sent, if it was."""
        if number in self._sent:
            self._outbox.put_nowait(wire.DispatchRequest(cancel=wire.Cancel(job=number)))

    def answered(self, number: int) -> None:
        """A job is over."""
        self._sent.discard(number)

    def forget(self) -> None:
        """Take it that the dispatcher knows nothing: send plans and arrays again."""
        self._known.clear()
        self._kept.clear()

    async def read(self) -> wire.DispatchReply | None:
        """The next reply; None when the stream has ended."""
        while not self._replies:
            try:
                message = await self._call.read()
            except grpc.aio.AioRpcError:
                return None
            self._heard_s = monotonic()
            if message is grpc.aio.EOF:
                return None
            self._replies.extend(message.replies)
        return self._replies.popleft()

    async def silence(self, limit_s: float) -> None:
        """Return when nothing came for so long, not even the status that comes every second."""
        while True:
            heard_s = self._heard_s
            left_s = min(heard_s + limit_s - monotonic(), limit_s)
            await asyncio.sleep(max(left_s, LAST_LOOK_S))
            if left_s <= 0.0 and heard_s == self._heard_s:
                return

    async def close(self) -> None:
        """End the stream, and with it the jobs on it."""
        self._outbox.put_nowait(None)
        if self._call is not None:
            self._call.cancel()
        await self._channel.close()

    # --- inside -----------------------------------------------------------------------------------

    async def _requests(self) -> AsyncIterator[wire.DispatchRequests]:
        while requests := await together(self._outbox):
            yield wire.DispatchRequests(requests=requests)

    def _encode(self, job: JobOrder, deadline_s: float | None) -> wire.Submit:
        """The message of a job; one at a time."""
        key, data = self._plans.get(job.plan)
        submit = wire.Submit(
            job=job.number,
            plan=b"" if key in self._known else data,
            plan_key=key,
            inputs=[self._input(a, k in job.sent_ahead) for k, a in enumerate(job.inputs)],
            priority=job.priority,
            client=job.client,
        )
        if deadline_s is not None:
            submit.deadline_s = deadline_s
        submit.dropped.extend(self._kept.take_dropped())
        self._known.add(key)
        return submit

    def _input(self, array: NDArray, sent_ahead: bool) -> wire.OperandTensor:
        number, sent = self._kept.look_up(array, sent_ahead)
        if sent:
            return wire.OperandTensor(kept=number)
        message = encode_operand(array, self._shared)
        message.kept = number
        return message
