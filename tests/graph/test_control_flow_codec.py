"""Subgraphs on the wire, in text and in fingerprints: a flat table, and hostile ones refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pullback_graph.builder import Builder
from pullback_graph.codec import decode_graph, encode_graph
from pullback_graph.errors import (
    AttributeFault,
    GraphError,
    LimitExceeded,
    ParseError,
    PullbackError,
)
from pullback_graph.graph import Graph
from pullback_graph.limits import Limits
from pullback_graph.ref import Ref, do
from pullback_graph.text import parse
from pullback_graph.types import FLOAT64, ArrayType
from pullback_proto.v1 import graph_pb2

F64 = ArrayType(FLOAT64, ())
STEP = parse("graph(h: float64[], x: float64[]) {\n%2 = add(h, x)\nreturn h = %2\n}")


def loop(body: Graph, h: Ref, x: Ref, steps: int = 2) -> Ref:
    """A scan of a body like STEP that is given `x` each time."""
    xs = do.broadcast_to(x, shape=(steps,))
    last: Ref = h.builder.add("scan", h, xs, body=body, consts=0, carries=1)
    return last


def looped(body: Graph, times: int = 1) -> Graph:
    """So many such loops, one after the other, as a graph like STEP."""
    b = Builder()
    h, x = b.input("h", F64), b.input("x", F64)
    for _ in range(times):
        h = loop(body, h, x)
    return b.build({"h": h}, prune=False)


NESTED = looped(looped(STEP, 2), 2)


def test_equal_subgraphs_travel_once() -> None:
    """Two levels of two loops each: two entries in the table, what is held first."""
    message = encode_graph(NESTED)
    assert len(message.subgraphs) == 2
    assert [len(item.subgraphs) for item in message.subgraphs] == [0, 0]
    back = decode_graph(message.SerializeToString())
    assert back == NESTED
    assert str(back) == str(NESTED)
    assert parse(str(NESTED)) == NESTED
    assert NESTED.depth == 2
    assert NESTED.node_count == 4 + 2 * (4 + 2 * 1)


def test_an_absent_subgraph_travels_as_nothing() -> None:
    """A derivative that is not given has no attribute on the wire or in text."""
    b = Builder()
    h, x = b.input("h", F64), b.input("x", F64)
    rule = parse("graph(h: float64[], x: float64[], dh: float64[], dx: float64[]) {return t = dh}")
    graph = b.build({"h": b.add("custom", h, x, forward=STEP, jvp=rule)})
    message = encode_graph(graph)
    assert "vjp" not in [item.name for item in message.nodes[0].attributes]
    assert decode_graph(message.SerializeToString()) == graph == parse(str(graph))


def test_fingerprints_tell_bodies_apart() -> None:
    """A graph's fingerprint depends on what is inside its bodies, at any depth."""
    other = parse("graph(h: float64[], x: float64[]) {\n%2 = subtract(h, x)\nreturn h = %2\n}")
    assert looped(looped(STEP)) == looped(looped(STEP))
    assert looped(looped(STEP)).fingerprint != looped(looped(other)).fingerprint


# --- faults ---------------------------------------------------------------------------------------


def named(message: Any, entry: int, place: int) -> None:
    """Let the loop in an entry of the table name another entry (-1: the outermost graph's loop)."""
    graph = message if entry < 0 else message.subgraphs[entry]
    for node in graph.nodes:
        for item in node.attributes:
            if item.name == "body":
                item.subgraph_value = place


def tower(message: Any) -> None:
    """Each entry holds the one before it, twenty thousand times."""
    entry = message.subgraphs[1]
    del message.subgraphs[1:]
    for place in range(20_000):
        entry.nodes[1].attributes[0].subgraph_value = place
        message.subgraphs.append(entry)


def doubling(message: Any) -> None:
    """Each entry holds the one before it twice: a dozen of them are 2¹² bodies and more."""
    entry = graph_pb2.Graph()
    entry.CopyFrom(message.subgraphs[1])
    for place in range(1, 15):
        for node in entry.nodes:
            for item in node.attributes:
                if item.name == "body":
                    item.subgraph_value = place
        message.subgraphs.append(entry)


