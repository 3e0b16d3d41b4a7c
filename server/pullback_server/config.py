"""What a server is started with: every flag of `pullback serve`, its default and its check."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from pullback_graph.errors import RequestError
from pullback_graph.limits import Limits

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Settings of one server. Sizes in bytes, times in seconds.

    Attributes:
        port: gRPC port; 0 takes a free one.
        http_port: port of /metrics, /healthz, /readyz and the live page; 0 takes a free one.
        workers: Ray workers; 0 runs every job in the front end and starts no dispatcher.
        ray_address: a cluster to join; empty starts a local one.
        gpus_per_worker: GPUs (or a fraction of one) each worker asks Ray for.
        threads: threads of the front end that run small jobs.
        job_processes: processes of the front end for batches of small different graphs; 0 leaves
            them to the threads, which share one interpreter.
        queue_jobs: jobs held at once, running ones included; more are refused or wait unread.
        queue_bytes: what the requests of held jobs may take together, one job always allowed.
        graph_store_bytes, tensor_store_bytes: what was sent before is kept up to this much.
        memory_bytes: largest estimated memory of one task.
        promotion: whether graphs that much time goes into move to XLA, where that is faster.
        xla_device: what XLA runs on: `cpu`, `gpu`, `gpu:1`, or empty for JAX's first.
        grace_s: how long a stop waits for what runs.
    """

    host: str = "127.0.0.1"
    port: int = 50051
    http_host: str = "127.0.0.1"
    http_port: int = 9464
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    ray_address: str = ""
    gpus_per_worker: float = 0.0
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    job_processes: int = field(default_factory=lambda: os.cpu_count() or 1)
    queue_jobs: int = 4096
    queue_bytes: int = 1 * GIB
    message_bytes: int = 64 * MIB
    graph_store_bytes: int = 256 * MIB
    tensor_store_bytes: int = 1 * GIB
    memory_bytes: int = 2 * GIB
    programs: int = 4096
    promotion: bool = True
    xla_device: str = ""
    grace_s: float = 10.0
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        least = {
            "port": 0,
            "http_port": 0,
            "workers": 0,
            "gpus_per_worker": 0,
            "threads": 1,
            "job_processes": 0,
            "queue_jobs": 1,
            "queue_bytes": 1024,
            "message_bytes": 1024,
            "graph_store_bytes": 1024,
            "tensor_store_bytes": 1024,
            "memory_bytes": 1024,
            "programs": 1,
            "grace_s": 0,
        }
        for name, minimum in least.items():
            if getattr(self, name) < minimum:
                flag = "--" + name.replace("_", "-")
                raise RequestError(
                    f"{flag} must be at least {minimum}, got {getattr(self, name)}", field=flag
                )
