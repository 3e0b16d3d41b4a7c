"""The fake service behind a real gRPC port of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

from pullback_graph.codec import error_to_status
from pullback_graph.errors import PullbackError
from tests.client.fake_service import FakeService

SERVICE = "pullback.v1.GradientService"


@contextmanager
def serving(
    service: FakeService, port: int = 0, credentials: grpc.ServerCredentials | None = None
) -> Iterator[str]:
    """Serve until the block ends; gives the address."""
    with ThreadPoolExecutor(8) as threads:
        server = grpc.server(threads, options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers((_handlers(service),))
        target = f"localhost:{port}"
        if credentials is None:
            port = server.add_insecure_port(target)
        else:
            port = server.add_secure_port(target, credentials)
        server.start()
        try:
            yield f"localhost:{port}"
        finally:
            server.stop(None).wait()


def _handlers(service: FakeService) -> grpc.GenericRpcHandler:
    def unary(method: str) -> Any:
        def handle(request: Any, context: Any) -> Any:
            service.metadata = list(context.invocation_metadata())
            try:
                return service.handle(method, request)
            except PullbackError as error:
                return abort(context, error)

        return handle

    def stream(batches: Iterator[bytes], context: Any) -> Iterator[bytes]:
        service.metadata = list(context.invocation_metadata())
        position = 0
        for batch in batches:
            try:
                service.handle("EvaluateStream", batch)
            except PullbackError as error:
                abort(context, error)
            reply, count = service.replies(batch, position)
            position += count
            yield reply

    def in_parts(parts: Iterator[bytes], context: Any) -> Iterator[bytes]:
        yield from unary("EvaluateInParts")(parts, context)

    unary_methods: dict[str, Any] = {
        name: grpc.unary_unary_rpc_method_handler(unary(name))
        for name in ("Evaluate", "PutGraph", "Plan", "GetServerInfo")
    }
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            **unary_methods,
            "PutTensor": grpc.stream_unary_rpc_method_handler(unary("PutTensor")),
            "EvaluateInParts": grpc.stream_stream_rpc_method_handler(in_parts),
            "EvaluateStream": grpc.stream_stream_rpc_method_handler(stream),
        },
    )


def abort(context: Any, error: PullbackError) -> Any:
    """End a call as the server does: code, message, rich status."""
    rich = error_to_status(error).SerializeToString()
    context.set_trailing_metadata((("grpc-status-details-bin", rich),))
    context.abort(getattr(grpc.StatusCode, type(error).status), error.message)
