"""The tape machine of this process: absent without numba, else got ready on a thread of its own.

Loading native code takes a second, compiling it for the first time half a minute: never on the
event loop, and no job thread is held by a job that waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from importlib import import_module
from typing import Any

from pullback_graph.types import FLOAT64
from pullback_worker.tape_loader import TapeLoader
from pullback_worker.tape_wants import Mode

LOG = logging.getLogger(__name__)


class TapeMachine:
    """What runs tapes here; belongs to one event loop, but its loader to any thread.

    Attributes:
        loader: of the kernels that single jobs need.
        batches_ready: whether packed jobs would not have to wait for theirs.
    """

    def __init__(self) -> None:
        self.loader = TapeLoader()
        self.batches_ready = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready, self._all = asyncio.Event(), asyncio.Event()

    @property
    def is_offered(self) -> bool:
        """Whether numba is there; False too once the machine could not be loaded."""
        return self.loader.is_offered

    @property
    def is_ready(self) -> bool:
        """Whether a value or gradient would not have to wait for its kernels."""
        return self._ready.is_set()

    @property
    def version(self) -> str:
        """The executor's version."""
        return f"1/numba-{import_module('pullback_worker.tape_numba').VERSION}"

    def start(self) -> None:
        """Begin to load, on a thread that does not keep the process alive."""
        if not self.is_offered:
            self._ready.set()
            self._all.set()
        elif self._loop is None:
            self._loop = asyncio.get_running_loop()
            threading.Thread(target=self._run, name="pullback-tape", daemon=True).start()

    async def wait(self, timeout_s: float | None, *, batches: bool = False) -> None:
        """Return when it is ready, or known not to be offered; or after so long.

        Args:
            batches: wait for what packed jobs need as well, which comes last.
        """
        event = self._all if batches else self._ready
        if event.is_set():
            return
        self.start()
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        except TimeoutError:
            return

    def _run(self) -> None:
        try:
            for mode in (Mode.NONE, Mode.REVERSE):
                self.loader.load(FLOAT64, mode)
            self._tell(self._ready)
            batch: Any = import_module("pullback_worker.tape_batch")
            batch.warm_batches()
            self.batches_ready = True
        except Exception:
            LOG.exception("the tape machine could not be loaded; tapes run on the numpy executor")
            self.loader.is_offered = False
        self._tell(self._ready)
        self._tell(self._all)

    def _tell(self, event: asyncio.Event) -> None:
        assert self._loop is not None, "start() noted the loop"
        with suppress(RuntimeError):  # the loop was closed meanwhile: the server has stopped
            self._loop.call_soon_threadsafe(event.set)
