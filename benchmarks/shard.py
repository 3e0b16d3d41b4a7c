"""One sharded gradient job on one and two workers, beside hand-written Ray and other peers.

The same mathematics on the same shards, one BLAS thread a task, and the data resident with whoever
computes; what is timed is weights in, value and gradient out, in the calling process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from statistics import median

import numpy as np

import pullback as pb
from benchmarks.classifier import NAMES, NDArray, Sizes, loss
from benchmarks.classifier_by_hand import Shard, shards_of
from benchmarks.hand_written_ray import Group, ray_of
from benchmarks.report import Figure, Goal, Report, Request
from benchmarks.shard_peers import Gradient, shard_peers
from benchmarks.timing import Samples, interleaved
from examples.server_process import running_server

WORKERS = (1, 2)
SHARDS = 4
WARM_ROUNDS = 8
"""Until our workers have settled on an executor for what they run over and over."""
SPEED_UP = Goal("at_least", 0.97)
OVERHEAD = Goal("at_most", 5.0)
GOALS = {"Dask distributed": Goal("at_most", 1.0)}
OURS, THEIRS = "Pullback", "hand-written Ray"


def run(request: Request) -> Report:
    """Measure both on both numbers of workers."""
    sizes = Sizes(2_000, 16, 16, 10) if request.quick else Sizes(60_000, 256, 256, 10)
    rounds = 1 if request.quick else 9
    shards = shards_of(*sizes.data(), SHARDS)
    with ExitStack() as stack:
        theirs = _theirs(stack, shards)  # first: a Ray is started by forking, best with no threads
        rivals = {f"{OURS}, {n} worker(s)": _ours(stack, n, sizes) for n in WORKERS} | theirs
        peers, left_out = shard_peers(stack, max(WORKERS), shards)
        rivals |= peers
        _compare(rivals, sizes.weights(0))
        seeds = count(1)
        warm = 1 if request.quick else WARM_ROUNDS
        calls = {name: _call(rival, sizes, seeds, rounds + warm) for name, rival in rivals.items()}
        samples = interleaved(calls, rounds, warm=warm)
    workload = [
        f"value and gradient of a classifier: {sizes.rows:,} rows of {sizes.inputs} inputs, "
        f"{sizes.hidden} tanh units, {sizes.classes} classes, float64; {SHARDS} shards",
        "data resident (by hash; held by the actors), new weights every call, one BLAS thread a "
        "task; results equal to 1e-9 before they were timed",
        f"{rounds} round(s) interleaved after {warm} warm-up(s); medians, ratios within rounds",
    ]
    return Report("shard", "", workload, _figures(samples, tuple(peers)), left_out)


def _ours(stack: ExitStack, workers: int, sizes: Sizes) -> Gradient:
    """A server with so many workers, and its gradient."""
    server = stack.enter_context(running_server("--workers", str(workers)))
    service = stack.enter_context(pb.connect(server.address))
    server.wait_for_workers(workers)
    x, y = sizes.data()
    held = {"x": service.put(x), "y": service.put(y)}
    graph = pb.trace(loss, *sizes.weights(0), x, y)

    def gradient(weights: Sequence[NDArray]) -> tuple[float, Sequence[NDArray]]:
        inputs = {**dict(zip(NAMES, weights, strict=True)), **held}
        result = service.gradient(graph, inputs, NAMES, split=f"shard({SHARDS})")
        (value,) = result.outputs.values()
        return float(value), [result.gradients[name] for name in NAMES]

    return gradient


def _theirs(stack: ExitStack, shards: Sequence[Shard]) -> dict[str, Gradient]:
    """The hand-written groups, in a Ray of their own."""
    stack.enter_context(ray_of(sum(WORKERS) + max(WORKERS)))  # those of the ActorPool too
    groups = {n: Group(n, shards) for n in WORKERS}
    return {f"{THEIRS}, {n} worker(s)": group.value_and_gradient for n, group in groups.items()}


def _compare(rivals: dict[str, Gradient], weights: Sequence[NDArray]) -> None:
    """Insist that all give the same."""
    (_, (value, gradient)), *others = [(name, rival(weights)) for name, rival in rivals.items()]
    for name, (other_value, other) in others:
        np.testing.assert_allclose(other_value, value, rtol=1e-9, err_msg=name)
        for mine, its in zip(gradient, other, strict=True):
            np.testing.assert_allclose(its, mine, rtol=1e-9, atol=1e-12, err_msg=name)


def _call(rival: Gradient, sizes: Sizes, seeds: Iterator[int], calls: int) -> Callable[[], object]:
    """A call at weights nobody has seen before; they are made now, not while the clock runs."""
    weights = iter([sizes.weights(next(seeds)) for _ in range(calls)])
    return lambda: rival(next(weights))


def _figures(samples: Samples, peers: Sequence[str]) -> list[Figure]:
    one, two = WORKERS
    figures = [Figure(name, 1e3 * samples.median_s(name), "ms") for name in samples.names]
    speed_ups = {
        who: samples.ratios(f"{who}, {one} worker(s)", f"{who}, {two} worker(s)")
        for who in (OURS, THEIRS)
    }
    for who, ratios in speed_ups.items():
        figures.append(Figure(f"{who}: speed-up from {one} to {two}", median(ratios), "x"))
    relative = median(a / b for a, b in zip(*speed_ups.values(), strict=True))
    figures.append(Figure(f"speed-up over {THEIRS}'s", relative, "x", SPEED_UP))
    for name in peers:
        ratio = samples.ratio(f"{OURS}, {two} worker(s)", name)
        figures.append(Figure(f"{OURS} on {two} workers over {name}", ratio, "x", GOALS.get(name)))
    for n in WORKERS:
        more = samples.ratio(f"{OURS}, {n} worker(s)", f"{THEIRS}, {n} worker(s)") - 1.0
        figures.append(Figure(f"overhead on {n} worker(s)", 100.0 * more, "%", OVERHEAD))
    return figures
