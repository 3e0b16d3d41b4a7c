"""The RPCs of GradientService, raw bytes to raw bytes, so that garbage gets a typed error too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

import grpc

from pullback_graph.codec import decode_graph, decode_job, error_to_status, parts
from pullback_graph.errors import PullbackError, RequestError
from pullback_graph.graph import Graph
from pullback_proto.v1 import service_pb2
from pullback_server.config import ServerConfig
from pullback_server.front_end.arrivals import Arrival
from pullback_server.front_end.chunks import ChunkRunner
from pullback_server.front_end.describe import describe_plan, describe_server, known_of
from pullback_server.front_end.describe_tape import describe_tape
from pullback_server.front_end.job_in_parts import JobInParts
from pullback_server.front_end.paced import paced
from pullback_server.front_end.streams import JobStream
from pullback_server.front_end.tensor_upload import TensorUpload, Uploads

SERVICE = "pullback.v1.GradientService"
CLIENT_KEY = "pullback-client"
"""Metadata that says which calls share the workers as one client; without it a connection does."""
LONGEST_CLIENT = 128
Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"


class GradientService:
    """The handlers. Each gives its reply's bytes or ends the call with a rich status."""

    def __init__(self, chunks: ChunkRunner, config: ServerConfig) -> None:
        evaluation = chunks.evaluation
        self._chunks = chunks
        self._evaluation = evaluation
        self._config = config
        self._accounting = evaluation.accounting
        runner = self._runner = evaluation.runner
        self._uploads = Uploads(runner.tensors, runner.passed, runner.limits)

    def handlers(self) -> grpc.GenericRpcHandler:
        """All RPCs, for `server.add_generic_rpc_handlers`."""
        unary, stream_in = grpc.unary_unary_rpc_method_handler, grpc.stream_unary_rpc_method_handler
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Evaluate": unary(self.evaluate),
                "EvaluateInParts": grpc.stream_stream_rpc_method_handler(self.evaluate_in_parts),
                "EvaluateStream": grpc.stream_stream_rpc_method_handler(self.evaluate_stream),
                "PutGraph": unary(self._guarded(self._put_graph)),
                "PutTensor": stream_in(self._guarded(self._put_tensor)),
                "Plan": unary(self._guarded(self._plan)),
                "GetServerInfo": unary(self._guarded(self._server_info)),
            },
        )

    async def evaluate(self, data: bytes, context: Context) -> bytes:
        """Run one job."""
        self._accounting.received(len(data))
        try:
            arrival = Arrival(data, _remaining_s(context), client=client_of(context))
            answer = await self._evaluation.evaluate(arrival)
        except PullbackError as error:
            await abort(context, error)
            raise
        self._accounting.sent(len(answer.data))
        return answer.data

    async def evaluate_in_parts(
        self, requests: AsyncIterator[bytes], context: Context
    ) -> AsyncIterator[bytes]:
        """Run one job; large arrays come and go beside it."""
        job = JobInParts(paced(self._counted(requests)), self._runner)
        try:
            arrival = await job.opened(_remaining_s(context), client_of(context))
        except PullbackError as error:
            self._accounting.rejected(type(error).status.lower())
            await abort(context, error)
            raise
        try:
            answer = await self._evaluation.evaluate(arrival, job.rest)
        except PullbackError as error:
            await abort(context, error)
            raise
        for part in parts(answer.data, answer.apart):
            self._accounting.sent(len(part))
            yield part

    async def evaluate_stream(
        self, requests: AsyncIterator[bytes], context: Context
    ) -> AsyncIterator[bytes]:
        """Run many jobs, answering as they finish."""
        try:
            client = client_of(context)
        except PullbackError as error:
            await abort(context, error)
            raise
        stream = JobStream(self._chunks, _remaining_s(context), client)
        try:
            async for reply in stream.replies(self._counted(requests)):
                self._accounting.sent(len(reply))
                yield reply
        except* PullbackError as group:
            await abort(context, _first(group))

    async def _counted(self, requests: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for data in requests:
            self._accounting.received(len(data))
            yield data

    async def _put_graph(self, data: bytes, _: Context) -> bytes:
        graph: Graph = await self._on_thread(partial(decode_graph, data, self._runner.limits))
        fingerprint = await self._on_thread(lambda: graph.fingerprint)
        stored = self._runner.graphs.put(fingerprint, graph)
        return service_pb2.GraphHandle(
            fingerprint=bytes.fromhex(fingerprint), already_stored=stored
        ).SerializeToString()

    async def _put_tensor(self, requests: AsyncIterator[bytes], _: Context) -> bytes:
        chunks = paced(self._counted(requests))
        upload = TensorUpload.begun(self._uploads, await anext(chunks, None))
        if not upload.is_stored:
            await self._on_thread(upload.look_among_passed)
        was_stored = upload.is_stored
        if not was_stored:
            with self._uploads.room(upload.size_bytes):
                async for data in chunks:
                    upload.take(data)
                await self._on_thread(upload.finish)
        return upload.handle(was_stored=was_stored).SerializeToString()

    async def _plan(self, data: bytes, _: Context) -> bytes:
        runner = self._runner

        def plan() -> bytes:
            job = decode_job(data, runner.limits)
            tape = runner.tapes.tape(job)
            swept = runner.swept(job, tape)
            if swept is not None:
                return describe_tape(swept[0]).SerializeToString()
            if tape is not None:
                job = runner.tapes.as_graph(job, tape)
            prepared = runner.preparer.kept(job.graph.fingerprint, job.want, job.options)
            if prepared is None:
                prepared = runner.preparer.prepare(runner.graph(job), job.want, job.options)
            executors = runner.preparer.chooser.executors
            known = known_of(self._evaluation.link, prepared)
            return describe_plan(prepared, executors, known).SerializeToString()

        reply: bytes = await self._on_thread(plan)
        return reply

    async def _server_info(self, _: bytes, __: Context) -> bytes:
        return describe_server(self._evaluation, self._config).SerializeToString()

    async def _on_thread(self, call: Callable[[], Any]) -> Any:
        return await self._evaluation.threads.run(0, call)

    def _guarded(
        self, handler: Callable[[Any, Context], Awaitable[bytes]]
    ) -> Callable[[Any, Context], Awaitable[bytes]]:
        """The handler, its errors turned into rich statuses and counted."""

        async def guarded(request: Any, context: Context) -> bytes:
            try:
                reply = await handler(request, context)
            except PullbackError as error:
                self._accounting.rejected(type(error).status.lower())
                await abort(context, error)
                raise
            self._accounting.sent(len(reply))
            return reply

        return guarded


async def abort(context: Context, error: PullbackError) -> None:
    """End the call with the error's gRPC status, the rich status in the trailing metadata."""
    status = error_to_status(error)
    code = getattr(grpc.StatusCode, type(error).status)
    details = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(code, status.message, details)


def client_of(context: Context) -> str:
    """Whose call it is: what its metadata says, else its connection.

    Raises:
        RequestError: the metadata's name is too long.
    """
    for key, value in context.invocation_metadata() or ():
        if key == CLIENT_KEY:
            if len(value) > LONGEST_CLIENT:
                raise RequestError(
                    f"the metadata {CLIENT_KEY} is {len(value)} long; at most {LONGEST_CLIENT} "
                    "are taken: send a shorter name",
                    field=CLIENT_KEY,
                )
            return value if isinstance(value, str) else value.decode("latin-1")
    return str(context.peer())


def _remaining_s(context: Context) -> float | None:
    remaining: float | None = context.time_remaining()  # type: ignore[assignment, unused-ignore]
    return None if remaining is None else max(0.0, remaining)


def _first(group: BaseExceptionGroup[Any]) -> PullbackError:
    """The first error in a group of them, however deep."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, PullbackError)
    return error