FAULTS: dict[str, tuple[Callable[[Any], Any], type[PullbackError], str, str]] = {
    "itself": (lambda m: named(m, 1, 1), GraphError, "graph.subgraphs[1].nodes[1]", "a cycle"),
    "later": (lambda m: named(m, 0, 1), GraphError, "graph.subgraphs[1].nodes[1]", "a cycle"),
    "out of range": (lambda m: named(m, -1, 7), GraphError, "graph.nodes[1]", "subgraph 7, and 2"),
    "of its own": (
        lambda m: m.subgraphs[0].subgraphs.add(),
        GraphError,
        "graph.subgraphs[0]",
        "outermost",
    ),
    "too many": (tower, LimitExceeded, "graph.subgraphs", "max_subgraphs"),
    "doubled": (doubling, LimitExceeded, "graph.subgraphs[", "max_nodes"),
    "a number": (
        lambda m: setattr(m.nodes[1].attributes[0], "int_value", 0),
        AttributeFault,
        "graph.nodes[1]",
        "must be graph, got int",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_hostile_table_is_refused(fault: str) -> None:
    """Cycles, towers, doubling and wrong numbers are typed errors, at once."""
    change, kind, field, words = FAULTS[fault]
    message = encode_graph(NESTED)
    if fault == "later":  # the first entry gets a loop too
        message.subgraphs[0].CopyFrom(message.subgraphs[1])
        named(message, 0, 1)
        field = "graph.subgraphs[0].nodes[1]"
    change(message)
    with pytest.raises(kind, match=words) as caught:
        decode_graph(message.SerializeToString(), Limits(max_nodes=20_000))
    assert caught.value.field.startswith(field)


def test_depth_and_nodes_are_limited_apart() -> None:
    """A tower within the table's length is too deep; doubling is counted as often as it is held."""
    deep = STEP
    for _ in range(5):
        deep = looped(deep)
    with pytest.raises(LimitExceeded, match="5 levels of subgraphs, where at most 4"):
        decode_graph(encode_graph(deep), Limits(max_depth=4))
    with pytest.raises(LimitExceeded, match=r"16 nodes, those of subgraphs included"):
        decode_graph(encode_graph(NESTED), Limits(max_nodes=15))
    wide = parse("graph(x: float64[2]) {\n%1 = constant float64[2] [1.0, 2.0]\nreturn y = %1\n}")
    b = Builder()
    graph = b.build(
        {"y": b.add("custom", b.input("x", wide.inputs[0].type), forward=wide, jvp=_unary())}
    )
    with pytest.raises(LimitExceeded, match="16 bytes of constants"):
        decode_graph(encode_graph(graph), Limits(max_constants_bytes=15))


def _unary() -> Graph:
    return parse("graph(x: float64[2], dx: float64[2]) {return t = dx}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "graph(x: float64[]) {\n%1 = custom(x, forward=@0)\nreturn y = %1\n}",
            "@0 is not defined",
        ),
        ("@0 = graph(x: float64[]) {\n%1 = custom(x, forward=@0)\nreturn y = %1\n}\n", "a cycle"),
        ("@0 = graph(x: float64[]) {return y = x}\n" * 2, "@0 is defined already"),
        ("@0 = graph(x: float64[]) {return y = x}\n", "expected 'graph'"),
    ],
)
def test_faults_in_the_text(text: str, words: str) -> None:
    """A subgraph is named after it is defined, and defined once."""
    with pytest.raises(ParseError, match=words):
        parse(text)


def test_constants_in_bodies_are_kept_to_the_bit() -> None:
    """NaN, -0 and a large constant inside a body travel like any other."""
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, (40,)))
    held = np.linspace(-1, 1, 40)
    held[:2] = np.nan, -0.0
    body = b.build({"y": x + b.constant(held)})
    b = Builder()
    xs = b.input("xs", ArrayType(FLOAT64, (3, 40)))
    graph = b.build({"y": b.add("scan", xs, body=body, consts=0, carries=0)})
    for back in (decode_graph(encode_graph(graph).SerializeToString()), parse(str(graph))):
        assert back == graph
        np.testing.assert_array_equal(back.bodies[0].constants[0], held)
        assert np.signbit(back.bodies[0].constants[0][1])
