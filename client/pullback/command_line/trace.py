"""`pullback trace`: run one job, and save which worker did what of it when."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from pullback.command_line import flags
from pullback.command_line.asked_job import read_job
from pullback.command_line.chrome_trace import check_writable, save_trace
from pullback.remote.descriptions import Task
from pullback_graph.errors import PullbackError
from pullback_graph.job import Metrics
from pullback_graph.quantities import counted, duration
from pullback_graph.timeline import FRONT_END


def trace(
    graph: flags.GraphFile,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE.json", help="The trace, in Chrome's format."),
    ],
    input: flags.Inputs = None,
    gradient: flags.Gradient = None,
    want: flags.Want = None,
    wrt: flags.Wrt = None,
    of: flags.Of = None,
    seed: flags.Seeds = None,
    sparse: flags.Sparse = False,
    option: flags.OptionPairs = None,
    server: flags.Server = None,
    local: flags.Local = False,
) -> None:
    """Run a job and save the timeline of its tasks, for ui.perfetto.dev.

    pullback trace loss.graph -i w=@w.npy -g w --option "split=shard(4)" -o run.json
    """
    job = read_job(
        graph,
        input=input,
        gradient=gradient,
        want=want,
        wrt=wrt,
        of=of,
        seed=seed,
        sparse=sparse,
        option=option,
    )
    check_writable(output, "--output")
    tasks: tuple[Task, ...] = ()
    with flags.open_service(server, local) as service:
        result = job.evaluate(service, timeline=True)
        if result.metrics.tasks > 1:
            with suppress(PullbackError):  # the job is done: without its plan it has a trace still
                tasks = job.plan(service).tasks
    save_trace(output, result.metrics, "--output", tasks)
    typer.echo(f"{output}: {told(result.metrics)}; open it at https://ui.perfetto.dev")


def told(metrics: Metrics) -> str:
    """What a timeline tells of, in words."""
    spans = metrics.timeline
    if not spans:
        return "no timeline (the server keeps none)"
    workers = {span.worker for span in spans}
    where = f"on {counted(len(workers), 'worker')}"
    where = "without a worker" if workers == {FRONT_END} else where
    omitted = f" of {len(spans) + metrics.timeline_omitted}" if metrics.timeline_omitted else ""
    return (
        f"{counted(len(spans), 'task')}{omitted} {where} in "
        f"{duration(max(span.end_s for span in spans))}"
    )
