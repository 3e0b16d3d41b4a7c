"""The tape machine of this process: absent without numba, else got ready on a thread of its own.

Loading native code takes a second, compiling it for the first time half a minute: never on the
event loop, and no job thread is held by a job that waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from importlib import import_module
from typing import Any

from pullback_graph.types import FLOAT64
from pullback_worker.tape_loader import TapeLoader
from pullback_worker.tape_wants import Mode

LOG = logging.getLogger(__name__)


class TapeMachine:
    """What runs tapes here; belongs to one event loop, but `load` may be called from any thread.

    Attributes:
        loader: of the kernels that single jobs need.
    """

    def __init__(self) -> None:
        self.loader = TapeLoader()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = asyncio.Event()
        self._lock = threading.Lock()
        self._loaded = False

    @property
    def is_offered(self) -> bool:
        """Whether numba is there; False too once the machine could not be loaded."""
        return self.loader.is_offered

    @property
    def is_ready(self) -> bool:
        """Whether a job would not have to wait for it."""
        return self._ready.is_set()

    @property
    def version(self) -> str:
        """The executor's version."""
        return f"1/numba-{import_module('pullback_worker.tape_numba').VERSION}"

    def start(self) -> None:
        """Begin to load, on a thread that does not keep the process alive."""
        if not self.is_offered:
            self._ready.set()
        elif self._loop is None:
            self._loop = asyncio.get_running_loop()
            threading.Thread(target=self._run, name="pullback-tape", daemon=True).start()

    async def wait(self, timeout_s: float | None) -> None:
        """Return when it is ready, or known not to be offered; or after so long."""
        if self._ready.is_set():
            return
        self.start()
        try:
            async with asyncio.timeout(timeout_s):
                await self._ready.wait()
        except TimeoutError:
            return

    def load(self) -> None:
        """Load or compile what batches and tapes need; at once where that was done before."""
        with self._lock:
            if self.is_offered and not self._loaded:
                batch: Any = import_module("pullback_worker.tape_batch")
                batch.warm_batches()
                for mode in (Mode.NONE, Mode.REVERSE):
                    self.loader.load(FLOAT64, mode)
                self._loaded = True

    def _run(self) -> None:
        try:
            self.load()
        except Exception:
            LOG.exception("the tape machine could not be loaded; tapes run on the numpy executor")
            self.loader.is_offered = False
        assert self._loop is not None, "start() noted the loop"
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:  # the loop was closed meanwhile: the server has stopped
            return
