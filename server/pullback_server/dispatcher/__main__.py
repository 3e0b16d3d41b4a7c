"""The dispatcher's process: joins Ray on its main thread, serves, and leaves when it is told to.

It ends by itself when the front end is gone, when Ray's head is, and by a fault of its own; whoever
started it starts another, which is sent the jobs anew.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from functools import partial
from pathlib import Path
from time import monotonic

from pullback_server.dispatcher.engine import Engine
from pullback_server.dispatcher.lifeline import leave_nothing, watch_parent
from pullback_server.dispatcher.service import DispatcherService, new_server
from pullback_server.dispatcher.settings import DispatcherSettings
from pullback_server.shared_tensors import SharedTensors
from pullback_worker import one_thread

LOG = logging.getLogger("pullback_server.dispatcher")

HEAD_LOST = 75
"""Exit status when Ray's head is lost: try again."""
FAULT = 70
"""Exit status when an event could not be dealt with: the next dispatcher starts from nothing."""
LOOK_S = 0.25
CHECK_S = 2.0
STOP_S = 1.0
"""How long streams may take to end; the front end has closed its own."""


def main(argument: str) -> None:
    """Serve until SIGTERM, the end of standard input, or the loss of Ray's head."""
    settings = DispatcherSettings.from_json(argument)
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s dispatcher %(levelname)s: %(message)s"
    )
    watch_parent(partial(leave_nothing, settings.orphaned))
    one_thread.keep_to_one_thread()  # it ends jobs with the bits that workers would give
    engine = Engine(settings.scheduler, settings.pool, partial(os._exit, FAULT))
    engine.pool.connect()
    asyncio.run(_serve(engine, settings))
    engine.pool.close()


async def _serve(engine: Engine, settings: DispatcherSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):  # after ray.init, which sets its own
        loop.add_signal_handler(number, stop.set)
    shared = SharedTensors(Path(settings.shared_folder), f"dispatcher-{os.getpid()}")
    server = new_server(DispatcherService(engine, shared), f"unix:{settings.socket}")
    running = [
        asyncio.create_task(engine.run()),
        asyncio.create_task(_watch_head(engine, settings.head_timeout_s)),
    ]
    await server.start()
    gc.freeze()  # what start-up made stays: collections need not walk it again
    LOG.info("serving, Ray at %s", engine.pool.address)
    await stop.wait()
    await server.stop(STOP_S)
    for task in running:
        task.cancel()


async def _watch_head(engine: Engine, timeout_s: float) -> None:
    """End the process when Ray is no longer there, or its head: nothing can be done without it."""
    checked_s = monotonic()
    while engine.pool.is_connected():
        await asyncio.sleep(LOOK_S)
        if monotonic() >= checked_s + CHECK_S:
            if not await engine.pool.check(timeout_s):
                break
            checked_s = monotonic()
    LOG.error("Ray or its head does not answer; the dispatcher ends, to be started anew")
    os._exit(HEAD_LOST)


if __name__ == "__main__":
    main(sys.argv[1])
