"""Random scalar jobs, each as a tape and as a graph of the same nodes: what batches are made of."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from pullback_graph.builder import Builder
from pullback_graph.graph import Graph, Input
from pullback_graph.job import Job
from pullback_graph.tape import Tape, TapeOutput
from pullback_graph.types import FLOAT64, ArrayType, DType
from pullback_graph.want import Gradient, Value

UNARY = ("sin", "tanh", "negative", "exp", "square", "abs", "sigmoid", "sqrt", "floor")
BINARY = ("add", "multiply", "subtract", "divide", "maximum", "hypot", "pow")


def scalar_job(seed: int, *, as_tape: bool, dtype: DType = FLOAT64, nodes: int = 12) -> Job:
    """One job of a few scalar inputs; every second wants a gradient, the others all values."""
    draw = random.Random(seed)
    count = draw.randint(1, 3)
    steps: list[tuple[str, list[int]]] = []
    size = count + 2
    for _ in range(draw.randint(1, nodes)):
        name = draw.choice(UNARY if draw.random() < 0.4 else (*BINARY, "where", "clip"))
        operands = 1 if name in UNARY else 2 if name in BINARY else 3
        steps.append((name, [draw.randrange(size) for _ in range(operands)]))
        size += 1
    constants = np.array([draw.uniform(-2, 2), 3.0], dtype)
    outputs = [("y", size - 1), ("late", draw.randrange(size))][: draw.randint(1, 2)]
    make = _tape if as_tape else _graph
    inputs = {f"x{k}": np.asarray(draw.uniform(-2, 2), dtype) for k in range(count)}
    wrt = tuple(draw.sample(sorted(inputs), draw.randint(1, count)))
    want: Any = Value() if seed % 2 else Gradient(wrt, "y")
    if draw.random() < 0.5:
        inputs = dict(reversed(inputs.items()))
    return Job(make(count, constants, steps, outputs), inputs, want, id=f"job {seed}")


def _tape(
    count: int, constants: Any, steps: list[tuple[str, list[int]]], outputs: list[tuple[str, int]]
) -> Tape:
    """A tape in which the condition of `where` is the number itself: any but 0 is true."""
    ops = tuple(dict.fromkeys(name for name, _ in steps))
    return Tape(
        dtype=constants.dtype,
        inputs=tuple(Input(f"x{k}", ArrayType(constants.dtype, ())) for k in range(count)),
        constants=constants,
        ops=ops,
        opcodes=np.array([ops.index(name) for name, _ in steps], np.uint16),
        operands=np.array([n for _, numbers in steps for n in numbers], np.uint32),
        outputs=tuple(TapeOutput(n, (), np.array([v], np.uint32)) for n, v in outputs),
    )


def _graph(
    count: int, constants: Any, steps: list[tuple[str, list[int]]], outputs: list[tuple[str, int]]
) -> Graph:
    """The same as a graph, with a comparison before each `where`."""
    builder = Builder()
    values = [builder.input(f"x{k}", ArrayType(constants.dtype, ())) for k in range(count)]
    values += [builder.constant(constant) for constant in constants]
    zero = builder.constant(np.zeros((), constants.dtype))
    for name, numbers in steps:
        operands = [values[n] for n in numbers]
        if name == "where":
            operands[0] = builder.add("not_equal", operands[0], zero)
        values.append(builder.add(name, *operands))
    return builder.build([(name, values[value]) for name, value in outputs], prune=False)


def numbered_graph(tape: Tape) -> Graph:
    """The graph of a tape of scalars made by `scalar_job`: the oracle's form of it."""
    steps, at = [], 0
    for opcode in tape.opcodes:
        name = tape.ops[opcode]
        operands = 1 if name in UNARY else 2 if name in BINARY else 3
        steps.append((name, [int(n) for n in tape.operands[at : at + operands]]))
        at += operands
    outputs = [(item.name, int(item.values[0])) for item in tape.outputs]
    return _graph(len(tape.inputs), tape.constants, steps, outputs)
