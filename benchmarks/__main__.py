"""`python -m benchmarks NAME [--quick] [--json]`: runs one benchmark and prints its report."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from rich.console import Console

from benchmarks import service, shard
from benchmarks.machine import machine
from benchmarks.report import Report, show


class Benchmark(NamedTuple):
    """One row: how a benchmark is run, and what it measures."""

    run: Callable[[bool], Report]
    summary: str


TABLE: dict[str, Benchmark] = {
    "service": Benchmark(service.run, "latency of a tiny job beside a bare echo; jobs/s of map"),
    "shard": Benchmark(shard.run, "one sharded job beside hand-written Ray with NumPy"),
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
    parser.add_argument("--json", action="store_true", help="print JSON, not a table")
    options = parser.parse_args(arguments)
    about = machine()
    report = replace(
        TABLE[options.name].run(options.quick),
        command=" ".join(["python -m benchmarks", *(arguments or sys.argv[1:])]),
        machine=about,
    )
    if options.json:
        print(json.dumps(report.as_dict(), indent=1, ensure_ascii=False))
    else:
        show(report, Console())
    return 0


if __name__ == "__main__":
    sys.exit(main())
