"""A dispatcher's engine under mixed jobs and faults in this process, and what it holds afterwards.

Run as a process of its own, which joins Ray: `python -m tests.system.soak SECONDS [SEED]`. It
prints what was left, as JSON; `test_soak.py` says what that may be.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import signal
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import numpy as np
import ray

from pullback_graph.errors import PullbackError
from pullback_server.dispatcher.engine import Engine
from pullback_server.dispatcher.settings import DispatcherSettings
from pullback_server.planner import Plan
from pullback_server.scheduler import Dependencies
from tests.server.leftovers import assert_nothing_left
from tests.system.jobs import (
    chain_graph,
    loss_inputs,
    loss_plan,
    rotation,
    slow_shards_plan,
    whole_plan,
)

WORKERS = 3
AT_ONCE = 6
QUIET_S = 60.0

Work = tuple[Plan, list[Any]]


def work() -> list[Work]:
    """Plans with their inputs: one task and many, milliseconds and seconds, small and large."""
    return [
        (whole_plan(chain_graph(10, 10)), [rotation(10)]),
        (whole_plan(chain_graph(100, 100)), [rotation(100)]),
        (whole_plan(chain_graph(300, 300)), [rotation(300)]),
        (loss_plan(300, 4, 2), loss_inputs(300, 4)),
        (loss_plan(20_000, 30, 16), loss_inputs(20_000, 30)),
        (loss_plan(200_000, 30, 16), loss_inputs(200_000, 30)),
        (slow_shards_plan(8, 100, 50), [rotation(100)]),
        (slow_shards_plan(12, 200, 200), [rotation(200)]),
    ]


class Soak:
    """Jobs, some of them cancelled or late, and workers that are killed."""

    def __init__(self, engine: Engine, seed: int) -> None:
        self.engine = engine
        self.random = random.Random(seed)
        self.outcomes: dict[str, int] = {}
        self.plans = [(Dependencies(plan), inputs) for plan, inputs in work()]
        self.expected: dict[int, list[bytes]] = {}

    async def jobs(self, ends_s: float, client: str) -> None:
        """One client's jobs, one after another."""
        while monotonic() < ends_s:
            outcome = await self.job(client)
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    async def job(self, client: str) -> str:
        """One job; the name of its outcome."""
        which = self.random.randrange(len(self.plans))
        plan, arrays = self.plans[which]
        inputs = [self.engine.pool.inputs.put(array) for array in arrays]
        running = asyncio.create_task(
            self.engine.evaluate(
                plan,
                inputs,
                client=client,
                deadline_s=self.random.choice([None, None, 0.05, 1.0, 600.0]),
            )
        )
        if self.random.random() < 0.15:
            await asyncio.sleep(self.random.random() * 0.3)
            running.cancel()
        try:
            answer = await running
        except asyncio.CancelledError:
            return "cancelled"
        except PullbackError as error:
            return type(error).__name__
        bits = [np.asarray(array).tobytes() for array in answer.results]
        assert self.expected.setdefault(which, bits) == bits, f"other bits of plan {which}"
        return "done"

    async def faults(self, ends_s: float) -> None:
        """Now and then a worker's process is killed; but none of a task that lost two already.

        The third such loss fails its job, and rightly so: what was killed here can't be told from
        what a task brought about.
        """
        while monotonic() < ends_s:
            await asyncio.sleep(self.random.uniform(1.0, 4.0))
            workers = [w for w in self.engine.pool._workers.values() if not self._unlucky(w.id)]
            if workers and self.random.random() < 0.7:
                worker = self.random.choice(workers)
                try:
                    identity = await asyncio.wait_for(worker.actor.identity.remote(), 20.0)
                    if not self._unlucky(worker.id):  # it may have been given another meanwhile
                        os.kill(identity.pid, signal.SIGKILL)
                except (ray.exceptions.RayError, TimeoutError, ProcessLookupError):
                    continue

    def _unlucky(self, number: int) -> bool:
        """Whether a worker has a task that has lost as many workers as it may."""
        scheduler = self.engine._scheduler
        worker, most = scheduler._fleet.get(number), scheduler.settings.most_losses - 1
        batches = [] if worker is None else worker.in_flight
        with_jobs = [(b, scheduler._jobs[b.job]) for b in batches if b.job in scheduler._jobs]
        return any([job.losses[t] >= most for batch, job in with_jobs for t in batch.unreported])

    async def run(self, seconds: float) -> dict[str, Any]:
        """Everything for so long; what is left then."""
        ends_s = monotonic() + seconds
        clients = [self.jobs(ends_s, f"client {k % 3}") for k in range(AT_ONCE)]
        await asyncio.gather(self.faults(ends_s), *clients)
        await self.until_quiet()
        return await self.left()

    async def until_quiet(self) -> None:
        """Wait until what was called off has stopped and every worker is up and idle."""
        ends_s = monotonic() + QUIET_S
        while monotonic() < ends_s:
            counts = self.engine.snapshot().workers.values()
            busy = sum(count.busy + count.starting for count in counts)
            if not busy and not self.engine._stopping and sum(c.ready for c in counts) >= WORKERS:
                break
            await asyncio.sleep(0.1)
        await asyncio.sleep(1.0)  # what is to be freed goes by itself

    async def left(self) -> dict[str, Any]:
        """What is held by the engine, by Ray for it, by its workers, and by the process."""
        gc.collect()
        assert_nothing_left(self.engine._scheduler)
        pool = self.engine.pool
        workers = list(pool._workers.values())
        held = [await worker.actor.__ray_call__.remote(_held) for worker in workers]
        return {
            "jobs": len(self.engine._jobs) + len(self.engine._stopping) + len(pool._jobs),
            "workers": len(workers),
            "given": sum(len(worker.given) + len(worker.freed) for worker in workers),
            "flights": sum(w.flights.qsize() + w.express.qsize() for w in workers),
            "listeners": max(len(worker.listeners) for worker in workers),
            "held": sum([sum(own[:3]) for own in held]),
            "workers_threads": [own[3] for own in held],
            "references": _references(),
            "tasks": len(asyncio.all_tasks()),
            "threads": threading.active_count(),
            "files": len(os.listdir("/proc/self/fd")),
            "resident_bytes": _resident_bytes(),
            "outcomes": dict(self.outcomes),
        }


