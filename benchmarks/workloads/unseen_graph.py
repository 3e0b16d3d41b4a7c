"""A graph of array operations never seen before, from its bytes to its value and gradient.

Everything a service does with a job from a stranger: decode, check, differentiate, simplify, plan,
compile and run. Every call is given another graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from itertools import cycle
from typing import Any, NamedTuple

from benchmarks.contest import CHECK, OURS, Call, Case, NDArray, Rival, Target
from benchmarks.libraries import autograd_peer, jax_peer, ours, torch_peer
from benchmarks.workloads.random_program import Step, arguments, graph_of, random_steps, write
from benchmarks.workloads.workload import Workload
from pullback_graph.codec import decode_job, encode_job
from pullback_graph.derivative import lower
from pullback_graph.job import Job, Options, Split
from pullback_graph.want import Gradient
from pullback_worker.numpy_executor import NumpyExecutor, fold

ROWS, COLUMNS = 32, 16
FEW = 100
OP_BY_OP, COMPILED = "JAX op by op", "JAX trace, compile and run"
LINEAR = f"{OURS}, graphs of {FEW} nodes, as many nodes"
OF_LINEAR = 1.5
"""How much more a node of a large graph may take than one of a small graph."""


class Sizes(NamedTuple):
    """Nodes of a graph, and how many graphs are made; they come around again after that."""

    nodes: int
    graphs: int


def case(sizes: Sizes) -> Case:
    """Graphs of one size."""
    x, w = arguments(ROWS, COLUMNS)
    programs = [random_steps(sizes.nodes, seed) for seed in range(sizes.graphs)]
    rivals = [
        Rival(OURS, OURS, lambda: _ours(programs, x, w)),
        Rival("PyTorch eager", torch_peer.FAMILY, lambda: _torch(programs, x, w)),
        Rival("autograd", autograd_peer.FAMILY, lambda: _autograd(programs, x, w)),
        Rival(OP_BY_OP, jax_peer.FAMILY, lambda: _jax(programs, x, w, jit=False)),
    ]
    targets = [Target(1.0, peer=OP_BY_OP)]
    left_out = []
    if sizes.nodes <= FEW:
        rivals.append(Rival(COMPILED, jax_peer.FAMILY, lambda: _jax(programs, x, w, jit=True)))
        targets += [Target(0.1, peer=COMPILED), Target(0.010, seconds=True)]
    else:
        times = sizes.nodes // FEW
        few = [random_steps(FEW, seed) for seed in range(min(times, 40))]
        rivals.append(Rival(LINEAR, CHECK, lambda: _several(few, x, w, times), compared=False))
        targets.append(Target(OF_LINEAR, peer=LINEAR))
        left_out.append(f"{COMPILED}: at {sizes.nodes:,} nodes it takes minutes")
    return Case(
        name=f"{sizes.nodes:,} nodes",
        about=f"a mean of squares of random steps on ({ROWS}, {COLUMNS}) arrays, float64: bytes "
        "in, value and gradient by two arrays out; every call another graph",
        rivals=rivals,
        targets=targets,
        left_out=left_out,
    )


def _jobs(programs: Sequence[Sequence[Step]], x: NDArray, w: NDArray) -> Iterator[bytes]:
    """The programs as serialised jobs, over and over."""
    words = ours.words()
    jobs = [
        encode_job(Job(graph_of(steps, words, x, w), {"x": x, "w": w}, Gradient(("x", "w"))))
        for steps in programs
    ]
    return cycle(jobs)


def _ours(programs: Sequence[Sequence[Step]], x: NDArray, w: NDArray) -> Call:
    """The steps of a server, one after the other, with nothing kept between calls."""
    jobs, answer = _jobs(programs, x, w), _answer()
    return lambda: answer(next(jobs))


def _several(few: Sequence[Sequence[Step]], x: NDArray, w: NDArray, times: int) -> Call:
    jobs, answer = _jobs(few, x, w), _answer()
    return lambda: [answer(next(jobs)) for _ in range(times)]


def _answer() -> Callable[[bytes], list[NDArray]]:
    make_plan: Any = import_module("pullback_server.planner").make_plan
    executor, options = NumpyExecutor(), Options(split=Split("none"))

    def answer(data: bytes) -> list[NDArray]:
        job: Any = decode_job(data)
        lowered = lower(job.graph, job.want, fold=fold)
        plan = make_plan(lowered.graph, options)
        graph = plan.tasks[0].graph
        return executor.compile(graph)([job.inputs[name] for name in graph.input_names])

    return answer


def _torch(programs: Sequence[Sequence[Step]], x: NDArray, w: NDArray) -> Call:
    torch = torch_peer.library()
    build = [torch_peer.gradient(write(steps), (0, 1)) for steps in programs]
    functions = cycle([one(torch, lambda function: function) for one in build])
    tensors = [torch.as_tensor(array) for array in (x, w)]
    return lambda: next(functions)(*tensors)


def _autograd(programs: Sequence[Sequence[Step]], x: NDArray, w: NDArray) -> Call:
    words, autograd = autograd_peer.words(), import_module("autograd")
    functions = cycle([autograd.value_and_grad(write(p)(words), (0, 1)) for p in programs])
    return lambda: next(functions)(x, w)


def _jax(programs: Sequence[Sequence[Step]], x: NDArray, w: NDArray, *, jit: bool) -> Call:
    jax, words = jax_peer.library(), jax_peer.words()
    arrays = [jax.device_put(array) for array in (x, w)]
    steps = cycle(programs)

    def call() -> Any:
        function = jax.value_and_grad(write(next(steps))(words), argnums=(0, 1))
        return jax.block_until_ready((jax.jit(function) if jit else function)(*arrays))

    return call


WORKLOAD = Workload(
    "a tensor graph never seen before",
    {"100": Sizes(100, 60), "1000": Sizes(1_000, 20), "10000": Sizes(10_000, 6)},
    Sizes(12, 3),
    case,
    budget_s=15.0,
)
