"""A real Prometheus on a free port, configured as the deployment's and pointed at one server.

For any test that has a server's address: `with scraping("127.0.0.1:9464", folder) as prometheus`.
"""

from __future__ import annotations

import json
import math
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

PROMETHEUS_FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
RATE_INTERVAL = "3s"
"""What Grafana's $__rate_interval becomes here: a dozen of the scrapes below."""
SCRAPE_INTERVAL = "250ms"
DEADLINE_S = 60.0
POLL_S = 0.05

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None,
    reason="prometheus is not installed; on Debian, `make debian-tools` does it",
)
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not installed; on Debian, `make debian-tools` does it",
)


def poll(condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> bool:
    """Whether the condition came true before the deadline; asked again and again until then."""
    end_s = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(POLL_S)  # between two questions to another process; nothing counts on it
    return True


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer of its API.

        Raises:
            AssertionError: it refused the request; with its reason.
        """
        try:
            with urlopen(f"{self.url}/api/v1/{path}?{urlencode(parameters)}", timeout=10) as reply:
                return json.load(reply)["data"]
        except HTTPError as error:
            with error:
                raise AssertionError(f"{path} {parameters}: {error.read().decode()}") from None

    def query(self, promql: str) -> dict[tuple[tuple[str, str], ...], float]:
        """The samples of an instant query, by their labels."""
        samples = self.get("query", query=promql)["result"]
        return {tuple(sorted(s["metric"].items())): float(s["value"][1]) for s in samples}

    def has_data(self, promql: str) -> bool:
        """Whether a query returns at least one finite number."""
        return any(math.isfinite(value) for value in self.query(promql).values())

    def scraped(self) -> bool:
        """Whether its one target answered the last scrape."""
        return [t["health"] for t in self.get("targets")["activeTargets"]] == ["up"]

    def without_data(
        self, queries: Sequence[str], load: Callable[[], object], deadline_s: float = DEADLINE_S
    ) -> list[str]:
        """The queries that returned no data before the deadline, while the load went on."""
        left = list(queries)

        def answered() -> bool:
            load()
            left[:] = [query for query in left if not self.has_data(query)]
            return not left

        poll(answered, deadline_s)
        return left


@contextmanager
def scraping(target: str, folder: Path) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes `target` (host:port); its files go into `folder`."""
    (folder / "prometheus.yml").write_text(configuration(target), "utf-8")
    for _ in range(3):  # a port that was free can be gone by the time it is asked for
        address = f"127.0.0.1:{_free_port()}"
        process = _start(address, folder)
        try:
            if _came_up(process, address):
                yield Prometheus(f"http://{address}")
                return
        finally:
            _end(process)
    pytest.fail((folder / "log").read_text("utf-8"))


def _start(address: str, folder: Path) -> subprocess.Popen[bytes]:
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
    ]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)


def _came_up(process: subprocess.Popen[bytes], address: str) -> bool:
    poll(lambda: process.poll() is not None or _ready(address))
    return process.poll() is None and _ready(address)


def configuration(target: str) -> str:
    """The deployment's configuration with another target, scraped at a test's pace."""
    text = (PROMETHEUS_FOLDER / "prometheus.yml").read_text("utf-8")
    for old, new in (
        ("server:9464", target),
        ("scrape_interval: 5s", f"scrape_interval: {SCRAPE_INTERVAL}"),
        ("evaluation_interval: 15s", "evaluation_interval: 1s"),
        ("- alerts.yml", f"- {PROMETHEUS_FOLDER / 'alerts.yml'}"),
    ):
        assert text.count(old) == 1, f"{old!r} is not in the configuration"
        text = text.replace(old, new)
    return text


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ready(address: str) -> bool:
    try:
        with urlopen(f"http://{address}/-/ready", timeout=5) as reply:
            return bool(reply.status == 200)
    except HTTPError as error:
        error.close()
        return False
    except OSError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
