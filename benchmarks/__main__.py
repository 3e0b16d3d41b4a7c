"""`python -m benchmarks NAME`: runs one benchmark and prints its report; `--help` lists them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from benchmarks import (
    crowd,
    engine,
    faults,
    large_parameters,
    memory,
    predictions,
    scale,
    service,
    shard,
    splits,
)
from benchmarks.machine import machine
from benchmarks.report import Report, Request, show


class Benchmark(NamedTuple):
    """One row: how a benchmark is run, and what it measures."""

    run: Callable[[Request], Report]
    summary: str


TABLE: dict[str, Benchmark] = {
    "crowd": Benchmark(crowd.run, "small jobs on the workers beside a huge one"),
    "engine": Benchmark(engine.run, "every executor beside JAX, PyTorch, autograd and CasADi"),
    "faults": Benchmark(faults.run, "jobs on workers while processes are killed under them"),
    "memory": Benchmark(memory.run, "jobs of ten times what a worker may take"),
    "parameters": Benchmark(large_parameters.run, "bytes moved for 200 MB of parameters, and time"),
    "predictions": Benchmark(predictions.run, "what plans predict beside what jobs take"),
    "scale": Benchmark(scale.run, "the scheduler with a million tasks in virtual time"),
    "service": Benchmark(service.run, "latency of a tiny job beside a bare echo; jobs/s of map"),
    "shard": Benchmark(shard.run, "one sharded job beside hand-written Ray, Dask and joblib"),
    "splits": Benchmark(splits.run, "branches, stages, batches and Jacobians over workers"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark named on the command line; 0 whether or not its goals are met."""
    listed = "\n".join(f"  {name:10} {row.summary}" for name, row in TABLE.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"benchmarks:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=TABLE)
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all")
    parser.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write JSON, to FILE or in place of all",
    )
    parser.add_argument("--markdown", metavar="FILE", help="write the tables as Markdown too")
    parser.add_argument("--only", default="", metavar="NAMES", help="some workloads, by ,")
    parser.add_argument("--threads", type=int, default=0, help="engine: for every library")
    options = parser.parse_args(arguments)
    about = machine()
    chosen = tuple([name for name in options.only.split(",") if name])
    report = replace(
        TABLE[options.name].run(Request(options.quick, chosen, options.threads)),
        command=" ".join(["python -m benchmarks", *(arguments or sys.argv[1:])]),
        machine=about,
    )
    _write(report, options.json, options.markdown)
    return 0


def _write(report: Report, json_file: str | None, markdown_file: str | None) -> None:
    """Print the report, or its JSON; write what is asked for into files."""
    text = json.dumps(report.as_dict(), indent=1, ensure_ascii=False)
    if json_file == "-":
        print(text)
    else:
        show(report, Console())
    if json_file not in (None, "-"):
        Path(json_file or "").write_text(text + "\n")
    if markdown_file is not None:
        Path(markdown_file).write_text("\n".join(report.markdown()) + "\n")


if __name__ == "__main__":
    sys.exit(main())
