"""`pullback plan`: what a server would do with a job, without doing it."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from pullback.command_line import flags
from pullback.command_line.asked_job import read_job
from pullback.command_line.plan_drawing import draw_plan
from pullback.command_line.plan_table import report_text
from pullback.job_arguments import make_job
from pullback.remote.descriptions import PlanReport, parse_plan
from pullback_graph.codec import encode_job
from pullback_graph.errors import RequestError
from pullback_graph.job import Job

PLANNERS = "pullback.planners"
"""The entry point group of planners: functions from a serialised Job to a serialised PlanReply."""


def plan(
    graph: flags.GraphFile,
    gradient: flags.Gradient = None,
    want: flags.Want = None,
    wrt: flags.Wrt = None,
    of: flags.Of = None,
    seed: flags.Seeds = None,
    sparse: flags.Sparse = False,
    option: flags.OptionPairs = None,
    server: flags.Server = None,
    local: Annotated[
        bool, typer.Option("--local", help="Plan in this process, as a server would.")
    ] = False,
    draw: Annotated[
        Path | None, typer.Option("--draw", metavar="FILE.svg", help="Draw the tasks.")
    ] = None,
    as_json: flags.Json = False,
) -> None:
    """Say what the server would do with a job: its split, its tasks, its cost.

    pullback plan loss.graph --gradient w --option "split=shard(4)" --draw plan.svg
    """
    job = read_job(
        graph,
        gradient=gradient,
        want=want,
        wrt=wrt,
        of=of,
        seed=seed,
        sparse=sparse,
        option=option,
    )
    if local:
        asked = make_job(job.graph, {}, want=job.want, seeds=job.seeds, options=job.options)
        report = plan_here(asked)
    else:
        with flags.open_service(server) as service:
            report = job.plan(service)
    if draw is not None:
        _write(draw, draw_plan(report))
    typer.echo(json.dumps(asdict(report)) if as_json else report_text(report))


def plan_here(job: Job) -> PlanReport:
    """The report of the planner that is installed here.

    Raises:
        RequestError: none is, or the job is at fault.
    """
    for entry in entry_points(group=PLANNERS):
        planner = entry.load()
        return parse_plan(planner(encode_job(job)), "this process")
    raise RequestError(
        "--local needs the planner, which comes with the server; run: "
        "pip install 'pullback[server]', or name a --server",
        field="--local",
    )


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RequestError(f"{path} cannot be written: {error.strerror}", field="--draw") from None
