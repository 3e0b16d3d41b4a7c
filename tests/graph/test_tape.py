"""The tape: what its check lets through, its builder, its fingerprint, and graphs to and fro."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback_graph import ArrayType, Builder, Input
from pullback_graph.errors import (
    ArityError,
    DTypeError,
    GraphError,
    LimitExceeded,
    PullbackError,
    UnknownOp,
    UnsupportedError,
)
from pullback_graph.ref import Ref, do
from pullback_graph.tape import (
    TAPE_ROWS,
    Tape,
    TapeBuilder,
    TapeOutput,
    check,
    suits,
    tape_nodes,
    tape_of,
    to_graph,
)
from pullback_graph.types import FLOAT32, FLOAT64
from pullback_graph.want import Gradient, Value
from pullback_worker.numpy_executor import NumpyExecutor

VECTOR = ArrayType(FLOAT64, (3,))


def small() -> Tape:
    """x₀ x₁ + sin(2), and an array of two scalars."""
    return Tape(
        dtype=FLOAT64,
        inputs=(Input("x", VECTOR),),
        constants=np.array([2.0]),
        ops=("multiply", "sin", "add"),
        opcodes=np.array([0, 1, 2], np.uint16),
        operands=np.array([0, 1, 3, 4, 5], np.uint32),
        outputs=(
            TapeOutput("z", (), np.array([6], np.uint32)),
            TapeOutput("w", (2, 1), np.array([2, 4], np.uint32)),
        ),
    )


def changed(**fields) -> Tape:
    """The small tape with some fields replaced."""
    return dataclasses.replace(small(), **fields)


def output(*values: int, shape: tuple[int, ...] = ()) -> tuple[TapeOutput, ...]:
    """One output of these scalars."""
    return (TapeOutput("z", shape, np.array(values, np.uint32)),)


FAULTS = [
    ({"ops": ("multiply", "sinn", "add")}, UnknownOp, "did you mean"),
    ({"ops": ("multiply", "matmul", "add")}, UnsupportedError, "send a Graph"),
    ({"opcodes": np.array([0, 3, 2], np.uint16)}, GraphError, "node 1: opcode 3"),
    ({"ops": ()}, GraphError, "node 0: opcode 0"),
    ({"operands": np.array([0, 1, 3, 4], np.uint32)}, GraphError, r"take 5 operand\(s\), got 4"),
    ({"operands": np.array([0, 1, 3, 4, 6], np.uint32)}, GraphError, "node 2 add: operand 6"),
    ({"operands": np.array([4, 1, 3, 4, 5], np.uint32)}, GraphError, "node 0 multiply: operand 4"),
    ({"operands": np.array([0, 1, 3, 4, 2**32 - 1], np.uint32)}, GraphError, "node 2 add"),
    ({"operands": np.array([0, 1, 3, 4, -1])}, DTypeError, "vector of uint32"),
    ({"opcodes": np.array([[0, 1, 2]], np.uint16)}, DTypeError, "2 axes"),
    ({"constants": np.array([2.0], np.float32)}, DTypeError, "float32"),
    ({"dtype": np.dtype("int64")}, DTypeError, "send a Graph"),
    ({"inputs": (Input("x", ArrayType(FLOAT32, (3,))),)}, DTypeError, "an input is float32"),
    ({"inputs": (Input("x", ArrayType(FLOAT64, (-3,))),)}, GraphError, "negative"),
    ({"inputs": (Input("x", ArrayType(FLOAT64, (2**40,))),)}, LimitExceeded, "at most"),
    ({"inputs": (Input("x", ArrayType(FLOAT64, (0, 2**62))),)}, LimitExceeded, "at most"),
    ({"inputs": (Input("", VECTOR),)}, GraphError, "input names"),
    ({"outputs": ()}, GraphError, "at least one output"),
    ({"outputs": output(7)}, GraphError, "names scalar 7; the tape has 7"),
    ({"outputs": output(1, 2)}, GraphError, r"takes 1 scalar\(s\), got 2"),
    ({"outputs": output(1) * 2}, GraphError, "output names"),
]


@pytest.mark.parametrize(("fields", "error", "message"), FAULTS)
def test_a_fault_is_named(fields, error, message):
    """Whatever is wrong with a tape gets the error of its kind, which says where."""
    check(small())
    with pytest.raises(error, match=message):
        check(changed(**fields))


def test_a_tape_of_too_many_nodes_is_refused():
    """The limit on nodes holds before anything is made of them."""
    opcodes = np.broadcast_to(np.uint16(0), (10_000_001,))
    with pytest.raises(LimitExceeded, match="10000001 nodes"):
        check(changed(opcodes=opcodes))


@given(data=st.data())
def test_what_passes_refers_back_only(data):
    """A tape of random numbers passes exactly when every operand is computed before its node."""
    count = data.draw(st.integers(1, 6))
    operands = data.draw(st.lists(st.integers(0, 11), min_size=2 * count, max_size=2 * count))
    tape = changed(
        opcodes=np.zeros(count, np.uint16),
        operands=np.array(operands, np.uint32),
        outputs=output(3),
    )
    fits = all(number < 4 + place // 2 for place, number in enumerate(operands))
    try:
        check(tape)
    except GraphError:
        assert not fits
    else:
        assert fits


def test_fingerprints_are_of_what_is_computed():
    """The order of `ops` is no matter; operands, constants, names, the sign of zero are."""
    same = changed(ops=("add", "sin", "multiply"), opcodes=np.array([2, 1, 0], np.uint16))
    assert same == small()
    assert hash(same) == hash(small())
    others = [
        changed(operands=np.array([1, 0, 3, 4, 5], np.uint32)),
        changed(constants=np.array([-2.0])),
        changed(inputs=(Input("y", VECTOR),)),
        changed(outputs=small().outputs[:1]),
        changed(ops=("multiply", "cos", "add")),
    ]
    assert len({tape.fingerprint for tape in [small(), *others]}) == 6
    zeros = [changed(constants=np.array([zero])).fingerprint for zero in (0.0, -0.0)]
    assert zeros[0] != zeros[1]
    odd_nan = np.array([0x7FF8000000000001], np.uint64).view(np.float64)
    nans = [changed(constants=nan).fingerprint for nan in (odd_nan, np.array([np.nan]))]
    assert nans[0] == nans[1]


# --- the builder ----------------------------------------------------------------------------------


def test_the_builder_numbers_as_a_tape_does():
    """Inputs, then constants whenever they came, then nodes; equal constants are one."""
    builder = TapeBuilder()
    x = builder.input("x", (2,))
    first = builder.append("add", x, builder.constant(2.0))
    y = builder.input("y")
    both = builder.append("multiply", first, builder.constant([3.0, 2.0]))
    tape = builder.build({"z": both, "w": builder.append("negative", y)})
    assert tape.input_size == 3
    np.testing.assert_array_equal(tape.constants, [2.0, 3.0])
    np.testing.assert_array_equal(tape.operands, [0, 3, 1, 3, 5, 4, 6, 3, 2])
    assert tape.ops == ("add", "multiply", "negative")
    np.testing.assert_array_equal(tape.outputs[0].values, [7, 8])
    np.testing.assert_array_equal(tape.outputs[1].values, [9])
    assert (len(tape), tape.size) == (5, 10)


def test_the_builder_refuses():
    """Wrong names, counts, numbers, and growth past the limit."""
    builder = TapeBuilder(max_nodes=2)
    x = builder.input("x", (2,))
    with pytest.raises(UnknownOp):
        builder.append("sine", 0)
    with pytest.raises(ArityError, match="add takes 2"):
        builder.append("add", 0)
    with pytest.raises(GraphError, match="comes after"):
        builder.append("sin", 1 << 31)
    builder.append("sin", x)
    with pytest.raises(LimitExceeded, match="more than 2 nodes"):
        builder.append("sin", 0)
    with pytest.raises(GraphError):
        builder.build({"z": 5})


# --- graphs ---------------------------------------------------------------------------------------


def run(graph, *arrays):
    """The outputs of a graph by the NumPy executor."""
    return NumpyExecutor().compile(graph)(arrays)


def scalar_code(builder: Builder) -> dict[str, Ref]:
    """A graph of everything that has a scalar form besides the elementwise rows."""
    x = builder.input("x", ArrayType(FLOAT64, (2, 3)))
    y = builder.input("y", ArrayType(FLOAT64, (3,)))
    indices = builder.constant(np.array([2, -3, 7]))
    row = do.slice(x, starts=(1, 2), stops=(2, -1), steps=(1, -1))
    taken = do.take(x, indices, axis=1)
    padded = do.pad(y, builder.constant(np.array(2.0)), low=(1,), high=(2,))
    chosen = do.where(do.any(x > 0.5, axes=(0,), keepdims=False), y, do.flip(y, axes=(0,)))
    return {
        "matmul": do.matmul(x, y),
        "dot": do.matmul(y, y),
        "einsum": do.einsum(x, y, subscripts="ij,j->ji"),
        "trace": do.einsum(do.einsum(y, y, subscripts="i,j->ij"), subscripts="ii->"),
        "sum": do.sum(taken, axes=(0,), keepdims=True),
        "prod": do.prod(x, axes=(0, 1), keepdims=False),
        "empty": do.sum(
            do.slice(y, starts=(0,), stops=(0,), steps=(1,)), axes=(0,), keepdims=False
        ),
        "row": do.reshape(row, shape=(3,)),
        "cat": do.concat(padded, chosen, axis=0),
        "stack": do.stack(y, chosen, axis=1),
        "moved": do.permute_dims(do.expand_dims(x, axes=(0,)), axes=(2, 1, 0)),
        "wide": do.broadcast_to(y, shape=(2, 3)),
        "rolled": do.roll(x, shifts=(1, -1), axes=(0, 1)),
        "placed": do.unslice(y, y, shape=(4,), starts=(0, 3), steps=(1, -1)),
        "cast": do.astype(x > y, dtype=FLOAT64) * x,
        "all": do.where(do.all(x > 0.0, axes=(0, 1), keepdims=False), y, 2.0 * y),
    }


def test_scalar_code_is_the_same_as_a_tape():
    """A graph, its tape, and the tape's graph compute the same; sums in another order."""
    builder = Builder()
    graph = builder.build(scalar_code(builder))
    tape = tape_of(graph)
    check(tape)
    back = to_graph(tape)
    assert back.inputs == graph.inputs
    assert [back.output_type(k) for k in range(16)] == [graph.output_type(k) for k in range(16)]
    arrays = np.random.default_rng(0).uniform(-1.0, 1.0, (2, 3)), np.array([0.3, -0.7, 0.9])
    for mine, theirs in zip(run(back, *arrays), run(graph, *arrays), strict=True):
        np.testing.assert_allclose(mine, theirs, 1e-15, 1e-15)


