"""`pullback batch`: many jobs from a file or a folder, their outcomes in a folder; it can go on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from pullback.command_line import flags
from pullback.command_line.batch_output import BatchOutput
from pullback.command_line.batch_rows import Defaults, Row, count_rows, read_rows
from pullback.command_line.options import read_options
from pullback.remote.job_window import Outcome
from pullback.remote.progress import Advance, bar, is_shown
from pullback_graph.errors import PullbackError
from pullback_graph.job import Job
from pullback_graph.want import Want

_LISTED = 20
_PATIENCE_S = 3.0
"""How long to wait for the server before the first job."""


def batch(
    source: Annotated[
        Path, typer.Argument(metavar="FOLDER_OR_JSONL", help="A row a line, or a file a row.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="The folder of the results.")
    ],
    gradient: flags.Gradient = None,
    want: flags.Want = None,
    wrt: flags.Wrt = None,
    of: flags.Of = None,
    option: flags.OptionPairs = None,
    server: flags.Server = None,
    local: flags.Local = False,
    progress: Annotated[
        bool | None,
        typer.Option(help="Show a bar; by default where standard error is a terminal."),
    ] = None,
) -> None:
    """Run many jobs; what is finished is not run again.

    OUT/results.jsonl has a line per job, OUT/arrays an npz for each with large results. A row is
    {"id": "a", "graph": "graph(x: float64[]) {...}", "inputs": {"x": 2.0}, "gradient": ["x"]},
    or has graph_file in the place of graph. Exit status 1 if a job failed.
    """
    defaults = Defaults(
        tuple(gradient or ()), want, tuple(wrt or ()), tuple(of or ()), read_options(option or ())
    )
    total = count_rows(source)
    shown = bar(total) if is_shown(progress) else nullcontext(lambda failed: None)
    with BatchOutput(output) as out, flags.open_service(server, local) as service:
        if not local:
            service.wait_until_ready(_PATIENCE_S)
        with shown as advance:
            run = _Run(out, advance)
            for outcome in service.map(run.jobs(read_rows(source, defaults)), progress=False):
                run.finish(outcome)
    typer.echo(f"{run.done} done, {len(run.failed)} failed, {run.skipped} skipped: {out.path}")
    if run.failed:
        typer.echo(_listed(run.failed), err=True)
        raise typer.Exit(1)


class _Run:
    """The rows under way, in order, and what came of those before them.

    Attributes:
        failed: the errors by id.
    """

    def __init__(self, out: BatchOutput, advance: Advance) -> None:
        self.done = self.skipped = 0
        self.failed: dict[str, PullbackError] = {}
        self._out = out
        self._advance = advance
        self._under_way: deque[tuple[Row, Job]] = deque()

    def jobs(self, rows: Iterable[Row]) -> Iterator[Job]:
        """The jobs to run; rows that are finished or make none are dealt with here."""
        for row in rows:
            if self._out.finished.get(row.id) == row.digest:
                self.skipped += 1
                self._advance(False)
                continue
            try:
                job = row.job()
            except PullbackError as error:
                self._note(row, None, error)
            else:
                self._under_way.append((row, job))
                yield job

    def finish(self, outcome: Outcome) -> None:
        """Record the outcome of the job that was longest under way."""
        row, job = self._under_way.popleft()
        self._note(row, job.want, outcome)

    def _note(self, row: Row, want: Want | None, outcome: Outcome) -> None:
        failed = isinstance(outcome, PullbackError)
        if isinstance(outcome, PullbackError):
            self.failed[row.id] = outcome
        else:
            self.done += 1
        self._out.add(row, want, outcome)
        self._advance(failed)


def _listed(failed: Mapping[str, PullbackError]) -> str:
    """The first of the failures, a line each."""
    lines = [
        f"  {id}: {type(error).__name__}: {error.message.splitlines()[0]}"
        for id, error in islice(failed.items(), _LISTED)
    ]
    if len(failed) > _LISTED:
        lines.append(f"  and {len(failed) - _LISTED} more; results.jsonl has all")
    return "\n".join(["failed:", *lines])
