"""The dispatcher as a child process: started in a session of its own, ended with all it started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import sys

from pullback_server.dispatcher.lifeline import end_session
from pullback_server.dispatcher.settings import DispatcherSettings


class DispatcherProcess:
    """A running dispatcher. It sees the end of its standard input when this process goes."""

    def __init__(self, settings: DispatcherSettings, process: asyncio.subprocess.Process) -> None:
        self.settings = settings
        self._process = process

    @classmethod
    async def start(cls, settings: DispatcherSettings) -> DispatcherProcess:
        """Start one; it serves when Ray is up, some seconds later."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "pullback_server.dispatcher",
            settings.to_json(),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
            env=_environment(settings),
        )
        return cls(settings, process)

    @property
    def pid(self) -> int:
        """Its process, which is also its session."""
        return self._process.pid

    async def wait(self) -> int:
        """Its exit status, once it ended."""
        return await self._process.wait()

    async def end(self, grace_s: float) -> None:
        """Ask it to end, and after the grace period make it; nothing it started is left."""
        if self._process.returncode is None and grace_s > 0:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), grace_s)
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await asyncio.to_thread(end_session, self.pid)
        await asyncio.to_thread(shutil.rmtree, self.settings.folder, True)


def _environment(settings: DispatcherSettings) -> dict[str, str]:
    """This process's environment, with a secret of its own for a Ray that nobody else is to join.

    Without one, some releases of Ray let anyone on the network run code on it, and others leave a
    file in the home folder. What the user has set stands.
    """
    environment = {
        "GRPC_VERBOSITY": "ERROR",  # a closed stream is no news
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what Ray will do one day, and warns about
    }
    if not settings.ray_address:
        environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return environment | os.environ
