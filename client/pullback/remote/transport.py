"""Performs steps with plain gRPC, on the caller's thread. Decides nothing.

Several threads may share a transport; a forked process may not, for gRPC's own threads stay behind.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

import grpc

from pullback.remote.batch_stream import BatchStream
from pullback.remote.channel import IN_PARTS, SERVICE, STREAM, UNARY, UPLOAD, Connection
from pullback.remote.failure import failure
from pullback.remote.map_steps import Event
from pullback.remote.steps import Call, Compute, Effect, Pause, Steps, perform_all
from pullback_graph.errors import PullbackError, ServiceError

T = TypeVar("T")


class Transport:
    """One channel to a service; connects on first use."""

    def __init__(self, connection: Connection) -> None:
        self._address = str(connection.address)
        self._metadata = connection.metadata
        self._process = os.getpid()
        self._is_closed = False
        target, options = connection.address.target, connection.options
        if connection.credentials is None:
            self._channel = grpc.insecure_channel(target, options)
        else:
            self._channel = grpc.secure_channel(target, connection.credentials, options)
        self._methods: dict[str, Any] = {
            name: self._channel.unary_unary(SERVICE + name) for name in UNARY
        }
        self._methods[UPLOAD] = self._channel.stream_unary(SERVICE + UPLOAD)
        self._methods[IN_PARTS] = self._channel.stream_stream(SERVICE + IN_PARTS)
        self._stream: Any = self._channel.stream_stream(SERVICE + STREAM)

    def run(self, steps: Steps[T]) -> T:
        """Perform steps to their end, and give what they come to."""
        return perform_all(steps, self.perform)

    def perform(self, effect: Effect) -> Any:
        """Perform one effect.

        Raises:
            PullbackError: a call failed.
        """
        match effect:
            case Call():
                return self._call(effect)
            case Pause(seconds):
                return time.sleep(seconds)
            case Compute(function):
                return function()

    def open_stream(self, notify: Callable[[BatchStream, Event], None]) -> BatchStream:
        """Start an EvaluateStream call; `notify` as in `BatchStream`."""
        self.check_usable()
        return BatchStream(self._stream, self._metadata, self._failure, notify)

    def close(self) -> None:
        """End the connection; calls under way fail."""
        self._is_closed = True
        self._channel.close()

    def _call(self, call: Call) -> Any:
        self.check_usable()
        message = call.request if isinstance(call.request, bytes) else iter(call.request)
        try:
            reply = self._methods[call.method](message, call.timeout_s, self._metadata)
            if call.reply is None:
                return reply
            try:
                for part in reply:
                    call.reply.take(part)
            finally:
                reply.cancel()  # nothing is left of a call that has ended
            return call.reply
        except grpc.RpcError as error:
            raise self._failure(error) from None

    def _failure(self, error: Any) -> PullbackError:
        """A gRPC error as one of the tree."""
        metadata = error.trailing_metadata() or ()
        return failure(error.code().name, error.details() or "", metadata, self._address)

    def check_usable(self) -> None:
        """Say so where it can't be used.

        Raises:
            ServiceError: it is closed, or belongs to another process.
        """
        if self._is_closed:
            raise ServiceError(f"the service at {self._address} is closed; connect again")
        if os.getpid() != self._process:
            raise ServiceError(
                f"the service at {self._address} was connected before this process was forked, "
                "which a gRPC connection does not survive; connect again in here"
            )
