"""`pullback plan`: what a server would do with a job, without doing it."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from pullback.command_line import flags
from pullback.command_line.graph_file import read_graph
from pullback.command_line.options import read_options
from pullback.command_line.wants import make_want, read_seeds
from pullback.remote.descriptions import PlanReport

_SHOWN_TASKS = 20


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
    as_json: flags.Json = False,
) -> None:
    """Say what the server would do with a job: its split, its tasks, its cost.

    pullback plan loss.graph --gradient w --option "split=shard(4)"
    """
    program = read_graph(graph)
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
    with flags.open_service(server) as service:
        report = service.plan(program, want=wanted, seeds=seeds, **read_options(option or ()))
    typer.echo(json.dumps(asdict(report)) if as_json else report_text(report))


def report_text(report: PlanReport) -> str:
    """A plan for people: the server's own words, then a line a task."""
    lines = [report.text] if report.text else []
    for number, task in enumerate(report.tasks[:_SHOWN_TASKS]):
        after = f" after {', '.join(map(str, task.depends_on))}" if task.depends_on else ""
        lines.append(
            f"  task {number}: {task.phase} on {task.placement}, {task.nodes} nodes, "
            f"{task.flops:.3g} FLOPs, {task.peak_bytes / 1e6:.3g} MB"
            f"{f' on {task.executor}' if task.executor else ''}{after}"
        )
    if len(report.tasks) > _SHOWN_TASKS:
        lines.append(f"  and {len(report.tasks) - _SHOWN_TASKS} tasks more; --json lists all")
    return "\n".join(lines)
