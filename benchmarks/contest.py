"""A contest: implementations of one computation, compared before they are timed.

A case names its rivals and the ratios they are held to. An implementation that cannot be made, that
fails or gives other numbers than the reference keeps its row, with the reason in place of its time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from benchmarks.timing import Samples, in_turn

NDArray: TypeAlias = "np.ndarray[Any, Any]"
Call: TypeAlias = Callable[[], Any]
"""A timed call; what it gives is arrays of some library, nested in tuples, lists or dicts."""

OURS = "Pullback"
CHECK = "check"
"""The family of what only checks the others: another algorithm, so no peer."""
ROUND_S = 0.03
"""Seconds that a fast implementation is called for in each round."""
ROUNDS = 11
PROBES = 5
REASON_LENGTH = 160


class Rival(NamedTuple):
    """One implementation: its name, whose it is, and how its timed call is made.

    Attributes:
        warm: what to do with a call before it is timed, where calling it twice is not enough.
        arrange: what to do with its result before it is compared, where its layout is another.
        partial: it gives the first of the arrays only.
        compared: False where it computes something else, for a goal that is about that.
    """

    name: str
    family: str
    make: Callable[[], Call]
    warm: Callable[[Call], None] | None = None
    arrange: Callable[[Any], Any] = lambda result: result
    partial: bool = False
    compared: bool = True


class Target(NamedTuple):
    """A goal: our headline implementation at most `bound` times the fastest of some families.

    Attributes:
        families: whose; none named means every peer's.
        ours: the implementation of ours that is held to it.
        peer: one implementation by name, where not the fastest is meant.
        seconds: the bound is a time, and no peer's.
    """

    bound: float
    families: tuple[str, ...] = ()
    ours: str = OURS
    peer: str = ""
    seconds: bool = False

    @property
    def label(self) -> str:
        """The goal in words."""
        if self.seconds:
            return f"{self.ours} ≤ {self.bound:g} s"
        other = self.peer or " or ".join(self.families) or "the best peer"
        return f"{self.ours} ≤ {self.bound:g} × {other}"


@dataclass(frozen=True)
class Case:
    """One workload at one size.

    Attributes:
        about: what is computed, enough to judge the figures by.
        rivals: the first that works is the reference the others are compared with.
        tolerance: relative, and absolute in units of the reference's largest element.
        left_out: peers that take no part, and why.
    """

    name: str
    about: str
    rivals: Sequence[Rival]
    targets: Sequence[Target] = ()
    tolerance: float = 1e-8
    left_out: Sequence[str] = ()


@dataclass
class Row:
    """What became of one implementation: seconds, or the reason why there are none."""

    name: str
    family: str
    median_s: float | None = None
    calls: int = 0
    reason: str = ""


@dataclass
class Verdict:
    """A target's ratio (or seconds), and against whom; None where one side has no time."""

    target: Target
    peer: str = ""
    ratio: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether the goal is reached."""
        return self.ratio is not None and self.ratio <= self.target.bound


@dataclass
class Outcome:
    """The rows and verdicts of one case, and ours over each peer's time (rounds' median)."""

    rows: list[Row]
    verdicts: list[Verdict]
    ratios: dict[str, float] = field(default_factory=dict)


def hold(case: Case, budget_s: float) -> Outcome:
    """Make, compare and time the rivals of a case, in about `budget_s` seconds of timing."""
    rows = {rival.name: Row(rival.name, rival.family) for rival in case.rivals}
    calls = dict(_ready(case, rows))
    samples = _timed(calls, budget_s)
    for name in samples.names:
        rows[name].median_s = samples.median_s(name)
        rows[name].calls = len(samples.all(name))
    return Outcome(
        list(rows.values()),
        [_verdict(target, rows, samples) for target in case.targets],
        _ratios(rows, samples),
    )


# --- ready ----------------------------------------------------------------------------------------


def _ready(case: Case, rows: Mapping[str, Row]) -> Iterator[tuple[str, Call]]:
    """The calls that work and agree, with reasons written into the rows of the others."""
    reference: list[NDArray] | None = None
    for rival in case.rivals:
        try:
            call = rival.make()
            found = flat(rival.arrange(call()))
        except Exception as error:  # whatever a peer raises is its row's reason
            rows[rival.name].reason = _reason(error)
            continue
        reference = found if reference is None else reference
        wanted = reference[: len(found)] if rival.partial else reference
        fault = difference(found, wanted, case.tolerance) if rival.compared else ""
        if fault:
            rows[rival.name].reason = f"wrong result: {fault}"
            continue
        if rival.warm is not None:
            rival.warm(call)
        yield rival.name, call


def _reason(error: Exception) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= REASON_LENGTH else text[: REASON_LENGTH - 1] + "…"


def flat(result: Any) -> list[NDArray]:
    """The arrays of a result, in order, as NumPy arrays."""
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, tuple | list):
        return [array for item in result for array in flat(item)]
    if hasattr(result, "detach"):
        result = result.detach().cpu()
    return [np.asarray(result)]


def difference(found: Sequence[NDArray], wanted: Sequence[NDArray], tolerance: float) -> str:
    """How two results differ, in words; empty where they agree."""
    if len(found) != len(wanted):
        return f"{len(found)} arrays, not {len(wanted)}"
    for place, (mine, its) in enumerate(zip(found, wanted, strict=True)):
        if mine.size != its.size:
            return f"array {place} has shape {mine.shape}, not {its.shape}"
        mine = mine.reshape(its.shape)
        scale = float(np.max(np.abs(its), initial=0.0, where=np.isfinite(its)))
        if not np.allclose(mine, its, rtol=tolerance, atol=tolerance * scale, equal_nan=True):
            worst = float(np.nanmax(np.abs(mine - its)))
            return f"array {place} is off by {worst:.2g} where its largest element is {scale:.2g}"
    return ""


# --- timed ----------------------------------------------------------------------------------------


def _timed(calls: Mapping[str, Call], budget_s: float) -> Samples:
    """Seconds of each call; slow ones take part in fewer rounds, so that the budget holds."""
    seconds = {name: _once_s(call) for name, call in calls.items()}
    share_s = budget_s / max(1, len(calls))
    counts = {name: min(1000, ceil(ROUND_S / max(s, 1e-7))) for name, s in seconds.items()}
    rounds = {
        name: max(1, min(ROUNDS, int(share_s / (counts[name] * s)))) for name, s in seconds.items()
    }
    return in_turn(calls, rounds, counts)


def _once_s(call: Call) -> float:
    """Seconds of a call that is no longer the first: the best of a few where they are short."""
    best_s = float("inf")
    for _ in range(PROBES):
        start = time.perf_counter()
        call()
        best_s = min(best_s, time.perf_counter() - start)
        if best_s > ROUND_S:
            break
    return best_s


def _verdict(target: Target, rows: Mapping[str, Row], samples: Samples) -> Verdict:
    if target.seconds:
        return Verdict(target, "", rows[target.ours].median_s)
    peers = [row for row in rows.values() if row.median_s is not None and _is_peer(row, target)]
    if not peers or target.ours not in samples.names:
        return Verdict(target)
    best = min(peers, key=lambda row: row.median_s or 0.0)
    return Verdict(target, best.name, samples.ratio(target.ours, best.name))


def _is_peer(row: Row, target: Target) -> bool:
    """Whether a goal is about this implementation."""
    if target.peer:
        return row.name == target.peer
    return row.family not in (OURS, CHECK) and (
        not target.families or row.family in target.families
    )


def _ratios(rows: Mapping[str, Row], samples: Samples) -> dict[str, float]:
    """Our headline implementation over each other, by name."""
    if OURS not in samples.names:
        return {}
    return {name: samples.ratio(OURS, name) for name in samples.names}
