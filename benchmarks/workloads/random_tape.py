"""A scalar graph of a million nodes at random, as a tape: nothing that a compiler could use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from math import cos, sin
from typing import Any, NamedTuple

import numpy as np

from benchmarks.contest import OURS, Call, Case, NDArray, Rival, Target
from benchmarks.libraries import casadi_peer, numba_peer
from benchmarks.workloads.workload import Workload
from pullback_graph.graph import Input
from pullback_graph.tape import Tape, TapeOutput
from pullback_graph.types import FLOAT64, ArrayType
from pullback_graph.want import Gradient

OPS = ("add", "subtract", "multiply", "sin", "cos")
BINARY = 3
"""The first so many take two operands."""
INPUTS = 1_000
FREE = 0.722
"""Share of the nodes that is not part of the final sum, at 1.6 operands a node."""
EVALUATION = "CasADi SX, evaluation alone"


class Program(NamedTuple):
    """Nodes: what each does, and the numbers of its operands (the second one idle where unary).

    Every scalar is used: those that no node reads are summed at the end, by a chain of additions.
    """

    opcodes: NDArray
    first: NDArray
    second: NDArray


def program(nodes: int) -> Program:
    """Each operand any scalar before its node, then the sum of what none of those reads."""
    random = np.random.default_rng(0)
    free = round(FREE * nodes)
    opcodes = random.integers(len(OPS), size=free)
    bounds = INPUTS + np.arange(free)
    first, second = (random.integers(bounds) for _ in range(2))
    used = np.zeros(INPUTS + free, bool)
    used[first] = True
    used[second[opcodes < BINARY]] = True
    unused = np.flatnonzero(~used)
    sums = INPUTS + free + np.arange(len(unused))
    return Program(
        np.concatenate([opcodes, np.zeros(len(unused), np.int64)]).astype(np.uint8),
        np.concatenate([first, [INPUTS + free - 1], sums[:-1]]).astype(np.uint32),
        np.concatenate([second, unused]).astype(np.uint32),
    )


def tape(made: Program) -> Tape:
    """The program as a Tape of one input vector, whose output is the last scalar."""
    both = np.stack([made.first, made.second], axis=1)
    taken = np.stack([np.ones(len(made.opcodes), bool), made.opcodes < BINARY], axis=1)
    last = np.array([INPUTS + len(made.opcodes) - 1], np.uint32)
    return Tape(
        dtype=FLOAT64,
        inputs=(Input("x", ArrayType(FLOAT64, (INPUTS,))),),
        constants=np.zeros(0),
        ops=OPS,
        opcodes=made.opcodes.astype(np.uint16),
        operands=both[taken],
        outputs=(TapeOutput("y", (), last),),
    )


def case(nodes: int) -> Case:
    """A tape of about so many nodes."""
    made = program(nodes)
    x = np.random.default_rng(1).uniform(-1.0, 1.0, INPUTS)
    return Case(
        name=f"{len(made.opcodes):,} nodes, {INPUTS:,} inputs",
        about="value and all adjoints of sums, differences, products, sines and cosines, float64",
        rivals=[
            Rival("numba by hand", numba_peer.FAMILY, lambda: _by_hand(made, x)),
            Rival(OURS, OURS, lambda: _ours(made, x)),
            Rival(f"{OURS}, tape built and checked too", OURS, lambda: _ours_unseen(made, x)),
            Rival(EVALUATION, casadi_peer.FAMILY, lambda: _casadi(made, x, False), partial=True),
            Rival("CasADi SX", casadi_peer.FAMILY, lambda: _casadi(made, x, True)),
        ],
        targets=[Target(1.0, peer=EVALUATION), Target(1.2, families=("numba",))],
        left_out=["JAX, PyTorch, autograd: no way through a million scalars in reasonable time"],
    )


def _ours(made: Program, x: NDArray) -> Call:
    """The machine's program, ready."""
    compiled = import_module("pullback_worker.tape_program").TapeProgram(
        tape(made), Gradient(("x",))
    )
    return lambda: compiled([x])


def _ours_unseen(made: Program, x: NDArray) -> Call:
    """The tape made of its arrays, checked, linked and run, every time."""
    tapes = import_module("pullback_graph.tape")
    programs = import_module("pullback_worker.tape_program")

    def call() -> Sequence[NDArray]:
        whole = tape(made)
        tapes.check(whole)
        results: Sequence[NDArray] = programs.TapeProgram(whole, Gradient(("x",)))([x])
        return results

    return call


def _casadi(made: Program, x: NDArray, with_gradient: bool) -> Call:
    """The program built node by node as an SX expression, and compiled for its machine."""
    casadi = import_module("casadi")
    symbols = casadi.SX.sym("x", INPUTS)
    values = casadi.vertsplit(symbols)
    functions: list[Callable[[Any, Any], Any]] = [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a * b,
        lambda a, _: casadi.sin(a),
        lambda a, _: casadi.cos(a),
    ]
    for op, a, b in zip(*[array.tolist() for array in made], strict=True):
        values.append(functions[op](values[a], values[b]))
    results, shapes = [values[-1]], [(1,)]
    if with_gradient:
        results.append(casadi.gradient(values[-1], symbols))
        shapes.append((INPUTS,))
    return casadi_peer.evaluation(
        casadi.Function("tape", [symbols], results), [x], [*map(np.zeros, shapes)]
    )


def _by_hand(made: Program, x: NDArray) -> Call:
    """Two loops for this very format: forward, and back."""
    forward, reverse = numba_peer.compiled(_forward), numba_peer.compiled(_reverse)
    size = INPUTS + len(made.opcodes)
    values, adjoints = np.zeros(size), np.zeros(size)

    def call() -> tuple[Any, NDArray]:
        values[:INPUTS] = x
        adjoints[:] = 0.0
        adjoints[-1] = 1.0
        forward(*made, INPUTS, values)
        reverse(*made, INPUTS, values, adjoints)
        return values[-1], adjoints[:INPUTS].copy()

    return call


def _forward(opcodes: NDArray, first: NDArray, second: NDArray, inputs: int, v: NDArray) -> None:
    for k in range(len(opcodes)):
        op, a, b = opcodes[k], first[k], second[k]
        if op == 0:
            v[inputs + k] = v[a] + v[b]
        elif op == 1:
            v[inputs + k] = v[a] - v[b]
        elif op == 2:
            v[inputs + k] = v[a] * v[b]
        elif op == 3:
            v[inputs + k] = sin(v[a])
        else:
            v[inputs + k] = cos(v[a])


def _reverse(
    opcodes: NDArray, first: NDArray, second: NDArray, inputs: int, v: NDArray, g: NDArray
) -> None:
    for k in range(len(opcodes) - 1, -1, -1):
        op, a, b, w = opcodes[k], first[k], second[k], g[inputs + k]
        if op == 0:
            g[a] += w
            g[b] += w
        elif op == 1:
            g[a] += w
            g[b] -= w
        elif op == 2:
            g[a] += w * v[b]
            g[b] += w * v[a]
        elif op == 3:
            g[a] += w * cos(v[a])
        else:
            g[a] -= w * sin(v[a])


WORKLOAD = Workload(
    "random scalar tape, value and gradient", {"million": 1_000_000}, 2_000, case, budget_s=10.0
)