@pytest.mark.parametrize("name", TAPE_ROWS)
def test_a_tape_comes_back_from_its_graph(name):
    """`tape_of(to_graph(tape))` computes what the tape does, row by row."""
    builder = TapeBuilder()
    x = builder.input("x", (3,))
    count = {1: 1, 2: 2, 3: 3}[_operands(name)]
    z = builder.append(name, *x[:count].tolist())
    tape = builder.build({"z": builder.append("add", z, x[0])})
    graph = to_graph(tape)
    again = to_graph(tape_of(graph))
    point = np.array([0.6, 0.4, 1.5])
    np.testing.assert_array_equal(run(again, point), run(graph, point))


def _operands(name: str) -> int:
    from pullback_graph import OPS

    return OPS[name].operands


def test_what_is_no_scalar_code_is_refused_by_node():
    """The error names the node, or the type, and the way out."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (3,)))
    graph = builder.build({"z": do.sort(do.sin(x), axis=0)})
    with pytest.raises(UnsupportedError, match="node 1 sort has no scalar form") as raised:
        tape_of(graph)
    assert raised.value.field == "graph.nodes[1]"
    assert tape_nodes(graph) is None
    builder = Builder()
    builder.input("k", ArrayType(np.dtype("int64"), ()))
    y = builder.input("y", ArrayType(FLOAT64, ()))
    with pytest.raises(UnsupportedError, match="float64 and int64"):
        tape_of(builder.build({"z": y}))
    builder = Builder()
    wide = builder.input("x", ArrayType(FLOAT64, (300, 300)))
    with pytest.raises(LimitExceeded, match="27000000 products"):
        tape_of(builder.build({"z": do.matmul(wide, wide)}))
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, ()))
    with pytest.raises(LimitExceeded, match="broadcast_to the values have 1000000000000000 el"):
        tape_of(builder.build({"z": do.broadcast_to(x, shape=(10**15,))}))


def test_the_estimate_bounds_the_tape_and_prefers_it_for_scalars():
    """No tape has more nodes than estimated; scalar code suits, long arrays do not."""
    builder = Builder()
    graph = builder.build(scalar_code(builder))
    estimated = tape_nodes(graph)
    assert estimated is not None
    assert len(tape_of(graph)) <= estimated
    chain = TapeBuilder()
    z = chain.input("x")
    for _ in range(200):
        z = chain.append("sin", z)
    assert suits(to_graph(chain.build({"z": z})), Value())
    builder = Builder()
    long = builder.input("x", ArrayType(FLOAT64, (100_000,)))
    assert not suits(builder.build({"z": do.sin(do.sin(long))}), Value())
    builder = Builder()
    short = builder.build({"z": do.sin(builder.input("x", ArrayType(FLOAT64, ())))})
    assert not suits(short, Gradient(("x",)))


def test_every_error_is_typed():
    """Arrays of any dtype and length get a typed error or pass; nothing else is raised."""
    rng = np.random.default_rng(1)
    for _ in range(300):
        tape = changed(
            opcodes=rng.integers(0, 4, rng.integers(0, 5)).astype(np.uint16),
            operands=rng.integers(0, 9, rng.integers(0, 9)).astype(np.uint32),
            outputs=output(int(rng.integers(0, 9))),
        )
        try:
            check(tape)
        except PullbackError:
            continue
        to_graph(tape)
