"""`pullback serve`: flags to a ServerConfig, logging, and a clear line when it cannot start."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from enum import StrEnum
from typing import Annotated

import typer

from pullback_graph.errors import PullbackError, RequestError
from pullback_graph.limits import Limits
from pullback_server.config import ServerConfig

DEFAULT = ServerConfig()
LIMITS = Limits()


class LogLevel(StrEnum):
    """From which level on the server logs."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = DEFAULT.host,
    port: Annotated[int, typer.Option(help="gRPC port; 0 takes a free one.")] = DEFAULT.port,
    http_host: Annotated[
        str, typer.Option(help="Address of the metrics and live page.")
    ] = DEFAULT.http_host,
    http_port: Annotated[
        int, typer.Option(help="Port of the metrics and live page; 0 takes a free one.")
    ] = DEFAULT.http_port,
    workers: Annotated[
        int, typer.Option(help="Ray workers; 0 runs everything in this process, without Ray.")
    ] = DEFAULT.workers,
    min_workers: Annotated[
        int | None, typer.Option(help="Workers that stay alive without work; as --workers.")
    ] = DEFAULT.min_workers,
    max_workers: Annotated[
        int | None, typer.Option(help="Workers there may be when jobs queue up; as --workers.")
    ] = DEFAULT.max_workers,
    idle_s: Annotated[
        float, typer.Option(help="Seconds without work after which a worker above the least stops.")
    ] = DEFAULT.idle_s,
    ray_address: Annotated[
        str, typer.Option(help="A Ray cluster to join, host:port; empty starts a local one.")
    ] = DEFAULT.ray_address,
    gpu_workers: Annotated[
        int, typer.Option(help="Workers with GPUs, beside --workers without.")
    ] = DEFAULT.gpu_workers,
    gpus_per_worker: Annotated[
        float,
        typer.Option(help="GPUs, or a fraction of one, for each worker with GPUs; all, if none."),
    ] = DEFAULT.gpus_per_worker,
    speculation: Annotated[
        bool, typer.Option(help="Try what a worker is late with on an idle one too.")
    ] = DEFAULT.speculation,
    cancel_grace_s: Annotated[
        float, typer.Option(help="Seconds a cancelled task may go on before its worker is killed.")
    ] = DEFAULT.cancel_grace_s,
    start_timeout_s: Annotated[
        float, typer.Option(help="Seconds a worker that has a process may take to come up.")
    ] = DEFAULT.start_timeout_s,
    threads: Annotated[int, typer.Option(help="Threads for small jobs.")] = DEFAULT.threads,
    job_processes: Annotated[
        int, typer.Option(help="Processes for batches of small different graphs; 0 for none.")
    ] = DEFAULT.job_processes,
    queue_jobs: Annotated[
        int, typer.Option(help="Jobs held at once; more are refused, or wait on their stream.")
    ] = DEFAULT.queue_jobs,
    queue_bytes: Annotated[
        int, typer.Option(help="Request bytes of all jobs held at once.")
    ] = DEFAULT.queue_bytes,
    message_bytes: Annotated[
        int, typer.Option(help="Largest request message.")
    ] = DEFAULT.message_bytes,
    memory_bytes: Annotated[
        int, typer.Option(help="Largest estimated memory of one task.")
    ] = DEFAULT.memory_bytes,
    worker_memory_bytes: Annotated[
        int, typer.Option(help="What a worker's arrays may take; 0 for a share of its machine.")
    ] = DEFAULT.worker_memory_bytes,
    graph_store_bytes: Annotated[
        int, typer.Option(help="Graphs sent before are kept up to this much.")
    ] = DEFAULT.graph_store_bytes,
    tensor_store_bytes: Annotated[
        int, typer.Option(help="Tensors sent before are kept up to this much.")
    ] = DEFAULT.tensor_store_bytes,
    max_nodes: Annotated[int, typer.Option(help="Nodes of one graph.")] = LIMITS.max_nodes,
    max_elements: Annotated[int, typer.Option(help="Elements of one array.")] = LIMITS.max_elements,
    promotion: Annotated[
        bool, typer.Option(help="Move graphs that much time goes into to XLA, where it is faster.")
    ] = DEFAULT.promotion,
    xla_device: Annotated[
        str, typer.Option(help="What XLA runs on: cpu, gpu or gpu:1; empty for JAX's first.")
    ] = DEFAULT.xla_device,
    grace_s: Annotated[
        float, typer.Option(help="Seconds a stop waits for what runs.")
    ] = DEFAULT.grace_s,
    log_level: Annotated[
        LogLevel,
        typer.Option(help="What is logged: this, and what is graver.", case_sensitive=False),
    ] = LogLevel.INFO,
) -> None:
    """Serve gradient jobs over gRPC until stopped."""
    _start_logging(log_level)
    try:
        config = ServerConfig(
            host=host,
            port=port,
            http_host=http_host,
            http_port=http_port,
            workers=workers,
            min_workers=min_workers,
            max_workers=max_workers,
            idle_s=idle_s,
            ray_address=ray_address,
            gpu_workers=gpu_workers,
            gpus_per_worker=gpus_per_worker,
            speculation=speculation,
            cancel_grace_s=cancel_grace_s,
            start_timeout_s=start_timeout_s,
            threads=threads,
            job_processes=job_processes,
            queue_jobs=queue_jobs,
            queue_bytes=queue_bytes,
            message_bytes=message_bytes,
            memory_bytes=memory_bytes,
            worker_memory_bytes=worker_memory_bytes,
            graph_store_bytes=graph_store_bytes,
            tensor_store_bytes=tensor_store_bytes,
            promotion=promotion,
            xla_device=xla_device,
            grace_s=grace_s,
            limits=replace(LIMITS, max_nodes=max_nodes, max_elements=max_elements),
        )
        _run(config)
    except PullbackError as error:
        typer.echo(f"pullback serve: {error.message}", err=True)
        raise typer.Exit(2) from None


def _start_logging(level: LogLevel) -> None:
    """Log to standard error; of JAX, which tells of each device it lacks, from warnings on."""
    logging.basicConfig(
        level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    if level is LogLevel.INFO:
        logging.getLogger("jax").setLevel(logging.WARNING)


def _run(config: ServerConfig) -> None:
    try:
        from pullback_server.server import run  # noqa: PLC0415  (keeps `pullback --help` light)
    except ModuleNotFoundError as error:
        raise RequestError(
            f"{error.name} is not installed; run: pip install 'pullback[server]'"
        ) from None
    asyncio.run(run(config))
