"""What a server is started with: every flag of `pullback serve`, its default and its check."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from math import inf

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
        min_workers, max_workers: bounds between which the number of workers follows the work; as
            `workers` where not given.
        idle_s: a worker above the least that had nothing to do for this long is stopped.
        gpu_workers: workers with GPUs, beside those without.
        ray_address: a cluster to join; empty starts a local one.
        gpus_per_worker: GPUs (or a fraction of one) each of them asks Ray for; with no number of
            gpu_workers, each worker.
        speculation: whether what a worker is late with is tried on an idle one too.
        cancel_grace_s: how long a cancelled task may go on before its worker is killed.
        start_timeout_s: how long a worker that has a process may take to come up.
        threads: threads of the front end that run small jobs.
        job_processes: processes of the front end for batches of small different graphs; 0 leaves
            them to the threads, which share one interpreter.
        queue_jobs: jobs held at once, running ones included; more are refused or wait unread.
        queue_bytes: what the requests of held jobs may take together, one job always allowed.
        graph_store_bytes, tensor_store_bytes: what was sent before is kept up to this much.
        memory_bytes: largest estimated memory of one task.
        worker_memory_bytes: what the arrays of one worker may take, values it holds for later tasks
            included; 0 for its share of its machine.
        promotion: whether graphs that much time goes into move to XLA, where that is faster.
        xla_device: what XLA runs on: `cpu`, `gpu`, `gpu:1`, or empty for JAX's first.
        grace_s: how long a stop waits for what runs.
    """

    host: str = "127.0.0.1"
    port: int = 50051
    http_host: str = "127.0.0.1"
    http_port: int = 9464
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    min_workers: int | None = None
    max_workers: int | None = None
    idle_s: float = 60.0
    ray_address: str = ""
    gpu_workers: int = 0
    gpus_per_worker: float = 0.0
    speculation: bool = True
    cancel_grace_s: float = 1.0
    start_timeout_s: float = 120.0
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    job_processes: int = field(default_factory=lambda: os.cpu_count() or 1)
    queue_jobs: int = 4096
    queue_bytes: int = 1 * GIB
    message_bytes: int = 64 * MIB
    graph_store_bytes: int = 256 * MIB
    tensor_store_bytes: int = 1 * GIB
    memory_bytes: int = 2 * GIB
    worker_memory_bytes: int = 0
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
            "min_workers": 0,
            "max_workers": 1,
            "idle_s": 0.1,
            "gpu_workers": 0,
            "cancel_grace_s": 0.01,
            "start_timeout_s": 1.0,
            "gpus_per_worker": 0,
            "threads": 1,
            "job_processes": 0,
            "queue_jobs": 1,
            "queue_bytes": 1024,
            "message_bytes": 1024,
            "graph_store_bytes": 1024,
            "tensor_store_bytes": 1024,
            "memory_bytes": 1024,
            "worker_memory_bytes": 0,
            "programs": 1,
            "grace_s": 0,
        }
        for name, minimum in least.items():
            value = getattr(self, name)
            if value is not None and not minimum <= value < inf:
                flag = "--" + name.replace("_", "-")
                raise RequestError(f"{flag} must be at least {minimum}, got {value}", field=flag)
        self._check_workers()

    @property
    def task_bytes(self) -> int:
        """The largest estimated memory of one task that a worker has room for."""
        return min(self.memory_bytes, self.worker_memory_bytes or self.memory_bytes)

    def _check_workers(self) -> None:
        """Refuse numbers of workers that contradict each other."""
        if self.least_workers > self.most_workers:
            raise RequestError(
                f"--min-workers {self.min_workers} is more than --max-workers {self.max_workers}",
                field="--min-workers",
            )
        if not self.workers and (self.min_workers or self.max_workers or self.gpu_workers):
            raise RequestError(
                "--workers 0 runs everything without Ray; leave --min-workers, --max-workers and "
                "--gpu-workers out, or give --workers another number",
                field="--workers",
            )
        if self.gpu_workers and not self.gpus_per_worker:
            raise RequestError(
                "--gpu-workers needs to know what each of them has: give --gpus-per-worker, such "
                "as 1 or 0.5",
                field="--gpus-per-worker",
            )

    @property
    def most_workers(self) -> int:
        """How many workers there may be, besides those with GPUs of their own."""
        return (
            max(self.workers, self.min_workers or 0)
            if self.max_workers is None
            else (self.max_workers)
        )

    @property
    def front_end_device(self) -> str:
        """What XLA runs on in the front end: where workers have the GPUs, it leaves them alone."""
        return "cpu" if self.workers and self.gpus_per_worker else self.xla_device

    @property
    def least_workers(self) -> int:
        """How many of them stay without work."""
        return (
            min(self.workers, self.most_workers) if self.min_workers is None else (self.min_workers)
        )
