"""The engine beside its peers: every workload, its implementations compared and then timed in turn.

A case is held in a process of its own, on as many processors as all its rivals are given. Where a
workload says so, the time to a first gradient is measured too, each in a fresh process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from statistics import median

from benchmarks.case_process import CaseFailed, case_of, first_s, held_apart
from benchmarks.contest import OURS, Outcome
from benchmarks.engine_report import EngineReport, FirstTimes, Section
from benchmarks.report import Request
from benchmarks.workloads import TABLE

PEERS = ("jax", "torch", "autograd", "casadi", "numba")
FIRST_ROUNDS = 3
FIRST_FAMILIES = (OURS, "JAX", "PyTorch")
FIRST_BOUND = 0.5
"""Our time to a first gradient, over JAX's."""
QUICK_BUDGET_S = 0.5


def run(request: Request) -> EngineReport:
    """Hold every case asked for.

    Raises:
        KeyError: a workload named is none; the message lists those there are.
    """
    names = request.only or tuple(TABLE)
    unknown = [name for name in names if name not in TABLE]
    if unknown:
        raise KeyError(f"no workload {unknown[0]!r}; known: {', '.join(TABLE)}")
    threads = request.threads or len(os.sched_getaffinity(0))
    sections = [section for name in names for section in _sections(name, threads, request.quick)]
    return EngineReport(
        name="engine",
        command="",
        workload=[
            f"{threads} thread(s) for every library; a process for each table; one run",
            "results compared before they are timed; rounds interleaved; medians, and ratios "
            "within rounds",
            *[f"{name} {_version(name)}" for name in PEERS],
        ],
        figures=(),
        left_out=[line for section in sections for line in section.left_out],
        sections=sections,
    )


def _sections(name: str, threads: int, quick: bool) -> Iterator[Section]:
    workload = TABLE[name]
    for size in ("quick",) if quick else workload.sizes:
        case = case_of(name, size)
        title = f"{workload.title}: {case.name}" if case.name else workload.title
        _say(title)
        try:
            budget_s = QUICK_BUDGET_S if quick else workload.budget_s
            outcome, fault = held_apart(name, size, budget_s, threads), ""
        except CaseFailed as error:
            outcome, fault = Outcome([], []), str(error)
        first = None
        if size == (workload.first and ("quick" if quick else workload.first)):
            first = _first(name, size, threads, rounds=1 if quick else FIRST_ROUNDS)
        left_out = tuple([f"{name}: {line}" for line in case.left_out])
        yield Section(name, title, case.about, outcome, fault, left_out, first)


def _first(name: str, size: str, threads: int, rounds: int) -> FirstTimes:
    """Seconds to a first gradient of ours and of two peers, in turn."""
    rivals: dict[str, str] = {}
    for rival in case_of(name, size).rivals:
        if rival.family in FIRST_FAMILIES:
            rivals.setdefault(rival.family, rival.name)
    seconds: dict[str, list[float]] = {who: [] for who in rivals.values()}
    for _ in range(rounds):
        for who, own in seconds.items():
            _say(f"  first gradient: {who}")
            try:
                own.append(first_s(name, size, who, threads))
            except CaseFailed as error:
                _say(f"  {error}")
    medians = {who: median(own) for who, own in seconds.items() if own}
    return FirstTimes(medians, OURS, rivals.get("JAX", ""), FIRST_BOUND)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed (pip install --group peers)"
