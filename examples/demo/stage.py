"""What every part of the demo is given, and how it insists on what it claims."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console

from examples.server_process import RunningServer
from pullback.remote.service import Service


class Claim(Exception):
    """Something the demo claims did not come true."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A running server, a client of it, and where to print."""

    server: RunningServer
    service: Service
    console: Console
    workers: int

    def claim(self, what: str, is_true: bool) -> None:
        """Print a claim with its tick.

        Raises:
            Claim: it is not true.
        """
        if not is_true:
            raise Claim(what)
        self.console.print(f"[green]✓[/] {what}")
