"""A server's address as users write it, and as gRPC takes it."""

from __future__ import annotations

from dataclasses import dataclass

from pullback_graph.errors import RequestError

DEFAULT_PORT = 50051
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens.

    Attributes:
        target: what gRPC connects to: `host:port`, or `unix:path`.
        is_local: whether it is this machine, so that no proxy stands between.
    """

    target: str
    is_local: bool

    def __str__(self) -> str:
        return self.target


def parse_address(text: str) -> Address:
    """The address in `host`, `host:port`, `[ipv6]:port` or `unix:path`.

    Raises:
        RequestError: it is none of these; the message shows one that is.
    """
    text = text.strip()
    if text.startswith("unix:") and text != "unix:":
        return Address(text, is_local=True)
    host, port = _split(text)
    if host in ("", "unix") or "/" in host or not port.isdigit() or not 0 < int(port) < 65536:
        raise RequestError(
            f"{text!r} is no address; write host:port, such as localhost:{DEFAULT_PORT} "
            "(without http://), or unix:path",
            field="address",
        )
    return Address(f"{host}:{port}", is_local=host in _LOOPBACK)


def _split(text: str) -> tuple[str, str]:
    """Host and port, the default port where none is given."""
    if text.startswith("["):
        host, bracket, rest = text.partition("]")
        return host + bracket, rest.removeprefix(":") or str(DEFAULT_PORT)
    if text.count(":") > 1:
        return "", ""
    host, _, port = text.partition(":")
    return host, port or str(DEFAULT_PORT)
