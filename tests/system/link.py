"""A cable with latency and loss between two network devices, for kernels that have no netem.

`python link.py NEAR FAR` makes two Ethernet devices and carries frames from each to the other. It
says `ready`, and takes lines `LATENCY_MS LOSS` from then on: how late frames arrive, and the share
that never does. It ends with its standard input, and the devices with it.
"""

from __future__ import annotations

import fcntl
import os
import random
import select
import struct
import sys
import time
from collections import deque

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
ORDERS = 0
"""Standard input."""
LARGEST_FRAME = 65_536
MOST_AT_ONCE = 64
"""Frames read of one end before the other has its turn."""


class Way:
    """One direction: frames on their way, oldest first."""

    def __init__(self, source: int, target: int) -> None:
        self.source, self._target = source, target
        self._under_way: deque[tuple[float, bytes]] = deque()

    def take(self, latency_s: float, loss: float) -> None:
        """Read what lies ready."""
        for _ in range(MOST_AT_ONCE):
            try:
                frame = os.read(self.source, LARGEST_FRAME)
            except BlockingIOError:
                return
            if random.random() >= loss:
                self._under_way.append((time.monotonic() + latency_s, frame))

    def give(self, now_s: float) -> float:
        """Hand over what is due; how long until more is, at most a second."""
        while self._under_way and self._under_way[0][0] <= now_s:
            try:
                os.write(self._target, self._under_way.popleft()[1])
            except OSError:
                continue  # the other end is not up, or its queue is full: the frame is lost
        return self._under_way[0][0] - now_s if self._under_way else 1.0


def device(name: str) -> int:
    """Make an Ethernet device; what is read of it was sent through it."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return descriptor


def main(near: str, far: str) -> None:
    """Carry frames until standard input ends."""
    ends = device(near), device(far)
    ways = {ends[0]: Way(*ends), ends[1]: Way(*reversed(ends))}
    latency_s, loss = 0.0, 0.0
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        now_s = time.monotonic()
        pause_s = min([way.give(now_s) for way in ways.values()])
        found, _, _ = select.select([*ends, ORDERS], [], [], max(0.0, pause_s))
        for end in found:
            if end != ORDERS:
                ways[end].take(latency_s, loss)
            elif line := os.read(ORDERS, 4096):
                latency_ms, loss = map(float, line.split()[-2:])
                latency_s = latency_ms / 1e3
            else:
                return


if __name__ == "__main__":
    main(*sys.argv[1:])
