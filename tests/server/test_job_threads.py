"""The front end's threads: bounded, by priority, and a cancelled waiter never runs."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from pullback_server.front_end.job_threads import JobThreads


async def test_calls_run_and_errors_come_back() -> None:
    """A call's value or exception reaches whoever awaits it."""
    threads = JobThreads(2)
    assert await threads.run(0, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        await threads.run(0, lambda: 1 // 0)
    with pytest.raises(RuntimeError, match="StopIteration"):  # a future takes no such exception
        await asyncio.wait_for(threads.run(0, lambda: next(iter(()))), 5.0)
    assert (threads.running, threads.waiting) == (0, 0)
    threads.close()


async def test_higher_priority_goes_first() -> None:
    """While the only thread is taken, waiters are served by priority, then in order."""
    threads, gate = JobThreads(1), threading.Event()
    order: list[int] = []
    first = asyncio.create_task(threads.run(0, gate.wait))
    await asyncio.sleep(0)
    waiting = [
        asyncio.create_task(threads.run(priority, partial(order.append, priority)))
        for priority in (0, 5, 1, 5)
    ]
    await asyncio.sleep(0)
    assert threads.waiting == 4
    gate.set()
    await asyncio.gather(first, *waiting)
    assert order == [5, 5, 1, 0]
    threads.close()


async def test_a_cancelled_waiter_never_runs() -> None:
    """Cancelling before the turn gives the turn to the next; nothing leaks."""
    threads, gate = JobThreads(1), threading.Event()
    ran: list[str] = []
    first = asyncio.create_task(threads.run(0, gate.wait))
    await asyncio.sleep(0)
    doomed = asyncio.create_task(threads.run(9, lambda: ran.append("doomed")))
    other = asyncio.create_task(threads.run(0, lambda: ran.append("other")))
    await asyncio.sleep(0)
    doomed.cancel()
    gate.set()
    await asyncio.gather(first, other)
    with pytest.raises(asyncio.CancelledError):
        await doomed
    assert ran == ["other"]
    assert (threads.running, threads.waiting) == (0, 0)
    threads.close()


async def test_a_cancelled_caller_keeps_the_thread_until_its_call_ends() -> None:
    """A running call can't be interrupted: its thread is free only when it is done."""
    threads, gate = JobThreads(1), threading.Event()
    task = asyncio.create_task(threads.run(0, gate.wait))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert threads.running == 1
    gate.set()
    assert await threads.run(0, lambda: "next") == "next"
    threads.close()
