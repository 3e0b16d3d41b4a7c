"""From a server's address to a service. gRPC is imported when one is asked for, not before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pullback.remote.retry import DEFAULT_RETRY, RetryPolicy

if TYPE_CHECKING:
    from pullback.remote.async_service import AsyncService
    from pullback.remote.channel import TLS
    from pullback.remote.service import Service

DEFAULT_ADDRESS = "localhost:50051"


def connect(
    address: str = DEFAULT_ADDRESS,
    *,
    tls: TLS = False,
    token: str | None = None,
    metadata: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    retry: RetryPolicy = DEFAULT_RETRY,
) -> Service:
    """The service at an address; nothing is sent before the first call.

    Args:
        address: `host:port`, or `unix:path`.
        tls: True for the system's root certificates, or a PEM root certificate (bytes, or its
            file), or gRPC's own channel credentials.
        token: sent with each call as `authorization: Bearer ...`; readable by all without `tls`.
        metadata: further pairs sent with each call.
        retry: how patiently to call again while the service is away.

    Raises:
        RequestError: the address or a certificate is not well formed.
    """
    from pullback.remote.channel import make_connection  # noqa: PLC0415  (imports gRPC)
    from pullback.remote.service import Service  # noqa: PLC0415  (imports gRPC)

    return Service(make_connection(address, tls=tls, token=token, metadata=metadata, retry=retry))


def aconnect(
    address: str = DEFAULT_ADDRESS,
    *,
    tls: TLS = False,
    token: str | None = None,
    metadata: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    retry: RetryPolicy = DEFAULT_RETRY,
) -> AsyncService:
    """The same for asyncio: use with `async with`, and await what its methods give."""
    from pullback.remote.async_service import AsyncService  # noqa: PLC0415  (imports gRPC)
    from pullback.remote.channel import make_connection  # noqa: PLC0415  (imports gRPC)

    return AsyncService(
        make_connection(address, tls=tls, token=token, metadata=metadata, retry=retry)
    )
