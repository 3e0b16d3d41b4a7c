"""The job that a command line asks for: a graph, what is wanted of it, its inputs and options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pullback.command_line.flags import WantName
from pullback.command_line.graph_file import read_graph
from pullback.command_line.options import read_options
from pullback.command_line.values import input_dtypes, read_texts
from pullback.command_line.wants import make_want, read_seeds
from pullback.remote.descriptions import PlanReport
from pullback_graph.graph import Graph
from pullback_graph.job import Result
from pullback_graph.want import Want


@dataclass(frozen=True, slots=True)
class AskedJob:
    """What the flags say, read and checked."""

    graph: Graph
    want: Want
    seeds: list[dict[str, Any]]
    options: dict[str, Any]
    inputs: dict[str, Any]

    def evaluate(self, service: Any, **options: Any) -> Result:
        """Run it, with further options."""
        result: Result = service.evaluate(
            self.graph,
            self.inputs,
            want=self.want,
            seeds=self.seeds,
            **{**self.options, **options},
        )
        return result

    def plan(self, service: Any) -> PlanReport:
        """What a service would do with it."""
        report: PlanReport = service.plan(
            self.graph, want=self.want, seeds=self.seeds, **self.options
        )
        return report


def read_job(
    graph: str,
    *,
    input: Sequence[str] | None = None,
    gradient: Sequence[str] | None,
    want: WantName | None,
    wrt: Sequence[str] | None,
    of: Sequence[str] | None,
    seed: Sequence[str] | None,
    sparse: bool,
    option: Sequence[str] | None,
) -> AskedJob:
    """The job of the flags of those names.

    Raises:
        RequestError: one of them is at fault; the message says which.
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
    return AskedJob(program, wanted, seeds, read_options(option or ()), inputs)
