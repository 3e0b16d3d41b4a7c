"""Every kind of split on the graphs it is for: on one worker, on two, and unsplit in this process.

What the planner chooses by itself, with predictions beside what was measured. Data resident, new
parameters every call, one BLAS thread a task; results compared with the unsplit ones beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from itertools import count
from statistics import median
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from threadpoolctl import threadpool_limits

import pullback as pb
import pullback.numpy as pnp
from benchmarks.report import Figure, Goal, Report, Request
from benchmarks.timing import Samples, interleaved
from examples.server_process import running_server

NDArray: TypeAlias = "np.ndarray[Any, Any]"
Arrays: TypeAlias = "dict[str, NDArray]"
WORKERS = (1, 2)
WARM_ROUNDS = 8
"""Until the executors of what is run over and over have settled."""
WITHIN = Goal("at_most", 2.0)
"""A prediction, over what was measured, or the other way round."""
SAME = 1e-9


class Sizes(NamedTuple):
    """How much of everything: terms or layers, rows, and columns."""

    depth: int
    rows: int
    columns: int


class Case(NamedTuple):
    """One row: a function of parameters and data, and its sizes.

    Attributes:
        parameters, data: drawn from a generator; the parameters anew for every call.
        whole: the wanted derivative is the Jacobian; else value and gradient by the parameters.
    """

    title: str
    function: Callable[..., Any]
    parameters: Callable[[Any, Sizes], Arrays]
    data: Callable[[Any, Sizes], Arrays]
    sizes: Sizes
    quick: Sizes
    whole: bool = False


# --- the graphs -----------------------------------------------------------------------------------


def likelihood(theta: Any, data: Any) -> Any:
    """A sum of as many terms as there is data, of three different kinds, not one loop over them."""
    total = 0.0
    for k in range(data.shape[0]):
        z = data[k] @ theta
        total = total + (pnp.mean(pnp.log1p(pnp.exp(z))) if k % 3 else pnp.mean(pnp.tanh(z) ** 2))
    return total


def residual_network(w: Any, x: Any) -> Any:
    """Layers with a way around each."""
    for k in range(w.shape[0]):
        x = x + 0.1 * pnp.tanh(x @ w[k])
    return pnp.mean(x**2)


def recurrent_network(w: Any, u: Any, x: Any) -> Any:
    """Gated steps written out, with the same weights in each."""
    state = pnp.zeros((x.shape[1], u.shape[0]))
    for k in range(x.shape[0]):
        gate = 1.0 / (1.0 + pnp.exp(-(x[k] @ w + state @ u)))
        state = gate * pnp.tanh(x[k] @ w) + (1.0 - gate) * state
    return pnp.mean(state**2)


def contrastive(w: Any, x: Any, y: Any) -> Any:
    """Each row against all others: the batch stands on both axes of the scores."""
    a, b = pnp.tanh(x @ w), pnp.tanh(y @ w)
    scores = a @ b.T
    return pnp.mean(pnp.logsumexp(scores, axis=1)) - pnp.mean(pnp.sum(a * b, axis=1))


def curves(theta: Any, t: Any) -> Any:
    """As many values as rows, each of all parameters: a tall dense Jacobian."""
    return pnp.sum(pnp.sin(t[:, None] * theta) * pnp.exp(-theta * theta), axis=1)


def _normal(scale: float, **shapes: Callable[[Sizes], tuple[int, ...]]) -> Callable[..., Arrays]:
    """Arrays by name, normally distributed."""
    return lambda random, sizes: {
        name: random.normal(0.0, scale, shape(sizes)) for name, shape in shapes.items()
    }


CASES = (
    Case(
        "likelihood of 1,000 terms",
        likelihood,
        _normal(0.1, theta=lambda s: (s.columns, s.columns)),
        _normal(1.0, data=lambda s: (s.depth, s.rows, s.columns)),
        Sizes(1000, 300, 50),
        Sizes(12, 20, 3),
    ),
    Case(
        "residual network",
        residual_network,
        _normal(0.05, w=lambda s: (s.depth, s.columns, s.columns)),
        _normal(1.0, x=lambda s: (s.rows, s.columns)),
        Sizes(24, 2000, 256),
        Sizes(4, 20, 4),
    ),
    Case(
        "recurrent network, 64 steps",
        recurrent_network,
        _normal(0.1, w=lambda s: (s.columns // 2, s.columns), u=lambda s: (s.columns, s.columns)),
        _normal(1.0, x=lambda s: (s.depth, s.rows, s.columns // 2)),
        Sizes(64, 512, 128),
        Sizes(3, 8, 4),
    ),
    Case(
        "contrastive loss",
        contrastive,
        _normal(0.1, w=lambda s: (s.columns, s.columns)),
        _normal(1.0, x=lambda s: (s.rows, s.columns), y=lambda s: (s.rows, s.columns)),
        Sizes(1, 3000, 128),
        Sizes(1, 20, 4),
    ),
    Case(
        "Jacobian of 20,000 × 200",
        curves,
        _normal(1.0, theta=lambda s: (s.columns,)),
        _normal(1.0, t=lambda s: (s.rows,)),
        Sizes(1, 20_000, 200),
        Sizes(1, 30, 4),
        whole=True,
    ),
)


# --- the run --------------------------------------------------------------------------------------


def run(request: Request) -> Report:
    """Measure every case."""
    rounds, warm = (1, 1) if request.quick else (5, WARM_ROUNDS)
    figures: list[Figure] = []
    with ExitStack() as stack:
        services = {n: _service(stack, n) for n in WORKERS}
        for case in CASES:
            sizes = case.quick if request.quick else case.sizes
            figures += _held(case, sizes, services, rounds, warm)
    workload = [
        *[f"{case.title}: {(case.function.__doc__ or '').splitlines()[0]}" for case in CASES],
        f"results equal to {SAME:g} before they were timed; {rounds} round(s) interleaved after "
        f"{warm} warm-up(s); medians, ratios within rounds",
    ]
    return Report("splits", "", workload, figures)


def _service(stack: ExitStack, workers: int) -> Any:
    server = stack.enter_context(running_server("--workers", str(workers)))
    server.wait_for_workers(workers)
    return stack.enter_context(pb.connect(server.address))


def _held(
    case: Case, sizes: Sizes, services: Mapping[int, Any], rounds: int, warm: int
) -> Sequence[Figure]:
    """The figures of one case."""
    random = np.random.default_rng(0)
    data, first = case.data(random, sizes), case.parameters(random, sizes)
    graph = pb.trace(case.function, **first, **data)
    want = pb.Jacobian(tuple(first)) if case.whole else pb.Gradient(tuple(first))
    with pb.local() as here:
        calls = {"in this process": _call(here, graph, want, data)}
        for n, service in services.items():
            held = {name: service.put(array) for name, array in data.items()}
            calls[f"{n} worker(s)"] = _call(service, graph, want, held)
        _compare(calls, first)
        drawn = [case.parameters(random, sizes) for _ in range((rounds + warm) * len(calls))]
        number = count()
        timed = {
            name: (lambda call=call: call(drawn[next(number)])) for name, call in calls.items()
        }
        with threadpool_limits(1):  # of this process; workers have theirs
            samples = interleaved(timed, rounds, warm=warm)
    plan = services[WORKERS[-1]].plan(graph, want=want)
    return _figures(case.title, samples, plan)


def _call(
    service: Any, graph: pb.Graph, want: Any, data: Mapping[str, Any]
) -> Callable[[Arrays], list[NDArray]]:
    """Parameters -> what is wanted by them."""

    def call(parameters: Arrays) -> list[NDArray]:
        result = service.evaluate(graph, {**parameters, **data}, want=want)
        return [np.asarray(array) for array in result.derivatives.values()]

    return call


def _compare(calls: Mapping[str, Callable[[Arrays], list[NDArray]]], first: Arrays) -> None:
    """Insist that all give the same."""
    expected, *others = [(name, call(first)) for name, call in calls.items()]
    for name, found in others:
        for mine, its in zip(found, expected[1], strict=True):
            scale = float(np.abs(its).max())
            np.testing.assert_allclose(mine, its, rtol=SAME, atol=SAME * scale, err_msg=name)


def _figures(title: str, samples: Samples, plan: Any) -> Sequence[Figure]:
    one, two = (f"{n} worker(s)" for n in WORKERS)
    figures = [Figure(f"{title}: {n}", 1e3 * samples.median_s(n), "ms") for n in samples.names]
    figures.append(Figure(f"{title}: {plan.split}, tasks", len(plan.tasks), ""))
    speed_up = median(samples.ratios(one, two))
    figures.append(Figure(f"{title}: speed-up from 1 to 2 workers", speed_up, "x"))
    for prediction in plan.predictions:
        name = f"{prediction.workers} worker(s)"
        if name in samples.names:
            ratio = prediction.estimated_s / samples.median_s(name)
            off = max(ratio, 1.0 / ratio)
            figures.append(Figure(f"{title}: prediction off, {name}", off, "x", WITHIN))
    return figures
