"""Graphs over the wire: exact both ways, and every fault named by node and field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback_graph.attributes import Kind
from pullback_graph.builder import Builder
from pullback_graph.codec import decode_graph, encode_graph
from pullback_graph.codec.messages import count_parts
from pullback_graph.errors import (
    ArityError,
    AttributeFault,
    DTypeError,
    GraphError,
    LimitExceeded,
    PullbackError,
    ShapeError,
    UnknownOp,
    UnsupportedError,
    WireError,
)
from pullback_graph.graph import Graph
from pullback_graph.limits import Limits
from pullback_graph.table import OP_TABLE_VERSION, OPS
from pullback_graph.text import parse, to_text
from pullback_graph.types import FLOAT64, ArrayType
from pullback_proto.v1 import graph_pb2, tensor_pb2
from tests.graph.drawing import Case
from tests.graph.random_graphs import graphs
from tests.graph.row_graphs import ROW_CASES, graph_of

Message = graph_pb2.Graph
GRAPH = parse("""graph(x: float64[3], w: float64[2,3]) {
  %2 = constant float64[] 2.0
  %3 = multiply(x, %2)
  %4 = matmul(w, %3)
  %5 = sum(%4, axes=(0,), keepdims=false)
  return result = %5
}""")


def with_change(change: Callable[[Message], object]) -> Message:
    """The message of GRAPH after a change."""
    message = encode_graph(GRAPH)
    change(message)
    return message


# --- round trip -----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ROW_CASES, ids=str)
def test_every_row_travels(case: Case) -> None:
    """A node of every row, with attributes of every kind, comes back the same."""
    graph = graph_of(case)
    assert decode_graph(encode_graph(graph).SerializeToString()) == graph


def test_every_kind_of_attribute_travels() -> None:
    """The rows use every kind of attribute, so the test above covers each kind's encoding."""
    assert {item.kind for op in OPS.values() for item in op.attributes} == set(Kind)


@given(graphs(special=True))
def test_random_graphs_travel(graph: Graph) -> None:
    """Values keep their numbers and nodes their order; nothing is pruned."""
    found = decode_graph(encode_graph(graph).SerializeToString())
    assert found.inputs == graph.inputs
    assert found.nodes == graph.nodes
    assert found.outputs == graph.outputs
    assert to_text(found) == to_text(graph)


def test_defaults_may_be_left_out() -> None:
    """An attribute that an older client does not know takes its default."""
    message = with_change(lambda m: m.nodes[2].attributes.pop())
    assert decode_graph(message) == GRAPH


def test_constants_keep_their_bits() -> None:
    """NaN payloads and signs of zero travel as they are."""
    array = np.array([-0.0, np.inf, -np.nan])
    builder = Builder()
    graph = builder.build({"z": builder.constant(array)})
    assert decode_graph(encode_graph(graph)).constants[0].tobytes() == array.tobytes()


def test_names_that_are_no_text_do_not_travel() -> None:
    """A name with a lone surrogate, which UTF-8 has not, is GraphError on the sending side."""
    builder = Builder()
    x = builder.input("\ud800", ArrayType(FLOAT64, ()))
    with pytest.raises(GraphError, match="does not fit the wire"):
        encode_graph(builder.build({"z": x}))


# --- faults ---------------------------------------------------------------------------------------


def _huge_broadcast(message: Message) -> None:
    node = message.nodes.add(op="broadcast_to", operands=[2])
    node.attributes.add(name="shape").ints_value.values.extend([2**40, 2**40])


def _long_tuple(message: Message) -> None:
    node = message.nodes.add(op="expand_dims", operands=[2])
    node.attributes.add(name="axes").ints_value.values.extend(range(100_000))