def _held(actor: Any) -> tuple[int, int, int, int]:
    """What a worker holds: values and inputs, jobs it waits for inputs of, flags; its threads."""
    runner = actor._runner
    flags = sum(len(lane.flags) for lane in runner._lanes.values())
    jobs = len(runner._values) + len(runner._inputs)
    return runner.held + jobs, len(actor._fetcher._awaited), flags, threading.active_count()


def _references() -> int:
    """Objects that this process refers to, as Ray counts them."""
    core: Any = vars(ray._private.worker.global_worker)["core_worker"]
    return len(core.get_all_reference_counts())


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _main(engine: Engine, rounds: int, seconds: float, seed: int) -> None:
    clock = asyncio.create_task(engine.run())
    soak = Soak(engine, seed)
    for _ in range(rounds):
        sys.stdout.write(json.dumps(await soak.run(seconds)) + "\n")
        sys.stdout.flush()
    clock.cancel()


def main(rounds: int, seconds: float, seed: int) -> None:
    """Soak, so many rounds of so many seconds."""
    with TemporaryDirectory(prefix="pullback-soak-", dir="/tmp") as folder:
        settings = DispatcherSettings(
            folder=folder,
            shared_folder=folder,
            workers=WORKERS,
            least_workers=WORKERS,
            store_bytes=512 << 20,
            programs=64,
            promotion=False,  # what moves to another executor gives other bits
        )
        engine = Engine(settings.scheduler, settings.pool)
        engine.pool.connect()
        asyncio.run(_main(engine, rounds, seconds, seed))
        engine.pool.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
