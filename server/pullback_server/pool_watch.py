"""Hands what the dispatcher last said of its pool to the counters, a few times a second."""

from __future__ import annotations

import asyncio

from pullback_server.dispatcher_link import DispatcherLink, PoolFigures
from pullback_server.metrics import PoolReport, ServiceCounters

PERIOD_S = 0.25


async def watch_pool(link: DispatcherLink, counters: ServiceCounters) -> None:
    """Report the pool until cancelled."""
    restarts = -1
    while True:
        figures = link.snapshot()
        while restarts < figures.restarts:
            counters.dispatcher_started()
            restarts += 1
        if figures.up:
            counters.pool_reported(report_of(figures))
        else:
            counters.dispatcher_lost()
        await asyncio.sleep(PERIOD_S)


def report_of(figures: PoolFigures) -> PoolReport:
    """The figures as the counters take them."""
    return PoolReport(
        workers={**PoolReport().workers, **figures.workers},
        wanted=figures.wanted,
        queued_jobs=figures.queued_jobs,
        running_tasks=figures.running_tasks,
        busy_s=figures.busy_s,
        wasted_s=figures.wasted_s,
        tasks=figures.tasks,
        task_copies=figures.copies,
        task_retries=figures.task_retries,
        workers_lost=figures.workers_lost,
        program_cache_hits=figures.program_cache_hits,
        program_cache_misses=figures.program_cache_misses,
        moved_bytes=figures.moved_bytes,
        network_bytes=figures.network_bytes,
    )
