"""Many different scalar graphs as one batch, from wire bytes to wire bytes, in one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from benchmarks.contest import OURS, Call, Case, NDArray, Rival, Target
from benchmarks.libraries import casadi_peer, torch_peer
from benchmarks.workloads.workload import Workload
from pullback_graph.builder import Builder
from pullback_graph.codec import decode_result, encode_job
from pullback_graph.graph import Graph, Input
from pullback_graph.job import Job
from pullback_graph.tape import Tape, TapeOutput
from pullback_graph.types import FLOAT64, ArrayType
from pullback_graph.want import Gradient

NODES, INPUTS = 20, 3
LEAST_PER_S = 20_000
OPS: dict[str, int] = {"add": 2, "subtract": 2, "multiply": 2, "sin": 1, "tanh": 1, "exp": 1}
"""Operands of each."""
CONSTANT = 0.5


class Program(NamedTuple):
    """Rows of (name, numbers of operands); scalars are the inputs, the constant, then results."""

    steps: list[tuple[str, tuple[int, ...]]]
    inputs: NDArray


def programs(count: int) -> list[Program]:
    """Programs all different. Every second step is a tanh of the one before: numbers stay small."""
    random = np.random.default_rng(0)
    names, first = tuple(OPS), INPUTS + 1
    made = []
    for _ in range(count):
        chosen = random.integers(len(names), size=NODES).tolist()
        steps: list[tuple[str, tuple[int, ...]]] = []
        for k in range(NODES):
            if k % 2:
                steps.append(("tanh", (first + k - 1,)))
                continue
            name = names[chosen[k]]
            others = random.integers(first + k, size=OPS[name]).tolist()
            near = first + k - 1 if k else 0
            steps.append((name, tuple([near, *others][: OPS[name]])))
        made.append(Program(steps, random.uniform(-1.0, 1.0, INPUTS)))
    return made


def as_tape(program: Program) -> Tape:
    """The program as a tape."""
    names = tuple(dict.fromkeys([name for name, _ in program.steps]))
    type = ArrayType(FLOAT64, ())
    return Tape(
        dtype=FLOAT64,
        inputs=tuple([Input(f"x{k}", type) for k in range(INPUTS)]),
        constants=np.array([CONSTANT]),
        ops=names,
        opcodes=np.array([names.index(name) for name, _ in program.steps], np.uint16),
        operands=np.array([n for _, numbers in program.steps for n in numbers], np.uint32),
        outputs=(TapeOutput("y", (), np.array([INPUTS + NODES], np.uint32)),),
    )


def as_graph(program: Program) -> Graph:
    """The program as a graph, a message a node."""
    builder = Builder()
    values = [builder.input(f"x{k}", ArrayType(FLOAT64, ())) for k in range(INPUTS)]
    values.append(builder.constant(np.array(CONSTANT)))
    for name, numbers in program.steps:
        values.append(builder.add(name, *[values[n] for n in numbers]))
    return builder.build([("y", values[-1])], prune=False)


def case(count: int) -> Case:
    """A batch."""
    made = programs(count)
    seconds = count / LEAST_PER_S
    return Case(
        name=f"{count:,} graphs of {NODES} nodes",
        about=f"value and gradient of scalar graphs all different, {INPUTS} inputs each; "
        f"the goal is {LEAST_PER_S:,} graphs a second",
        rivals=[
            Rival(OURS, OURS, lambda: _ours(made, as_tape), arrange=_decoded),
            Rival(f"{OURS}, encoded node by node", OURS, lambda: _ours(made, as_graph),
                  arrange=_decoded),
            Rival("PyTorch eager", torch_peer.FAMILY, lambda: _torch(made)),
            Rival("CasADi SX, built and evaluated", casadi_peer.FAMILY, lambda: _casadi(made)),
        ],
        targets=[
            Target(seconds, seconds=True),
            Target(seconds, seconds=True, ours=f"{OURS}, encoded node by node"),
        ],
        left_out=["JAX: a trace, or a call op by op, of each graph takes it minutes"],
    )  # fmt: skip


def _ours(made: Sequence[Program], encode: Callable[[Program], Any]) -> Call:
    """The jobs' bytes to the replies' bytes."""
    run_batch: Any = import_module("pullback_worker.tape_batch").run_batch
    names = [f"x{k}" for k in range(INPUTS)]
    jobs = [
        encode_job(
            Job(
                encode(p),
                dict(zip(names, p.inputs, strict=True)),
                Gradient(tuple(names)),
                id=str(k),
            )
        )
        for k, p in enumerate(made)
    ]
    positions, never = np.arange(len(jobs)), np.full(len(jobs), np.inf)
    waited = np.zeros(len(jobs))

    def call() -> list[bytes | None]:
        done = run_batch(jobs, positions, never, waited, lambda *_: (b"", b""), "benchmark")
        replies: list[bytes | None] = done.replies
        return replies

    return call


def _decoded(replies: Sequence[bytes | None]) -> NDArray:
    """Value and gradient (count, 1 + INPUTS) of replies."""
    reply_type: Any = import_module("pullback_proto.v1.job_pb2").JobReply
    rows = []
    for reply in replies:
        assert reply is not None, "every job of the batch is taken"
        result = decode_result(reply_type.FromString(reply).result.SerializeToString())
        gradients = [result.gradients[f"x{k}"] for k in range(INPUTS)]
        rows.append([float(result.outputs["y"]), *map(float, gradients)])
    return np.array(rows)


def _torch(made: Sequence[Program]) -> Call:
    torch = torch_peer.library()
    functions = {
        "add": torch.add, "subtract": torch.sub, "multiply": torch.mul, "sin": torch.sin,
        "tanh": torch.tanh, "exp": torch.exp,
    }  # fmt: skip

    def one(program: Program) -> list[float]:
        leaves = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in program.inputs]
        values = [*leaves, torch.tensor(CONSTANT, dtype=torch.float64)]
        for name, numbers in program.steps:
            values.append(functions[name](*[values[n] for n in numbers]))
        gradient = torch.autograd.grad(values[-1], leaves, materialize_grads=True)
        return [float(values[-1]), *map(float, gradient)]

    return lambda: np.array([one(program) for program in made])


def _casadi(made: Sequence[Program]) -> Call:
    casadi = import_module("casadi")
    functions: dict[str, Any] = {
        "add": lambda a, b: a + b, "subtract": lambda a, b: a - b, "multiply": lambda a, b: a * b,
        "sin": casadi.sin, "tanh": casadi.tanh, "exp": casadi.exp,
    }  # fmt: skip

    def one(program: Program) -> list[float]:
        symbols = casadi.SX.sym("x", INPUTS)
        values = [*casadi.vertsplit(symbols), casadi.SX(CONSTANT)]
        for name, numbers in program.steps:
            values.append(functions[name](*[values[n] for n in numbers]))
        gradient = casadi.gradient(values[-1], symbols)
        function = casadi.Function("f", [symbols], [values[-1], gradient])
        value, found = function(program.inputs)
        return [float(value), *np.asarray(found).reshape(-1).tolist()]

    return lambda: np.array([one(program) for program in made])


WORKLOAD = Workload(
    "a batch of different scalar graphs, bytes to bytes", {"ten thousand": 10_000}, 20, case,
    budget_s=20.0,
)  # fmt: skip
