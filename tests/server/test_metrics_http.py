"""The HTTP side: every path, its statuses, and clients that misbehave."""

from __future__ import annotations

import gzip
import json
import logging
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.client import HTTPConnection

import pytest

from pullback_graph.errors import RequestError
from pullback_server.metrics import METRICS, MetricsServer, ServiceCounters, listener

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


def ask(server: MetricsServer, path: str, method: str = "GET", **headers: str) -> Reply:
    """One request on a connection of its own."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return Reply(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


@pytest.fixture
def counters() -> ServiceCounters:
    """Counters that have counted nothing."""
    return ServiceCounters()


@pytest.fixture
def server(counters: ServiceCounters) -> Iterator[MetricsServer]:
    """A server on a free port that shows them."""
    with MetricsServer(counters, port=0) as server:
        yield server


def test_metrics_are_served_in_prometheus_text(server, counters):
    """A plain scrape gets the text format with the numbers of the moment."""
    counters.bytes_received(12)
    reply = ask(server, "/metrics")
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/plain; version=")
    assert b"\npullback_received_bytes_total 12.0\n" in reply.body
    assert b"\nprocess_cpu_seconds_total " in reply.body


def test_metrics_negotiate_format_and_compression(server):
    """OpenMetrics and gzip are given to who accepts them."""
    reply = ask(server, "/metrics", Accept=OPENMETRICS, **{"Accept-Encoding": "gzip"})
    assert reply.headers["Content-Type"].startswith("application/openmetrics-text")
    assert gzip.decompress(reply.body).endswith(b"# EOF\n")


def test_health_is_there_as_soon_as_it_listens(server):
    """/healthz says that the process serves, whatever it is ready for."""
    assert ask(server, "/healthz") == Reply(200, ask(server, "/healthz").headers, b"ok\n")


def test_readiness_follows_the_server(counters):
    """/readyz is 503 with the reason until there is none."""
    reasons = ["the gRPC port does not listen yet"]
    with MetricsServer(counters, port=0, unready=lambda: "".join(reasons)) as server:
        reply = ask(server, "/readyz")
        assert (reply.status, reply.body) == (503, b"the gRPC port does not listen yet\n")
        reasons.clear()
        reply = ask(server, "/readyz")
        assert (reply.status, reply.body) == (200, b"ready\n")


def test_the_live_page_loads_nothing_else(server):
    """The page is one document: no address of anything but this server's own paths."""
    reply = ask(server, "/")
    page = reply.body.decode()
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    assert "{{" not in page
    assert set(re.findall(r'(?:src|href)="([^"]*)"', page)) - {"/metrics"} == {
        "/snapshot.json",
        "/healthz",
        "/readyz",
        re.findall(r'href="(data:[^"]*)"', page)[0],
    }
    assert re.findall(r"https?://[^'\"\s]+", page) == ["http://www.w3.org/2000/svg"]


def test_the_snapshot_is_json_with_time(counters):
    """The live page's data: every metric, on a steady clock that starts with the server."""
    times = iter([100.0, 107.5])
    with MetricsServer(counters, port=0, clock=lambda: next(times)) as server:
        data = json.loads(ask(server, "/snapshot.json").body)
    assert (data["time_s"], data["uptime_s"], data["unready"]) == (107.5, 7.5, "")
    assert len(data["metrics"]) == len(METRICS)


def test_an_unknown_path_is_404_and_names_the_known(server):
    """A wrong address says what the right ones are."""
    reply = ask(server, "/metric")
    assert reply.status == 404
    assert b"/metrics" in reply.body
    assert ask(server, "/%2e%2e/etc/passwd").status == 404


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/nothing"])
def test_only_reading_is_served(server, path):
    """A write is refused with 405 on every path; HEAD has GET's status and no body."""
    assert ask(server, path, "POST").status == 405
    assert ask(server, path, "DELETE").status == 405
    head = ask(server, path, "HEAD")
    assert (head.status, head.body) == (ask(server, path).status, b"")


