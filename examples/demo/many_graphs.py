"""Ten thousand graphs in one batch, a few of them broken: typed errors in place, the rest go on.

Graphs are expressions made at random, of 200 structures and ten sets of constants each; every job
has a point of its own.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy
from rich.markup import escape
from rich.table import Table

import pullback as pb
import pullback.numpy as np
from examples.demo.stage import Stage

COUNT = 10_000
STRUCTURES = 200
GRAPHS = 2_000
COMPARED = 100

Item: TypeAlias = "tuple[pb.Graph, Mapping[str, Any], pb.Gradient]"
UNARY: tuple[Callable[[Any], Any], ...] = (
    np.tanh,
    np.sin,
    np.cos,
    np.square,
    np.sigmoid,
    np.softplus,
    lambda x: np.exp(-(x**2)),
    lambda x: np.sqrt(1.0 + x**2),
)
BINARY: tuple[Callable[[Any, Any], Any], ...] = (
    np.add,
    np.subtract,
    np.multiply,
    np.hypot,
    np.logaddexp,
    np.maximum,
)


class Structure(NamedTuple):
    """Which functions an expression applies, in order."""

    steps: tuple[tuple[int, int], ...]

    def graph(self, constants: Sequence[float]) -> pb.Graph:
        """The expression with these constants, one a step: x (3,), y () -> a scalar."""

        def expression(x: Any, y: Any) -> Any:
            value = x
            for (unary, binary), constant in zip(self.steps, constants, strict=True):
                value = BINARY[binary](UNARY[unary](value), constant * y)
            return np.sum(value)

        return pb.trace(expression, numpy.ones(3), 1.0)


class Breakage(NamedTuple):
    """One way to break a job, and the class of the error it must give."""

    error: type[pb.PullbackError]
    spoil: Callable[[Item], Item]


COUNTER = pb.trace(lambda n: n * n, 3)
BREAKAGES = (
    Breakage(pb.InputError, lambda item: (item[0], {"x": item[1]["x"]}, item[2])),
    Breakage(pb.InputError, lambda item: (item[0], {**item[1], "x": numpy.ones(4)}, item[2])),
    Breakage(pb.InputError, lambda item: (*item[:2], pb.Gradient(("z",)))),
    Breakage(pb.NonFiniteError, lambda item: (item[0], {**item[1], "y": numpy.nan}, item[2])),
    Breakage(pb.NotDifferentiable, lambda item: (COUNTER, {"n": 3}, pb.Gradient(("n",)))),
)


def run(stage: Stage) -> None:
    """Make them, send them, count what came back."""
    items, expected = batch()
    begun = time.monotonic()
    outcomes = list(stage.service.map(items, check="finite"))
    seconds = time.monotonic() - begun
    counts = Counter(type(outcome) for outcome in outcomes)
    distinct = len({graph.fingerprint for graph, *_ in items})
    stage.console.print(
        f"{len(items):,} jobs, {distinct:,} different graphs of {STRUCTURES} structures:\n"
        f"{seconds:.1f} s, {len(items) / seconds:,.0f} jobs/s, each with two gradients"
    )
    table = Table("error", "jobs", "for example", box=None, pad_edge=False)
    for kind, (number, error) in sorted(_examples(outcomes).items()):
        table.add_row(f"[red]{kind}[/]", f"{counts[type(error)]}", escape(f"job {number}: {error}"))
    stage.console.print(table)
    stage.claim(
        "order is kept, and just the broken jobs failed, each as it should",
        all(
            type(outcome) is (expected[number] or pb.Result)
            for number, outcome in enumerate(outcomes)
        ),
    )
    local = pb.local()
    same = all(
        numpy.allclose(outcome.gradients[name], array, rtol=1e-12)
        for item, outcome in list(zip(items, outcomes, strict=True))[:: COUNT // COMPARED]
        if isinstance(outcome, pb.Result)
        for name, array in local.evaluate(item[0], item[1], want=item[2]).gradients.items()
    )
    stage.claim(f"every {COUNT // COMPARED}th gradient is the one computed in this process", same)


def batch() -> tuple[list[Item], dict[int, type[pb.PullbackError] | None]]:
    """The jobs, and for each its error, or None for those that are well."""
    random = numpy.random.default_rng(0)
    structures = _structures(random)
    graphs = [
        structure.graph(random.uniform(0.1, 1.0, len(structure.steps)).tolist())
        for structure in structures * (GRAPHS // STRUCTURES)
    ]
    items: list[Item] = []
    for number in range(COUNT):
        inputs = {"x": random.normal(size=3), "y": random.normal()}
        items.append((graphs[number % GRAPHS], inputs, pb.Gradient(("x", "y"))))
    expected: dict[int, type[pb.PullbackError] | None] = dict.fromkeys(range(COUNT))
    for number in range(7, COUNT, COUNT // 50):
        breakage = BREAKAGES[number // (COUNT // 50) % len(BREAKAGES)]
        items[number], expected[number] = breakage.spoil(items[number]), breakage.error
    return items, expected


def _structures(random: numpy.random.Generator) -> list[Structure]:
    """STRUCTURES of them, no two alike."""
    found: dict[Structure, None] = {}
    while len(found) < STRUCTURES:
        length = int(random.integers(2, 5))
        unary = random.integers(len(UNARY), size=length).tolist()
        binary = random.integers(len(BINARY), size=length).tolist()
        found[Structure(tuple(zip(unary, binary, strict=True)))] = None
    return list(found)


def _examples(outcomes: Sequence[Any]) -> dict[str, tuple[int, pb.PullbackError]]:
    """The first error of each class, with its position."""
    found: dict[str, tuple[int, pb.PullbackError]] = {}
    for number, outcome in enumerate(outcomes):
        if isinstance(outcome, pb.PullbackError):
            found.setdefault(type(outcome).__name__, (number, outcome))
    return found
