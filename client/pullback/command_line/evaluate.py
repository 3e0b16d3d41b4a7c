"""`pullback eval`: one job, from files and flags to a result on the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pullback.command_line import flags
from pullback.command_line.asked_job import read_job
from pullback.command_line.chrome_trace import save_trace
from pullback.command_line.printing import (
    metrics_text,
    named_arrays,
    result_json,
    result_text,
    save_npz,
)


def evaluate(
    graph: flags.GraphFile,
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
    as_json: flags.Json = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.npz", help="Save the arrays.")
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(
            "--trace", metavar="FILE.json", help="Save when each task ran, for ui.perfetto.dev."
        ),
    ] = None,
    metrics: Annotated[bool, typer.Option("--metrics", help="Say what the job cost.")] = False,
) -> None:
    """Evaluate a graph, or a derivative of it.

    pullback eval square.graph --input x=3.0 --gradient x --local
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
    wanted = job.want
    with flags.open_service(server, local) as service:
        result = job.evaluate(service, **({"timeline": True} if trace is not None else {}))
    if trace is not None:
        save_trace(trace, result.metrics)
    if output is not None:
        save_npz(output, dict(named_arrays(result, wanted)))
    typer.echo(json.dumps(result_json(result, wanted)) if as_json else result_text(result, wanted))
    if metrics and not as_json:
        typer.echo(metrics_text(result.metrics), err=True)
