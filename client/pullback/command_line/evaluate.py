"""`pullback eval`: one job, from files and flags to a result on the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pullback.command_line import flags
from pullback.command_line.chrome_trace import save_trace
from pullback.command_line.graph_file import read_graph
from pullback.command_line.options import read_options
from pullback.command_line.printing import (
    metrics_text,
    named_arrays,
    result_json,
    result_text,
    save_npz,
)
from pullback.command_line.values import input_dtypes, read_texts
from pullback.command_line.wants import make_want, read_seeds


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
    program = read_graph(graph)
    inputs = read_texts(input or (), input_dtypes(program), "--input")
    seeds = read_seeds(program, want, seed or ())
    wanted = make_want(
        program,
        want,
        gradient=gradient or (),
        wrt=wrt or (),
        of=of or (),
        seeds=seeds,
        sparse=sparse,
    )
    options = read_options(option or ())
    if trace is not None:
        options["timeline"] = True
    with flags.open_service(server, local) as service:
        result = service.evaluate(program, inputs, want=wanted, seeds=seeds, **options)
    if trace is not None:
        save_trace(trace, result.metrics)
    if output is not None:
        save_npz(output, dict(named_arrays(result, wanted)))
    typer.echo(json.dumps(result_json(result, wanted)) if as_json else result_text(result, wanted))
    if metrics and not as_json:
        typer.echo(metrics_text(result.metrics), err=True)
