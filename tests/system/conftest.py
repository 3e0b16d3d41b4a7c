"""One Ray cluster for all tests that do not break one; links join it with any number of workers."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from pullback_server.dispatcher.lifeline import end_session
from tests.system.running_link import RunningLink

CPUS = 16
"""More than there are: actors of several links stand beside each other, mostly idle."""

GPUS = 1
"""What the cluster says it has: enough to place workers by, whether there is one or not."""

CLUSTER = f"""
import sys, ray
from pullback_server.owned_folder import OwnedFolder
from pathlib import Path
folder = OwnedFolder(Path("/tmp"), "pullback-test-")
context = ray.init(
    num_cpus={CPUS}, num_gpus={GPUS}, include_dashboard=False, object_store_memory=512 << 20,
    log_to_driver=False, logging_level="ERROR", _temp_dir=str(folder.path / "ray"),
)
print(context.address_info["address"], flush=True)
sys.stdin.read()
ray.shutdown()
folder.remove()
"""


@pytest.fixture(scope="session")
def ray_address() -> Iterator[str]:
    """The address of a cluster that lives as long as the tests, with a secret of its own."""
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_AUTH_MODE", "token")
    patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={"RAY_USAGE_STATS_ENABLED": "0", **os.environ},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        yield process.stdout.readline().strip()
    process.wait(30)
    end_session(process.pid)
    patch.undo()


@pytest.fixture(scope="session")
def links(ray_address: str) -> Iterator[Callable[[int], RunningLink]]:
    """A link to the cluster by its number of workers, started when first asked for."""
    running: dict[int, RunningLink] = {}

    def link(workers: int) -> RunningLink:
        if workers not in running:
            own = RunningLink(workers=workers, ray_address=ray_address)
            running[workers] = own.__enter__()
            own.until_all_ready()
        return running[workers]

    yield link
    for own in running.values():
        own.__exit__(None, None, None)
