"""One case in a process of its own, so that no peer's threads or settings reach another case.

`python -m benchmarks.case_process NAME SIZE BUDGET_S` holds the contest;
`python -m benchmarks.case_process NAME SIZE first RIVAL` times one rival's way to its first result.
The last line printed is JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from typing import Any

from benchmarks.contest import OURS, Case, Outcome, Row, Target, Verdict, flat, hold
from benchmarks.workloads import TABLE

LIMIT_S = 400.0
"""A case that takes longer has failed."""
POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
MODULES = {"JAX": ("jax",), "PyTorch": ("torch",), "autograd": ("autograd",), "CasADi": ("casadi",)}
"""What a first gradient finds imported already: nobody's import is timed."""


class CaseFailed(Exception):
    """The process of a case ended without a result; the message has its last words."""


def held_apart(name: str, size: str, budget_s: float, threads: int) -> Outcome:
    """The outcome of a case, held in a process of its own.

    Raises:
        CaseFailed: it gave none, or took too long.
    """
    return _outcome(_asked([name, size, str(budget_s)], threads))


def first_s(name: str, size: str, rival: str, threads: int) -> float:
    """Seconds from a function and its data to the first result, in a fresh process.

    Raises:
        CaseFailed: it gave none, or took too long.
    """
    return float(_asked([name, size, "first", rival], threads)["seconds"])


def case_of(name: str, size: str) -> Case:
    """A workload's case at one of its sizes."""
    workload = TABLE[name]
    return workload.case(workload.size(size))


# --- on this side ---------------------------------------------------------------------------------


def _asked(arguments: Sequence[str], threads: int) -> Any:
    command = [sys.executable, "-m", "benchmarks.case_process", *arguments]
    pools = {pool: str(threads) for pool in POOLS}
    environment = {**os.environ, **pools, "PULLBACK_BENCHMARK_CPUS": str(threads)}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT_S, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        raise CaseFailed(f"no result after {LIMIT_S:.0f} s") from None
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        words = done.stderr.strip().splitlines()[-1:] or ["nothing was said"]
        raise CaseFailed(f"ended with status {done.returncode}: {words[0]}")
    return json.loads(lines[-1])


def _outcome(found: Any) -> Outcome:
    """An outcome read back from JSON."""
    verdicts = [
        Verdict(Target(**_tuples(item["target"])), item["peer"], item["ratio"])
        for item in found["verdicts"]
    ]
    return Outcome([Row(**row) for row in found["rows"]], verdicts, found["ratios"])


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(x) if isinstance(x, list) else x for name, x in fields.items()}


# --- in the process -------------------------------------------------------------------------------


def _written(outcome: Outcome) -> dict[str, Any]:
    verdicts = [
        {"target": v.target._asdict(), "peer": v.peer, "ratio": v.ratio} for v in outcome.verdicts
    ]
    rows = [asdict(row) for row in outcome.rows]
    return {"rows": rows, "verdicts": verdicts, "ratios": outcome.ratios}


def _first(name: str, size: str, rival_name: str) -> dict[str, float]:
    """Time making and calling one rival, with what it imports imported."""
    case = case_of(name, size)
    rival = next(rival for rival in case.rivals if rival.name == rival_name)
    for module in MODULES.get(rival.family, ()):
        import_module(module)
    if rival.family == "JAX":
        jax = import_module("benchmarks.libraries.jax_peer").library()
        jax.block_until_ready(jax.numpy.zeros(3) + 1.0)
    if rival.family == OURS:
        import_module("pullback").grad(lambda x: x * x)(1.0)
    start = time.perf_counter()
    flat(rival.make()())
    return {"seconds": time.perf_counter() - start}


def _keep_to(cpus: int) -> None:
    """Run on so many processors; every library's pool counts those."""
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, set(allowed[:cpus]))


def main() -> None:
    """Answer for one case."""
    warnings.simplefilter("ignore")
    _keep_to(int(os.environ.get("PULLBACK_BENCHMARK_CPUS", os.cpu_count() or 1)))
    name, size, what = sys.argv[1:4]
    found = (
        _first(name, size, sys.argv[4])
        if what == "first"
        else _written(hold(case_of(name, size), float(what)))
    )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
