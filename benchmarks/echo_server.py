"""A bare grpc.aio server that answers every request with the same bytes: the floor of a call.

`python -m benchmarks.echo_server FILE` prints its port and answers with the bytes of FILE until
its standard input closes, so that it ends with whoever started it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory

import grpc

METHOD = "/benchmarks.Echo/Call"


async def serve(reply: bytes) -> None:
    """Answer every call with `reply` until standard input closes."""

    async def answer(request: bytes, context: object) -> bytes:
        return reply

    server = grpc.aio.server()
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(answer)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("benchmarks.Echo", {"Call": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)
    await server.stop(0)


@contextmanager
def running_echo(reply: bytes) -> Iterator[str]:
    """The address of an echo server in a process of its own."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "reply"
        file.write_bytes(reply)
        command = [sys.executable, "-m", "benchmarks.echo_server", str(file)]
        with Popen(command, stdin=PIPE, stdout=PIPE) as process:
            assert process.stdout is not None
            yield f"127.0.0.1:{int(process.stdout.readline())}"
            process.communicate()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]).read_bytes()))