HOSTILE = {
    "empty": b"",
    "newlines": b"\r\n\r\n",
    "binary": bytes(range(256)) + b"\r\n\r\n",
    "zeros": b"\0" * 4096,
    "one word": b"GET\r\n\r\n",
    "no method": b" / HTTP/1.1\r\n\r\n",
    "bad version": b"GET / HTTP/banana\r\n\r\n",
    "newer version": b"GET / HTTP/9.9\r\n\r\n",
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "long line": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    "long header": b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
    "bad header": b"GET /metrics HTTP/1.1\r\n\xff\xfe: \x00\r\n\r\n",
    "bad length": b"GET / HTTP/1.1\r\nContent-Length: -5x\r\n\r\n",
    "bad escape": b"GET /%zz%ff%00 HTTP/1.1\r\n\r\n",
    "bad query": b"GET /metrics?name[]=%ff&name[]=&&=%00 HTTP/1.1\r\n\r\n",
    "bad accept": b"GET /metrics HTTP/1.1\r\nAccept: ;;;q=x,\r\n\r\n",
    "absolute": b"GET http://evil.example/ HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_requests_do_not_kill_it(server, capfd, data):
    """Whatever bytes arrive, the next request is answered, and nothing is printed."""
    with suppress(ConnectionError):  # it may hang up on them, but not keep them waiting
        _shout(server.port, data)
    assert ask(server, "/healthz").status == 200
    assert capfd.readouterr() == ("", "")


def _shout(port: int, data: bytes) -> None:
    """Send bytes and listen until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(data)
        with suppress(OSError):  # closed over there already
            connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass


def test_a_client_that_leaves_mid_answer_is_no_trouble(server, capfd):
    """A connection reset while the answer is on its way is nobody's problem but its own."""
    for _ in range(5):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        connection.close()
    assert ask(server, "/healthz").status == 200
    assert capfd.readouterr() == ("", "")


def test_idle_connections_do_not_pile_up(server):
    """Past the number served at once, one more connection is closed; room comes back."""
    with ExitStack() as stack:
        for _ in range(listener.CONNECTIONS):
            idle = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            stack.enter_context(idle)
        extra = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        stack.enter_context(extra)
        assert extra.recv(1) == b""
    assert _answers_in_the_end(server)


def _answers_in_the_end(server: MetricsServer) -> bool:
    """Whether one of the next connections is served, as those closed before are noticed."""
    for _ in range(1000):
        try:
            return ask(server, "/healthz").status == 200
        except ConnectionError:
            continue
    return False


def test_a_failing_source_fails_that_request_alone(server, counters, caplog):
    """An error while reading is a 500 and a line in the log; the next path is served."""

    def broken():
        raise RuntimeError("no such state")

    counters.watch_jobs(broken)
    with caplog.at_level(logging.ERROR):
        assert ask(server, "/metrics").status == 500
        assert ask(server, "/snapshot.json").status == 500
    assert "no such state" in caplog.text
    assert ask(server, "/healthz").status == 200


def test_port_0_takes_a_free_port_and_stop_frees_it(counters):
    """The bound port is told, and can be bound again after a stop; stopping twice is fine."""
    first = MetricsServer(counters, port=0).start()
    port = first.port
    assert first.url == f"http://127.0.0.1:{port}"
    first.stop()
    first.stop()
    with MetricsServer(counters, port=port) as second:
        assert second.port == port


def test_a_taken_port_names_the_flag(server, counters):
    """A second server on one port is told what to change."""
    with pytest.raises(RequestError, match="--http-port") as caught:
        MetricsServer(counters, port=server.port).start()
    assert caught.value.field == "--http-port"
    assert str(server.port) in str(caught.value)


@pytest.mark.parametrize(
    ("host", "port", "flag"),
    [("127.0.0.1", 70000, "--http-port"), ("no.such.host.invalid", 0, "--http-host")],
)
def test_an_impossible_address_names_the_flag(counters, host, port, flag):
    """A port out of range and a name that is no address are told apart."""
    with pytest.raises(RequestError, match=flag) as caught:
        MetricsServer(counters, host, port).start()
    assert caught.value.field == flag


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
def test_it_listens_on_ipv6_too(counters):
    """An address with colons is an IPv6 one, and its URL has brackets."""
    try:
        server = MetricsServer(counters, "::1", 0).start()
    except RequestError as error:
        pytest.skip(f"this machine has no IPv6 loopback: {error}")
    try:
        assert server.url == f"http://[::1]:{server.port}"
        with socket.create_connection(("::1", server.port), timeout=10) as connection:
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert connection.makefile("rb").read().endswith(b"ok\n")
    finally:
        server.stop()