FAULTS: dict[str, tuple[Callable[[Message], object], type[PullbackError], str, str]] = {
    "cycle": (
        lambda m: m.nodes[0].operands.__setitem__(1, 4),
        GraphError,
        "graph.nodes[0]",
        "cycle or forward reference",
    ),
    "own result": (
        lambda m: m.nodes[0].operands.__setitem__(1, 3),
        GraphError,
        "graph.nodes[0]",
        "cycle or forward reference",
    ),
    "operand out of range": (
        lambda m: m.nodes[2].operands.__setitem__(0, 2**32 - 1),
        GraphError,
        "graph.nodes[2]",
        "node 2 sum: operand 4294967295",
    ),
    "unknown op": (
        lambda m: setattr(m.nodes[1], "op", "matmull"),
        UnknownOp,
        "graph.nodes[1]",
        "did you mean matmul",
    ),
    "arity": (
        lambda m: m.nodes[1].operands.append(0),
        ArityError,
        "graph.nodes[1]",
        "takes 2 operand",
    ),
    "missing attribute": (
        lambda m: m.nodes[2].attributes.pop(0),
        AttributeFault,
        "graph.nodes[2]",
        "'axes' .* is missing",
    ),
    "unknown attribute": (
        lambda m: m.nodes[0].attributes.add(name="beta", int_value=1),
        AttributeFault,
        "graph.nodes[0]",
        "unknown attribute 'beta'",
    ),
    "doubled attribute": (
        lambda m: m.nodes[2].attributes.append(m.nodes[2].attributes[0]),
        AttributeFault,
        "graph.nodes[2]",
        "given twice",
    ),
    "ill-typed attribute": (
        lambda m: setattr(m.nodes[2].attributes[1], "int_value", 1),
        AttributeFault,
        "graph.nodes[2]",
        "must be bool, got int",
    ),
    "empty attribute": (
        lambda m: m.nodes[2].attributes[1].Clear(),
        AttributeFault,
        "graph.nodes[2]",
        "unknown attribute ''",
    ),
    "valueless attribute": (
        lambda m: m.nodes[2].attributes[1].ClearField("bool_value"),
        AttributeFault,
        "graph.nodes[2]",
        "got nothing",
    ),
    "shapes": (
        lambda m: m.inputs[1].type.shape.__setitem__(1, 4),
        ShapeError,
        "graph.nodes[1]",
        "node 1 matmul",
    ),
    "dtypes": (
        lambda m: setattr(m.inputs[0].type, "dtype", tensor_pb2.DTYPE_FLOAT32),
        DTypeError,
        "graph.nodes[0]",
        "node 0 multiply",
    ),
    "unknown dtype": (
        lambda m: setattr(m.inputs[0].type, "dtype", 99),
        DTypeError,
        "graph.inputs[0]",
        "99",
    ),
    "negative size": (
        lambda m: m.inputs[0].type.shape.__setitem__(0, -3),
        WireError,
        "graph.inputs[0]",
        "not negative",
    ),
    "doubled input": (
        lambda m: setattr(m.inputs[1], "name", "x"),
        GraphError,
        "graph.inputs[1]",
        "taken",
    ),
    "empty input name": (
        lambda m: setattr(m.inputs[1], "name", ""),
        GraphError,
        "graph.inputs[1]",
        "empty",
    ),
    "long name": (
        lambda m: setattr(m.inputs[1], "name", "x" * 5000),
        LimitExceeded,
        "graph.inputs[1]",
        "5000 characters",
    ),
    "huge input": (
        lambda m: m.inputs[0].type.shape.__setitem__(0, 2**62),
        LimitExceeded,
        "graph.inputs[0]",
        "elements",
    ),
    "huge result": (_huge_broadcast, LimitExceeded, "graph.nodes[3]", "elements"),
    "long tuple": (_long_tuple, LimitExceeded, "graph.nodes[3]", "100000 entries"),
    "short constant": (
        lambda m: setattr(m.constants[0], "data", b"123"),
        WireError,
        "graph.constants[0].data",
        "takes 8 bytes, got 3",
    ),
    "no output": (lambda m: m.outputs.pop(), GraphError, "graph.outputs", "at least one output"),
    "doubled output": (
        lambda m: m.outputs.append(m.outputs[0]),
        GraphError,
        "graph.outputs",
        "distinct",
    ),
    "output out of range": (
        lambda m: setattr(m.outputs[0], "value", 6),
        GraphError,
        "graph.outputs[0]",
        "values run from 0 to 5",
    ),
    "empty subgraph": (
        lambda m: m.subgraphs.add(),
        GraphError,
        "graph.subgraphs[0].outputs",
        "at least one output",
    ),
    "newer table": (
        lambda m: setattr(m, "op_table_version", OP_TABLE_VERSION + 1),
        UnsupportedError,
        "graph.op_table_version",
        "update the server",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_typed_and_placed(fault: str) -> None:
    """A malformed graph is the error of its kind, its field the part at fault."""
    change, kind, field, words = FAULTS[fault]
    with pytest.raises(kind, match=words) as caught:
        decode_graph(with_change(change))
    assert type(caught.value) is kind
    assert caught.value.field == field


def test_a_message_stays_short_whatever_it_quotes() -> None:
    """An attribute of a million entries is not quoted whole in the error that refuses it."""
    message = encode_graph(GRAPH)
    node = message.nodes.add(op="permute_dims", operands=[0])
    node.attributes.add(name="axes").ints_value.values.extend(range(100_000))
    with pytest.raises(ShapeError, match="node 3 permute_dims") as caught:
        decode_graph(message)
    assert len(caught.value.message) <= 1500


@pytest.mark.parametrize(
    ("limits", "what"),
    [
        (Limits(max_nodes=2), "3 nodes, where at most 2"),
        (Limits(max_inputs=1), "2 inputs, where at most 1"),
        (Limits(max_outputs=0), "1 outputs, where at most 0"),
        (Limits(max_constants=0), "1 constants, where at most 0"),
        (Limits(max_constants_bytes=7), "8 bytes of constants, where at most 7"),
        (Limits(max_elements=5), "6 elements in one array, where at most 5"),
        (Limits(max_rank=1), "2 axes, where at most 1"),
        (Limits(max_text_length=0), "1 characters in a name, where at most 0"),
    ],
)
def test_a_limit_says_what_was_asked_and_what_is_allowed(limits: Limits, what: str) -> None:
    """Crossing any limit is LimitExceeded with both numbers."""
    with pytest.raises(LimitExceeded, match=what):
        decode_graph(encode_graph(GRAPH), limits)


def test_too_many_nodes_are_refused_before_any_is_built() -> None:
    """The count is looked at first: whatever the nodes are, too many are LimitExceeded."""
    message = graph_pb2.Graph()
    message.nodes.extend([graph_pb2.Node(op="nonsense")] * 1000)
    with pytest.raises(LimitExceeded, match="1000 nodes"):
        decode_graph(message, Limits(max_nodes=999))


def test_small_parts_are_counted_before_parsing() -> None:
    """A message of more parts than allowed is refused unparsed: parsing makes each an object."""
    with pytest.raises(LimitExceeded, match="1001 parts"):
        decode_graph(b"\x1a\x00" * 10_000, Limits(max_parts=1000))


@given(graphs(special=True))
def test_parts_are_counted_as_protobuf_sees_them(graph: Graph) -> None:
    """The count over the bytes is the count over the parsed message."""
    message = encode_graph(graph)
    data = message.SerializeToString()
    parts = _parts(message)
    assert count_parts(graph_pb2.Graph, data, parts) == parts
    assert count_parts(graph_pb2.Graph, data, 3) == min(parts, 4)


@given(st.binary(max_size=60), st.integers(0, 5))
def test_counting_ends_on_any_bytes(data: bytes, enough: int) -> None:
    """Garbage is counted to some number, never an error: parsing says what is wrong with it."""
    assert 0 <= count_parts(graph_pb2.Graph, data, enough) <= enough + 1


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05ab", b"\x1a\x02\x0a\xff" * 3])
def test_bytes_that_are_no_graph_are_a_wire_error(data: bytes) -> None:
    """Truncated and random bytes are WireError naming the message."""
    with pytest.raises(WireError, match=r"no pullback\.v1\.Graph"):
        decode_graph(data)


def _parts(message: Any) -> int:
    """Fields with a length in a parsed message, at all depths; packed numbers are one of them."""
    count = 0
    for field, value in message.ListFields():
        items = list(value) if field.is_repeated else [value]
        if field.message_type is not None:
            count += sum(1 + _parts(item) for item in items)
        elif field.type in (field.TYPE_STRING, field.TYPE_BYTES):
            count += len(items)
        else:
            count += field.is_repeated
    return count
