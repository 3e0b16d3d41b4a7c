"""`pullback top`: a server's throughput, live in the terminal, from its page of metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated
from urllib.error import URLError
from urllib.request import urlopen

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from pullback.command_line.exposition import Scrape, parse_scrape
from pullback.command_line.top_frame import Between, Section, frame
from pullback_graph.errors import RequestError, ServiceError

DEFAULT_HTTP = "localhost:9464"


def top(
    http: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where the server's metrics are.")
    ] = DEFAULT_HTTP,
    interval_s: Annotated[
        float, typer.Option("--interval", min=0.05, metavar="SECONDS", help="Time between frames.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print one frame and end.")] = False,
) -> None:
    """Show a server's throughput: rates, latencies by phase, workers, trouble. Stop with Ctrl-C."""
    url = _url(http)
    frames = _frames(url, interval_s)
    console = Console()
    if once:
        console.print(next(frames))
        return
    with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
        try:
            for shown in frames:
                live.update(shown, refresh=True)
        except KeyboardInterrupt:
            pass


def _frames(url: str, interval_s: float) -> Iterator[Group]:
    """A frame per interval, for ever."""
    before = scrape(url)
    while True:
        time.sleep(interval_s)
        after = scrape(url)
        yield Group(f"{url}", *[_table(section) for section in frame(Between(before, after))])
        before = after


def scrape(url: str) -> Scrape:
    """The metrics there, now.

    Raises:
        ServiceError: nothing answers, or something that has no metrics.
    """
    try:
        with urlopen(url, timeout=5.0) as page:
            text = page.read().decode("utf-8", "replace")
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise ServiceError(
            f"no metrics at {url} ({reason}); start a server with `pullback serve`, or give --http "
            "the address of one that has another --http-port"
        ) from None
    return parse_scrape(text, time.monotonic())


def _url(http: str) -> str:
    address = http.removeprefix("http://").rstrip("/").removesuffix("/metrics")
    if not address or "/" in address:
        raise RequestError(f"{http!r} is no address; write host:port, such as {DEFAULT_HTTP}")
    return f"http://{address}/metrics"


def _table(section: Section) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for position, head in enumerate(section.heads):
        table.add_column(head, justify="right" if position else "left", min_width=8)
    for row in section.rows:
        table.add_row(*row)
    return table
