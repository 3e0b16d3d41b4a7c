"""One server: the front end's parts put together, started, and stopped in order.

Small jobs are answered as soon as the port listens; the dispatcher and its workers come up behind.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from dataclasses import dataclass
from types import TracebackType

import grpc
import typer
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from pullback_graph.errors import RequestError
from pullback_server.config import ServerConfig
from pullback_server.dispatcher_link import DispatcherLink
from pullback_server.front_end.accounting import Accounting
from pullback_server.front_end.chunks import ChunkRunner
from pullback_server.front_end.evaluation import Evaluation
from pullback_server.front_end.job_processes import JobProcesses
from pullback_server.front_end.job_threads import JobThreads
from pullback_server.front_end.new_runner import new_runner
from pullback_server.front_end.service import SERVICE, GradientService
from pullback_server.metrics import MetricsServer, ServiceCounters
from pullback_server.pool_watch import watch_pool
from pullback_worker.one_thread import keep_to_one_thread

CALLS_BESIDE_JOBS = 256
"""Calls of other kinds (streams, uploads, health) that may be open beside unary jobs."""
YOUNG_OBJECTS = 20_000
"""Objects between two collections of garbage in cycles: planning a graph of 10^5 nodes makes
millions that stay, and walking them over and over took a quarter of its time."""
LOG = logging.getLogger(__name__)

KEEPALIVE = (
    ("grpc.keepalive_time_ms", 60_000),  # a client that is gone is noticed, and its jobs let go
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),  # clients may ask as well
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a running server listens."""

    grpc: str
    http: str


class Server:
    """A running server; use as `async with Server(config) as server`.

    Raises:
        RequestError: a port is taken; the message names the flag.
    """

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self.address = Address("", "")
        self.counters = ServiceCounters()
        self._stopping = False
        self._watch: asyncio.Task[None] | None = None
        self._link = DispatcherLink(config, self.counters.job_stopped) if config.workers else None
        self._threads = JobThreads(config.threads)
        accounting = Accounting(self.counters)
        self._evaluation = Evaluation(
            new_runner(config, self.counters),
            self._threads,
            self._link,
            accounting,
            config.queue_jobs,
            config.queue_bytes,
        )
        self._processes = JobProcesses(config.job_processes, config)
        self._service = GradientService(ChunkRunner(self._evaluation, self._processes), config)
        self._health = health.aio.HealthServicer()
        self._metrics = MetricsServer(
            self.counters, config.http_host, config.http_port, unready=self._unready
        )
        self._grpc = grpc.aio.server(
            maximum_concurrent_rpcs=config.queue_jobs + CALLS_BESIDE_JOBS,
            options=[
                ("grpc.max_receive_message_length", config.message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
                *KEEPALIVE,
            ],
        )

    async def __aenter__(self) -> Server:
        keep_to_one_thread()
        self._grpc.add_generic_rpc_handlers((self._service.handlers(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        reflection.enable_server_reflection(
            (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), self._grpc
        )
        port = self._bind()
        self._metrics.start()
        self.address = Address(f"{self.config.host}:{port}", self._metrics.url)
        await self._grpc.start()
        await self._tell_health(health_pb2.HealthCheckResponse.SERVING)
        self._evaluation.runner.tapes.machine.start()
        if self._link is not None:
            await self._link.start()
            self._watch = asyncio.create_task(watch_pool(self._link, self.counters))
        gc.freeze()  # what start-up made stays: collections need not walk it again
        gc.set_threshold(YOUNG_OBJECTS)
        LOG.info("gRPC on %s, metrics and live page on %s", self.address.grpc, self.address.http)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop in order: refuse new calls, finish what runs, then end workers and threads."""
        LOG.info("stopping: %d job(s) to finish", self._evaluation.held)
        self._stopping = True
        self._evaluation.stopping.set()
        await self._tell_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._grpc.stop(self.config.grace_s)
        if self._watch is not None:
            self._watch.cancel()
        if self._link is not None:
            await self._link.stop(self.config.grace_s)
        await self._processes.stop()
        self._threads.close()
        self._metrics.stop()
        LOG.info("stopped")

    def _bind(self) -> int:
        """Take the gRPC port."""
        address = f"{self.config.host}:{self.config.port}"
        try:
            port = self._grpc.add_insecure_port(address)
        except RuntimeError:
            port = 0
        if port == 0:
            raise RequestError(
                f"cannot listen on {address}; is another server there? give --port another "
                "number, or 0 for a free one",
                field="--port",
            )
        return int(port)

    async def _tell_health(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in ("", SERVICE):
            await self._health.set(name, status)

    def _unready(self) -> str:
        """Why the server takes no jobs; empty when it does. Workers may still be starting."""
        return "stopping" if self._stopping else ""


async def run(config: ServerConfig) -> None:
    """Serve until SIGTERM or SIGINT, then stop gracefully; another interrupt does not wait."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Server(config) as server:
        typer.echo(f"listening on {server.address.grpc}, {server.address.http}")
        await stop.wait()
        loop.add_signal_handler(signal.SIGINT, _exit_now)


def _exit_now() -> None:
    """End without waiting; the dispatcher and its workers see their parent go."""
    os._exit(130)
