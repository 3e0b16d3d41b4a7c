"""How both clients open a channel: options, credentials, metadata, and the methods they call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import grpc

from pullback.remote.address import Address, parse_address
from pullback.remote.retry import DEFAULT_RETRY, RetryPolicy
from pullback_graph.errors import RequestError

Metadata: TypeAlias = "tuple[tuple[str, str | bytes], ...]"
TLS: TypeAlias = "bool | bytes | str | Path | grpc.ChannelCredentials"
"""False for none, True for the system's roots, a PEM root certificate or its file, or credentials
of gRPC's own (which may hold a client certificate)."""

SERVICE = "/pullback.v1.GradientService/"
UNARY = ("Evaluate", "PutGraph", "Plan", "GetServerInfo")
UPLOAD, STREAM, IN_PARTS = "PutTensor", "EvaluateStream", "EvaluateInParts"

_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", -1),  # the server has its own limit, and says so
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_retries", 0),  # the retry policy is ours
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.use_local_subchannel_pool", 1),  # one connection for each connect()
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 60_000),  # ours takes pings down to 20 s, others to 300 s at worst
    ("grpc.keepalive_timeout_ms", 20_000),
)


@dataclass(frozen=True, slots=True)
class Connection:
    """Where and how to connect; both clients are made of one."""

    address: Address
    retry: RetryPolicy = DEFAULT_RETRY
    credentials: grpc.ChannelCredentials | None = None
    metadata: Metadata = ()

    @property
    def options(self) -> list[tuple[str, Any]]:
        """The channel's options."""
        direct = [("grpc.enable_http_proxy", 0)] if self.address.is_local else []
        return [*_OPTIONS, *direct]


def make_connection(
    address: str,
    *,
    tls: TLS = False,
    token: str | None = None,
    metadata: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    retry: RetryPolicy = DEFAULT_RETRY,
) -> Connection:
    """The connection of `connect`'s arguments.

    Raises:
        RequestError: the address, a certificate or a metadata key is not well formed.
    """
    pairs = list(metadata.items() if isinstance(metadata, Mapping) else metadata)
    if token is not None:
        pairs.append(("authorization", f"Bearer {token}"))
    for key, value in pairs:
        if key != key.lower() or not key.isascii() or "\n" in value:
            raise RequestError(
                f"metadata {key!r} must be lower-case ASCII, its value one line", field="metadata"
            )
    return Connection(parse_address(address), retry, _credentials(tls), tuple(pairs))


def _credentials(tls: TLS) -> grpc.ChannelCredentials | None:
    if isinstance(tls, grpc.ChannelCredentials):
        return tls
    if isinstance(tls, bool):
        return grpc.ssl_channel_credentials() if tls else None
    if isinstance(tls, str | Path):
        try:
            tls = Path(tls).read_bytes()
        except OSError as error:
            raise RequestError(
                f"the root certificate cannot be read: {error}", field="tls"
            ) from None
    return grpc.ssl_channel_credentials(root_certificates=tls)
