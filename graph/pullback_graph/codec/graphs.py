"""Graphs: a message per node. Decoding builds through a Builder, so every node meets its type rule.

Sizes are checked before anything is built, and each result's before the next node may use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pullback_graph.builder import Builder, unknown_op
from pullback_graph.codec.attributes import decode_attributes, encode_attributes
from pullback_graph.codec.messages import parsed, shortened
from pullback_graph.codec.tensors import decode_dtype, decode_tensor, encode_tensor
from pullback_graph.errors import (
    AttributeFault,
    GraphError,
    PullbackError,
    UnknownOp,
    UnsupportedError,
)
from pullback_graph.fingerprint import NUMBERS
from pullback_graph.graph import Graph
from pullback_graph.limits import DEFAULT_LIMITS, Limits
from pullback_graph.op import Op
from pullback_graph.ref import Ref
from pullback_graph.subgraphs import Subgraphs, subgraphs
from pullback_graph.table import OP_TABLE_VERSION, OPS
from pullback_graph.types import ArrayType
from pullback_proto.v1 import graph_pb2


def encode_graph(graph: Graph) -> graph_pb2.Graph:
    """The message of a graph.

    Raises:
        GraphError: a name or an attribute does not fit the wire.
    """
    message = graph_pb2.Graph()
    write_graph(message, graph)
    return message


def write_graph(message: graph_pb2.Graph, graph: Graph) -> None:
    """Fill an empty message with a graph."""
    message.op_table_version = OP_TABLE_VERSION
    table = subgraphs(graph)
    for body in table.graphs:
        _write_flat(message.subgraphs.add(), body, table)
    _write_flat(message, graph, table)


def _write_flat(message: Any, graph: Graph, table: Subgraphs) -> None:
    """Write a graph's own parts; what it holds goes by its place in the table."""
    try:
        for name, type in graph.inputs:
            dtype = NUMBERS[type.dtype]
            message.inputs.add(name=name, type={"dtype": dtype, "shape": type.shape})
        message.constants.extend([encode_tensor(array) for array in graph.constants])
        for name, value in graph.outputs:
            message.outputs.add(name=name, value=value)
    except ValueError as error:
        raise GraphError(f"a name or size does not fit the wire: {error}") from None
    add = message.nodes.add
    for position, (op, operands, attributes, _) in enumerate(graph.nodes):
        node = add(op=op.name, operands=operands)
        if attributes:
            try:
                encode_attributes(node.attributes, op, attributes, table)
            except ValueError as error:
                raise AttributeFault(
                    f"node {position} {op.name}: an attribute does not fit the wire: {error}",
                    field=f"graph.nodes[{position}]",
                ) from None


def decode_graph(
    data: bytes | graph_pb2.Graph, limits: Limits | None = None, field: str = "graph"
) -> Graph:
    """The graph of a message or its bytes, every node checked by its row, numbers kept.

    Raises:
        WireError: the bytes are no Graph, or a constant's do not decode.
        GraphError: a cycle, a bad number, a name that is empty or doubled; or one of its kinds,
            UnknownOp, ArityError and AttributeFault.
        ShapeError, DTypeError: a node's types do not fit.
        LimitExceeded: more is asked than `limits` (by default, the usual ones) allow.
        UnsupportedError: it was made with a newer operator table.
    """
    limits = limits or DEFAULT_LIMITS
    message = parsed(graph_pb2.Graph, data, field, limits)
    _check_version(message, field)
    _check_counts(message, limits, field)
    known: list[Graph] = []
    for position, item in enumerate(message.subgraphs):
        place = f"{field}.subgraphs[{position}]"
        if item.subgraphs:
            raise GraphError(
                "a subgraph has subgraphs of its own; list them all in the outermost graph",
                field=place,
            )
        known.append(_decode_flat(item, known, limits, place))
    graph = _decode_flat(message, known, limits, field)
    if known:
        size_bytes = sum([array.nbytes for one in (*known, graph) for array in one.constants])
        limits.check("max_constants_bytes", size_bytes, "bytes of constants", f"{field}.constants")
    return graph


def _decode_flat(message: Any, known: Sequence[Graph], limits: Limits, field: str) -> Graph:
    """One graph of the table, on those before it."""
    builder = Builder()
    _add_inputs(builder, message, limits, field)
    _add_constants(builder, message, limits, field)
    _add_nodes(builder, message, limits, field, known)
    graph = _with_outputs(builder, message, limits, field)
    limits.check("max_depth", graph.depth, "levels of subgraphs", field)
    if graph.depth:
        limits.check("max_nodes", graph.node_count, "nodes, those of subgraphs included", field)
    return graph


