"""Performs steps with gRPC's asyncio, on the running event loop. Decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import grpc

from pullback.remote.async_batch_stream import AsyncBatchStream
from pullback.remote.channel import IN_PARTS, SERVICE, STREAM, UNARY, UPLOAD, Connection
from pullback.remote.failure import failure
from pullback.remote.map_steps import Event
from pullback.remote.steps import Call, Compute, Effect, Pause, Steps, perform_all_async
from pullback_graph.errors import Cancelled, PullbackError, ServiceError

T = TypeVar("T")


class AsyncTransport:
    """One channel to a service, opened on first use; belongs to the event loop that was running."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._address = str(connection.address)
        self._metadata = connection.metadata
        self._is_closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channel: Any = None
        self._methods: dict[str, Any] = {}

    async def run(self, steps: Steps[T]) -> T:
        """Perform steps to their end, and give what they come to."""
        return await perform_all_async(steps, self.perform)

    async def perform(self, effect: Effect) -> Any:
        """Perform one effect.

        Raises:
            PullbackError: a call failed.
        """
        match effect:
            case Call():
                return await self._call(effect)
            case Pause(seconds):
                return await asyncio.sleep(seconds)
            case Compute(function):
                return await asyncio.to_thread(function)

    def open_stream(self, notify: Callable[[AsyncBatchStream, Event], None]) -> AsyncBatchStream:
        """Start an EvaluateStream call; `notify` as in `AsyncBatchStream`."""
        self.check_usable()
        return AsyncBatchStream(self._methods[STREAM], self._metadata, self._failure, notify)

    async def close(self) -> None:
        """End the connection; calls under way fail."""
        self._is_closed = True
        if self._channel is not None:
            await self._channel.close()

    async def _call(self, call: Call) -> Any:
        self.check_usable()
        try:
            reply = self._methods[call.method](
                call.request, timeout=call.timeout_s, metadata=self._metadata
            )
            if call.reply is None:
                return await reply
            try:
                async for part in reply:
                    call.reply.take(part)
            finally:
                reply.cancel()  # nothing is left of a call that has ended
            return call.reply
        except grpc.RpcError as error:
            raise self._failure(error) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._is_closed and task is not None and not task.cancelling():
                raise Cancelled(f"the service at {self._address} was closed meanwhile") from None
            raise

    def _failure(self, error: Any) -> PullbackError:
        """A gRPC error as one of the tree."""
        metadata = error.trailing_metadata() or ()
        return failure(error.code().name, error.details() or "", metadata, self._address)

    def check_usable(self) -> None:
        """Say so where it can't be used.

        Raises:
            ServiceError: it is closed, or belongs to another event loop.
        """
        if self._is_closed:
            raise ServiceError(f"the service at {self._address} is closed; connect again")
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._open(loop)
        elif self._loop is not loop:
            raise ServiceError(
                f"the service at {self._address} was used on another event loop before; call "
                "aconnect again on this one"
            )

    def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        connection = self._connection
        target, options = connection.address.target, connection.options
        if connection.credentials is None:
            channel = grpc.aio.insecure_channel(target, options)
        else:
            channel = grpc.aio.secure_channel(target, connection.credentials, options)
        self._methods = {name: channel.unary_unary(SERVICE + name) for name in UNARY}
        self._methods[UPLOAD] = channel.stream_unary(SERVICE + UPLOAD)
        self._methods[IN_PARTS] = channel.stream_stream(SERVICE + IN_PARTS)
        self._methods[STREAM] = channel.stream_stream(SERVICE + STREAM)
        self._channel, self._loop = channel, loop
