"""Runs the demo from start to end: a server, its four uses, and a clean stop."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from rich.console import Console

import pullback as pb
from examples.demo import digits, many_graphs, theory, throughput
from examples.demo.stage import Claim, Stage
from examples.server_process import running_server

WORKERS = 2


class Part(NamedTuple):
    """One part of the demo, and its heading."""

    title: str
    run: Callable[[Stage], None]


PARTS = (
    Part("Three derivatives, three ways", theory.run),
    Part("Training on real data, split over workers", digits.run),
    Part("10,000 graphs in one batch, some of them broken", many_graphs.run),
    Part("What the service measured", throughput.run),
)


def main() -> int:
    """Run every part; 1 where one of them did not do what it claims."""
    console = Console(highlight=False)
    start = time.monotonic()
    try:
        run(console)
    except (Claim, RuntimeError, pb.PullbackError) as error:
        console.print(f"[bold red]The demo failed:[/] {error}", markup=True)
        return 1
    console.print(
        f"\n[green]✓[/] stopped, no process left behind; {time.monotonic() - start:.0f} s in all"
    )
    return 0


def run(console: Console) -> None:
    """Start a server, run the parts, stop it."""
    console.rule("[bold]Pullback: graphs in over gRPC, gradients out")
    with running_server("--workers", str(WORKERS)) as server, pb.connect(server.address) as service:
        console.print(
            f"[green]✓[/] a server answers on {server.address} after {server.started_s:.1f} s; "
            "its workers come up behind"
        )
        for part in PARTS:
            console.print()
            console.rule(f"[bold]{part.title}", align="left")
            part.run(Stage(server, service, console, WORKERS))


if __name__ == "__main__":
    sys.exit(main())