# --- parts ----------------------------------------------------------------------------------------


def _check_version(message: Any, field: str) -> None:
    version = message.op_table_version
    if version > OP_TABLE_VERSION:
        raise UnsupportedError(
            f"the graph was made with operator table {version}, this is {OP_TABLE_VERSION}; "
            "update the server, or send from an older client",
            field=f"{field}.op_table_version",
        )


def _check_counts(message: Any, limits: Limits, field: str) -> None:
    """Refuse too many of anything, in the graph and its subgraphs together."""
    limits.check("max_subgraphs", len(message.subgraphs), "subgraphs", f"{field}.subgraphs")
    graphs = [message, *message.subgraphs]
    for limit, part in _COUNTED.items():
        count = sum([len(getattr(graph, part)) for graph in graphs])
        limits.check(limit, count, part, f"{field}.{part}")


_COUNTED = {
    "max_nodes": "nodes",
    "max_inputs": "inputs",
    "max_constants": "constants",
    "max_outputs": "outputs",
}


def _add_inputs(builder: Builder, message: Any, limits: Limits, field: str) -> None:
    for position, item in enumerate(message.inputs):
        place = f"{field}.inputs[{position}]"
        limits.check("max_text_length", len(item.name), "characters in a name", place)
        shape = tuple(item.type.shape)
        limits.check_tensor(shape, place)
        dtype = decode_dtype(item.type.dtype, place)
        try:
            builder.input(item.name, ArrayType(dtype, shape))
        except GraphError as error:
            raise GraphError(error.message, field=place) from None


def _add_constants(builder: Builder, message: Any, limits: Limits, field: str) -> None:
    size_bytes = 0
    for position, item in enumerate(message.constants):
        array = decode_tensor(item, limits, f"{field}.constants[{position}]")
        size_bytes += array.nbytes
        builder.constant(array)
    limits.check("max_constants_bytes", size_bytes, "bytes of constants", f"{field}.constants")


def _add_nodes(
    builder: Builder, message: Any, limits: Limits, field: str, known: Sequence[Graph]
) -> None:
    append, types, rows = builder.append, builder.types, OPS
    max_rank, max_elements = limits.max_rank, limits.max_elements
    count, max_operands = 0, limits.max_operands
    for position, node in enumerate(message.nodes):
        try:
            op = rows.get(node.op)
            if op is None:
                raise UnknownOp(unknown_op(node.op[:80]))
            count += len(node.operands)
            if count > max_operands:
                limits.check("max_operands", count, "operands of nodes", "")
            operands = tuple(node.operands)
            if operands and max(operands) >= len(types):
                raise _forward(operands, len(types))
            given = node.attributes
            attributes = decode_attributes(op, given, limits, known) if given else {}
            for index in append(op, operands, attributes):
                shape = types[index].shape
                elements = 1
                for size in shape:
                    elements *= size or 1
                if elements > max_elements or len(shape) > max_rank:
                    limits.check_tensor(shape)
        except PullbackError as error:
            raise _placed(error, op, node.op, position, field) from None


def _with_outputs(builder: Builder, message: Any, limits: Limits, field: str) -> Graph:
    count = len(builder.types)
    outputs = []
    for position, item in enumerate(message.outputs):
        place = f"{field}.outputs[{position}]"
        limits.check("max_text_length", len(item.name), "characters in a name", place)
        if item.value >= count:
            raise GraphError(
                f"output {item.name!r} names value {item.value}; values run from 0 to {count - 1}",
                field=place,
            )
        outputs.append((item.name, Ref(builder, item.value)))
    try:
        return builder.build(outputs, prune=False)
    except GraphError as error:
        raise GraphError(shortened(error.message), field=f"{field}.outputs") from None


# --- faults ---------------------------------------------------------------------------------------


def _forward(operands: tuple[int, ...], count: int) -> GraphError:
    return GraphError(
        f"operand {max(operands)} is not a value before this node (those are 0 to {count - 1}): "
        "a cycle or forward reference; list nodes after what they use"
    )


def _placed(
    error: PullbackError, op: Op | None, name: str, position: int, field: str
) -> PullbackError:
    """The same error, naming the node in words and by the request's field."""
    message = error.message
    if not error.field.startswith("graph.nodes"):
        message = f"node {position} {op.name if op else name[:80]}: {message}"
    return type(error)(shortened(message), field=f"{field}.nodes[{position}]")
