"""What a dispatcher is started with: one JSON argument, written by the front end's link."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pullback_server.planner.plan import Placement
from pullback_server.pool_settings import PoolSettings
from pullback_server.scheduler import Settings


@dataclass(frozen=True, slots=True)
class DispatcherSettings:
    """Settings of one dispatcher.

    Attributes:
        folder: its own, for the socket and Ray's files; the front end removes it.
        shared_folder: where large arrays cross; belongs to the front end.
        orphaned: folders to remove if the front end is gone.
        workers, gpu_workers: the most there may be without a GPU of their own, and with one; where
            gpus_per_worker is given and gpu_workers is not, all have one.
        least_workers: how many of `workers` stay alive without work.
        idle_s, late_factor: as the scheduler's settings.
        cancel_grace_s: how long a cancelled task may go on before its worker is killed.
        start_timeout_s: how long a worker that has a process may take to come up.
        head_timeout_s: Ray's head is lost if it does not answer within this time.
    """

    folder: str
    shared_folder: str
    orphaned: tuple[str, ...] = ()
    workers: int = 1
    least_workers: int = 1
    gpu_workers: int = 0
    idle_s: float = 60.0
    late_factor: float = 3.0
    ray_address: str = ""
    gpus_per_worker: float = 0.0
    store_bytes: int = 0
    worker_memory_bytes: int = 0
    programs: int = 4096
    promotion: bool = True
    xla_device: str = ""
    cancel_grace_s: float = 1.0
    start_timeout_s: float = 120.0
    head_timeout_s: float = 10.0
    log_level: str = "WARNING"

    def to_json(self) -> str:
        """The command line argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> DispatcherSettings:
        """The settings of a command line argument."""
        return cls(**json.loads(text))

    @property
    def socket(self) -> Path:
        """Where the dispatcher listens."""
        return Path(self.folder) / "dispatcher.sock"

    @property
    def pool(self) -> PoolSettings:
        """The pool's part."""
        return PoolSettings(
            folder=Path(self.folder) / "ray",
            workers=self.workers,
            gpu_workers=self.gpu_workers,
            ray_address=self.ray_address,
            gpus_per_worker=self.gpus_per_worker,
            store_bytes=self.store_bytes,
            worker_memory_bytes=self.worker_memory_bytes,
            programs=self.programs,
            promotion=self.promotion,
            xla_device=self.xla_device,
        )

    @property
    def scheduler(self) -> Settings:
        """The scheduler's part."""
        all_gpu = self.gpus_per_worker > 0 and not self.gpu_workers
        kind = Placement.GPU if all_gpu else Placement.CPU
        workers = {kind: self.workers}
        if self.gpu_workers:
            workers[Placement.GPU] = self.gpu_workers
        return Settings(
            workers={kind: number for kind, number in workers.items() if number},
            least_workers={kind: self.least_workers},
            idle_s=self.idle_s,
            late_factor=self.late_factor,
            grace_s=self.cancel_grace_s,
            start_s=self.start_timeout_s,
        )
