"""The asyncio client: many requests in flight at once, without a thread."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy

import pullback as pb
import pullback.numpy as np
from examples.server_process import any_server


def bowl(x: Any, centre: Any) -> Any:
    """Squared distance from a centre: (D,), (D,) -> a scalar."""
    return np.sum((x - centre) ** 2)


async def gradients(address: str) -> None:
    """Gradients at many points at once."""
    points = numpy.random.default_rng(0).normal(size=(100, 3))
    centre = numpy.ones(3)
    async with pb.aconnect(address) as service:
        value_and_grad = service.value_and_grad(bowl)
        pairs = await asyncio.gather(*[value_and_grad(x, centre) for x in points])
    found = numpy.stack([gradient for _, gradient in pairs])
    print(f"{len(found)} gradients, largest error {abs(found - 2 * (points - 1)).max():.1e}")


def main() -> None:
    """Run it."""
    with any_server() as address:
        asyncio.run(gradients(address))


if __name__ == "__main__":
    main()
