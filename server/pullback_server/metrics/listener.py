"""A small HTTP listener for WSGI applications that no client can stop, stall or make noisy.

Each request has a short-lived thread and a time limit, few run at once, and what a broken or
hostile client does ends in a debug line.
"""

from __future__ import annotations

import io
import logging
import socket
import threading
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, TypeAlias
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import WSGIApplication

from pullback_graph.errors import RequestError

OPERATION_S = 10.0
"""How long a client may keep one read or write waiting."""
CONNECTIONS = 64
"""Connections served at once; one more is closed unanswered."""

LOG = logging.getLogger(__name__)
Address: TypeAlias = tuple[str, int]


def listen(address: Address, application: WSGIApplication) -> Listener:
    """A listener at (host, port), bound and listening; port 0 takes a free one.

    Raises:
        RequestError: it cannot listen there; the message names the flag to change.
    """
    host, port = address
    try:
        listener = Listener(address, _Handler)
    except OverflowError:
        raise RequestError(
            f"port {port} is out of range; give --http-port a number from 0 to 65535",
            field="--http-port",
        ) from None
    except (socket.gaierror, UnicodeError) as error:
        raise RequestError(
            f"{host!r} is no address to listen on ({error}); give --http-host one of this machine",
            field="--http-host",
        ) from None
    except OSError as error:
        raise RequestError(
            f"cannot listen on {host}:{port} for metrics ({error.strerror}); is another server "
            "there? give --http-port another number, or 0 for a free one",
            field="--http-port",
        ) from None
    listener.set_app(application)
    return listener


class Listener(ThreadingMixIn, WSGIServer):
    """Serves one WSGI application, a thread per request."""

    daemon_threads = True
    request_queue_size = CONNECTIONS

    def __init__(self, address: Address, handler: type[WSGIRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind without asking DNS for this machine's name, which can take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve on a new thread while there is room."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            LOG.debug("%d connections at once: one more was closed", CONNECTIONS)
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one request, then make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Note what went wrong with a client; the application catches its own errors."""
        LOG.debug("request from %s failed", client_address, exc_info=True)


class _Handler(WSGIRequestHandler):
    timeout = OPERATION_S

    def log_message(self, format: str, *args: Any) -> None:
        """Log a request, or a client's mistake, at debug level."""
        LOG.debug("%s %s", self.client_address[0], format % args)

    def get_stderr(self) -> Any:
        """Where WSGI writes of clients that went away: nowhere."""
        return io.StringIO()
