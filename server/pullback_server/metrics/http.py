"""The HTTP side of a server, read-only: metrics, health, and the live page. Paths are a table."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import TypeAlias
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import make_wsgi_app

from pullback_server.metrics.collector import new_registry
from pullback_server.metrics.counters import ServiceCounters
from pullback_server.metrics.listener import Listener, listen
from pullback_server.metrics.live_page import live_page
from pullback_server.metrics.snapshot import snapshot

DEFAULT_PORT = 9464

LOG = logging.getLogger(__name__)
Unready: TypeAlias = Callable[[], str]

HEADERS = [
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "img-src data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a path answers with."""

    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK


class MetricsServer:
    """Serves `/metrics`, `/healthz`, `/readyz`, `/snapshot.json`, and the live page at `/`.

    Args:
        counters: what is shown.
        host, port: where to listen; port 0 takes a free one.
        unready: says why the server is not ready for jobs, empty when it is; asked per request.
        clock: steady seconds, the base of the live page's rates.
    """

    def __init__(
        self,
        counters: ServiceCounters,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        *,
        unready: Unready = str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counters = counters
        self._address = (host, port)
        self._unready = unready
        self._clock = clock
        self._started_s = clock()
        self._scrape = make_wsgi_app(new_registry(counters))
        self._listener: Listener | None = None
        self._thread: threading.Thread | None = None
        self._paths: dict[str, Callable[[], Answer]] = {
            "/": lambda: Answer(live_page(), "text/html; charset=utf-8"),
            "/healthz": lambda: Answer(b"ok\n"),
            "/readyz": self._readyz,
            "/snapshot.json": self._snapshot,
        }

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        assert self._listener is not None, "not started"
        return self._listener.server_port

    @property
    def url(self) -> str:
        """`http://host:port`, without a slash at the end."""
        host = self._address[0]
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def start(self) -> MetricsServer:
        """Listen, and serve on a daemon thread until `stop`.

        Raises:
            RequestError: it cannot listen there; the message names the flag to change.
        """
        assert self._listener is None, "started already"
        self._listener = listen(self._address, self._application)
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(0.1,), name="metrics-http", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening and free the port; a second call does nothing."""
        listener, self._listener = self._listener, None
        if listener is not None and self._thread is not None:
            listener.shutdown()
            listener.server_close()
            self._thread.join()

    def __enter__(self) -> MetricsServer:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # --- requests ---------------------------------------------------------------------------------

    def _application(self, environ: WSGIEnvironment, respond: StartResponse) -> Iterable[bytes]:
        """The WSGI application."""
        method = environ["REQUEST_METHOD"]
        try:
            if environ["PATH_INFO"] == "/metrics" and method == "GET":
                page: Iterable[bytes] = self._scrape(environ, respond)
                return page
            answer = self._answer(method, environ["PATH_INFO"])
        except Exception:
            LOG.exception("%s %s failed", method, environ["PATH_INFO"])
            answer = _plain(HTTPStatus.INTERNAL_SERVER_ERROR, "failed; the server's log says why")
        head = [("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body)))]
        respond(f"{answer.status.value} {answer.status.phrase}", [*head, *HEADERS])
        return [b"" if method == "HEAD" else answer.body]

    def _answer(self, method: str, path: str) -> Answer:
        if method not in {"GET", "HEAD"}:
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are served here")
        if path == "/metrics":
            return Answer(b"")
        if path not in self._paths:
            there = ", ".join(["/metrics", *self._paths])
            return _plain(HTTPStatus.NOT_FOUND, f"no such path; there are {there}")
        return self._paths[path]()

    def _readyz(self) -> Answer:
        reason = self._unready()
        return _plain(HTTPStatus.SERVICE_UNAVAILABLE, reason) if reason else Answer(b"ready\n")

    def _snapshot(self) -> Answer:
        now_s = self._clock()
        body = snapshot(
            self._counters.read(),
            time_s=now_s,
            uptime_s=now_s - self._started_s,
            unready=self._unready(),
        )
        return Answer(body, "application/json")


def _plain(status: HTTPStatus, text: str) -> Answer:
    return Answer(f"{text}\n".encode(), status=status)
