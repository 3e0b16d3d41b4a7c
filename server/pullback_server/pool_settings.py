"""How to reach Ray and what a worker asks of it; sizes that were not given are found here."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pullback_server.planner.plan import Placement
from pullback_worker.memory_watch import machine_bytes

SHARED_MEMORY = Path("/dev/shm")
LEAST_STORE_BYTES = 80 << 20
"""Ray's object store takes no less than this."""
MOST_STORE_BYTES = 8 << 30
"""What the object store takes unasked, at most."""
STORE_SHARE = 0.3
WORKERS_SHARE = 0.8
"""Of a machine's memory, what all its workers may have to themselves."""
DEVICE_MEMORY_SHARE = 0.75
"""Of a GPU's memory, what all workers on it take: what JAX takes of one unasked."""


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How to reach Ray, and what a worker asks of it.

    Attributes:
        ray_address: a cluster to join; empty starts one here that ends with this process.
        workers, gpu_workers: the most there may be, without a GPU and with.
        gpus_per_worker: of those with; without any, all workers have them.
        store_bytes: size of a local object store; 0 for what fits into shared memory.
        worker_memory_bytes: what one worker's arrays may take; 0 for its share of its machine.
        folder: where a local Ray puts its sockets and logs.
    """

    folder: Path
    workers: int = 1
    gpu_workers: int = 0
    ray_address: str = ""
    gpus_per_worker: float = 0.0
    store_bytes: int = 0
    worker_memory_bytes: int = 0
    programs: int = 4096
    promotion: bool = True
    xla_device: str = ""

    def gpus_of(self, kind: Placement) -> float:
        """What a worker of a kind asks of its machine."""
        return self.gpus_per_worker if kind is Placement.GPU else 0.0

    def device_of(self, kind: Placement) -> str:
        """What XLA runs on: a GPU where a worker has one; beside those, others leave it alone."""
        if kind is Placement.GPU:
            return self.xla_device or "gpu"
        return "cpu" if self.gpu_workers else self.xla_device

    def environment_of(self, kind: Placement) -> dict[str, str]:
        """What the processes of a kind start with, beside what all have.

        Workers that share a GPU share its memory: each takes its part when it starts.
        """
        share = self.gpus_of(kind)
        if not 0 < share < 1:
            return {}
        return {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{DEVICE_MEMORY_SHARE * share:.4f}"}

    @property
    def memory_share(self) -> float:
        """Of a machine's memory, what one worker may have to itself."""
        workers = self.workers + self.gpu_workers
        return WORKERS_SHARE / max(1, min(workers, os.cpu_count() or 1))

    @property
    def local_store_bytes(self) -> int:
        """Size of a local object store: as asked, or so that it fits memory and /dev/shm."""
        shared_bytes = shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else 0
        fitting_bytes = int(min(shared_bytes, machine_bytes()) * STORE_SHARE)
        wanted_bytes = self.store_bytes or min(fitting_bytes, MOST_STORE_BYTES)
        return max(wanted_bytes, LEAST_STORE_BYTES)
