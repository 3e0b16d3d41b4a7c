"""From a Graph that is scalar code to a Tape: every array becomes an array of scalar numbers.

What moves data only moves numbers; elementwise rows append a node per element, reductions a tree of
them. A value of bool is a truth value, a number 0 or 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from string import ascii_letters
from typing import Any, TypeAlias

import numpy as np

from pullback_graph.errors import LimitExceeded, UnsupportedError
from pullback_graph.graph import Graph, Node
from pullback_graph.tape.builder import Numbers, TapeBuilder
from pullback_graph.tape.check import MAX_TAPE_NODES
from pullback_graph.tape.rows import ROW_NUMBERS, NDArray
from pullback_graph.tape.tape import Tape
from pullback_graph.types import BOOL, FLOAT32, FLOAT64, DType

Expand: TypeAlias = Callable[..., Numbers]
"""`(builder, node, *operands)` -> the numbers of the node's result."""

ELEMENTS_A_NODE = 4
"""Elements of all values together for each node that a tape may have: a number of eight bytes."""


def tape_of(graph: Graph, *, max_nodes: int = MAX_TAPE_NODES) -> Tape:
    """The tape that computes what a graph of scalars and small arrays of one floating dtype does.

    Raises:
        UnsupportedError: a node or a type is not scalar code; the message names it.
        LimitExceeded: the tape would have more than `max_nodes` nodes, or far more elements.
    """
    builder = TapeBuilder(tape_dtype(graph), max_nodes=max_nodes)
    _check_elements(graph, ELEMENTS_A_NODE * max_nodes)
    values: list[Any] = [builder.input(item.name, item.type.shape) for item in graph.inputs]
    values += [_constant(builder, constant) for constant in graph.constants]
    for position, node in enumerate(graph.nodes):
        expand = ROWS.get(node.op.name)
        if expand is None:
            raise _not_scalar(position, node)
        operands = [values[i] for i in node.operands]
        try:
            values.append(expand(builder, node, *operands))
        except UnsupportedError as error:
            raise UnsupportedError(
                f"node {position} {node.op.name}: {error.message}", field=f"graph.nodes[{position}]"
            ) from None
    return builder.build({item.name: values[item.value] for item in graph.outputs})


def _check_elements(graph: Graph, allowed: int) -> None:
    """Refuse values of too many elements: what only moves them makes no nodes, and takes memory."""
    elements = 0
    for position, node in enumerate(graph.nodes):
        elements += sum([type.size for type in node.types])
        if elements > allowed:
            raise LimitExceeded(
                f"up to node {position} {node.op.name} the values have {elements} elements, and a "
                f"tape numbers {allowed}; run the graph on another executor",
                field=f"graph.nodes[{position}]",
            )


def tape_dtype(graph: Graph) -> DType:
    """The floating dtype of a graph that could be a tape.

    Raises:
        UnsupportedError: there are several, or an input or output is of no such dtype.
    """
    sides = [item.type for item in graph.inputs]
    sides += [graph.output_type(position) for position in range(len(graph.outputs))]
    dtypes = {type.dtype for type in sides}
    if len(dtypes) != 1 or dtypes.isdisjoint({FLOAT64, FLOAT32}):
        listed = " and ".join(sorted(dtype.name for dtype in dtypes)) or "nothing"
        raise UnsupportedError(
            f"a tape's inputs and outputs are all float64 or all float32, not {listed}; run the "
            "graph on another executor"
        )
    return dtypes.pop()


def _not_scalar(position: int, node: Node) -> UnsupportedError:
    return UnsupportedError(
        f"node {position} {node.op.name} has no scalar form; run the graph on another executor",
        field=f"graph.nodes[{position}]",
    )


class _Known:
    """An integer constant: no scalar of the tape, but an index may be one."""

    __slots__ = ("array",)

    def __init__(self, array: NDArray) -> None:
        self.array = array


def _constant(builder: TapeBuilder, array: NDArray) -> Any:
    if array.dtype == builder.dtype or array.dtype == BOOL:
        return builder.constant(array)
    if array.dtype.kind == "c":
        raise UnsupportedError(f"a constant is {array.dtype.name}: tapes are of real numbers")
    return _Known(array)


# --- elementwise ----------------------------------------------------------------------------------


def _elementwise(builder: TapeBuilder, node: Node, *operands: Numbers) -> Numbers:
    if node.types[0].dtype not in (builder.dtype, BOOL):
        raise UnsupportedError(f"its result is {node.types[0]}, and the tape {builder.dtype.name}")
    _refuse_known(operands)
    return builder.append(node.op.name, *operands)


def _refuse_known(operands: Sequence[Any]) -> None:
    for operand in operands:
        if type(operand) is _Known:
            raise UnsupportedError("an operand is an integer array; cast it before tracing")


def _astype(builder: TapeBuilder, node: Node, x: Numbers) -> Numbers:
    """Truth values are numbers already; a number is true where it is not 0."""
    dtype = node.attributes["dtype"]
    if type(x) is _Known:
        return _constant(builder, x.array.astype(dtype))
    if dtype == builder.dtype:
        return x
    if dtype == BOOL:
        return builder.append("not_equal", x, builder.constant(0.0))
    raise UnsupportedError(f"a tape of {builder.dtype.name} has no {dtype.name}")


# --- what moves data ------------------------------------------------------------------------------


def _moving(move: Callable[..., NDArray]) -> Expand:
    """The row that does to numbers what it does to elements."""

    def expand(builder: TapeBuilder, node: Node, *operands: Numbers) -> Numbers:
        _refuse_known(operands)
        return _numbers(move(*[np.asarray(x) for x in operands], **node.attributes))

    return expand


def _numbers(array: NDArray) -> Numbers:
    return array if array.ndim else int(array)


def _block(ranges: Iterable[range]) -> tuple[NDArray, ...]:
    """The index of a block: its positions along each axis."""
    return np.ix_(*[np.arange(r.start, r.stop, r.step) for r in ranges])


def _take(builder: TapeBuilder, node: Node, x: Numbers, indices: Any) -> Numbers:
    """A take at constant indices; out-of-range ones as the row says: negative ones count back."""
    if type(indices) is not _Known or type(x) is _Known:
        raise UnsupportedError("its indices are not constant")
    axis = node.attributes["axis"]
    size = np.shape(x)[axis]
    wide = indices.array.astype(np.int64)
    if indices.array.dtype == np.uint64:
        wide = np.minimum(indices.array, np.uint64(size)).astype(np.int64)
    counted = np.where(wide < 0, wide + size, wide)
    return _numbers(np.take(x, np.clip(counted, 0, max(size - 1, 0)), axis))


def _pad(builder: TapeBuilder, node: Node, x: Numbers, fill: Numbers) -> Numbers:
    widths = list(zip(node.attributes["low"], node.attributes["high"], strict=True))
    return _numbers(np.pad(np.asarray(x), widths, constant_values=fill))


def _unslice(builder: TapeBuilder, node: Node, *parts: Numbers) -> Numbers:
    """Zeros with each part added at its place."""
    shape, starts, steps = (node.attributes[name] for name in ("shape", "starts", "steps"))
    total, rank = np.full(shape, builder.constant(0.0), np.int64), len(shape)
    for position, part in enumerate(parts):
        own = slice(position * rank, (position + 1) * rank)
        triples = zip(starts[own], np.shape(part), steps[own], strict=True)
        place = _block(range(a, a + n * step, step) for a, n, step in triples)
        total[place] = builder.append("add", total[place], np.asarray(part))
    return _numbers(total)


# --- what joins elements --------------------------------------------------------------------------


def _reducing(op: str, identity: float) -> Expand:
    """A reduction as a balanced tree of `op`."""

    def expand(builder: TapeBuilder, node: Node, x: Numbers) -> Numbers:
        _refuse_known([x])
        axes, array = node.attributes["axes"], np.asarray(x)
        kept = [axis for axis in range(array.ndim) if axis not in axes]
        moved = array.transpose([*kept, *axes])
        flat = moved.reshape([*moved.shape[: len(kept)], -1]) if array.size else None
        if flat is None:
            shape = [array.shape[axis] for axis in kept]
            total = np.full(shape, builder.constant(identity), np.int64)
        else:
            total = np.asarray(_tree(builder, op, flat))
        return _numbers(total.reshape(node.types[0].shape))

    return expand


def _tree(builder: TapeBuilder, op: str, terms: NDArray) -> NDArray:
    """The last axis (not empty) joined by `op`, pairs first."""
    while terms.shape[-1] > 1:
        half = terms.shape[-1] // 2
        joined = np.asarray(builder.append(op, terms[..., :half], terms[..., half : 2 * half]))
        terms = np.concatenate([joined, terms[..., 2 * half :]], axis=-1)
    return terms[..., 0]


def _matmul(builder: TapeBuilder, node: Node, x: Numbers, y: Numbers) -> Numbers:
    _refuse_known([x, y])
    a, b = np.asarray(x), np.asarray(y)
    rows = a if a.ndim > 1 else a[None]
    columns = b if b.ndim > 1 else b[:, None]
    left, right = rows[..., :, None, :], np.swapaxes(columns, -1, -2)[..., None, :, :]
    return _contracted(builder, left, right, node.types[0].shape)


def _einsum(builder: TapeBuilder, node: Node, *operands: Numbers) -> Numbers:
    """Operands along the axes of all indices, multiplied, the contracted ones last and summed."""
    _refuse_known(operands)
    given, result = node.attributes["subscripts"].split("->")
    terms = given.split(",")
    contracted = [c for c in ascii_letters if c in given and c not in result]
    order = [*result, *contracted]
    aligned = [
        _aligned(np.asarray(x), term, order) for x, term in zip(operands, terms, strict=True)
    ]
    shape = np.broadcast_shapes(*[x.shape for x in aligned])
    product = aligned[0]
    for factor in aligned[1:]:
        _refuse_large(builder, np.broadcast_shapes(product.shape, factor.shape))
        product = np.asarray(builder.append("multiply", product, factor))
    flat = np.broadcast_to(product, shape).reshape([*shape[: len(result)], -1])
    return _summed(builder, flat, node.types[0].shape)


def _aligned(x: NDArray, term: str, order: Sequence[str]) -> NDArray:
    """The operand with an axis per index of `order`, of size one where it has none."""
    if len(set(term)) != len(term):
        diagonal = "".join(dict.fromkeys(term))
        x = np.einsum(f"{term}->{diagonal}", x)
        term = diagonal
    moved = x.transpose([term.index(c) for c in order if c in term])
    sizes = iter(moved.shape)
    return moved.reshape([next(sizes) if c in term else 1 for c in order])


def _contracted(
    builder: TapeBuilder, left: NDArray, right: NDArray, shape: tuple[int, ...]
) -> Numbers:
    _refuse_large(builder, np.broadcast_shapes(left.shape, right.shape))
    return _summed(builder, np.asarray(builder.append("multiply", left, right)), shape)


def _summed(builder: TapeBuilder, terms: NDArray, shape: tuple[int, ...]) -> Numbers:
    if terms.shape[-1] == 0:
        return _numbers(np.full(shape, builder.constant(0.0), np.int64))
    return _numbers(np.asarray(_tree(builder, "add", terms)).reshape(shape))


def _refuse_large(builder: TapeBuilder, shape: Sequence[int]) -> None:
    """Refuse before the numbers of so many products are made."""
    count = 1
    for size in shape:
        count *= size
    if count > MAX_TAPE_NODES:
        raise LimitExceeded(
            f"{count} products, more than the {MAX_TAPE_NODES} nodes of a tape; run the graph on "
            "another executor"
        )


ROWS: dict[str, Expand] = {
    **dict.fromkeys(ROW_NUMBERS, _elementwise),
    "astype": _astype,
    "reshape": _moving(lambda x, shape: x.reshape(shape)),
    "expand_dims": _moving(lambda x, axes: np.expand_dims(x, axis=axes)),
    "squeeze": _moving(lambda x, axes: x.squeeze(axes)),
    "permute_dims": _moving(lambda x, axes: x.transpose(axes)),
    "broadcast_to": _moving(lambda x, shape: np.array(np.broadcast_to(x, shape))),
    "flip": _moving(lambda x, axes: np.flip(x, axis=axes)),
    "concat": _moving(lambda *xs, axis: np.concatenate(xs, axis)),
    "stack": _moving(lambda *xs, axis: np.stack(xs, axis)),
    "roll": _moving(lambda x, shifts, axes: np.roll(x, shifts, axis=axes)),
    "slice": _moving(lambda x, starts, stops, steps: x[_block(map(range, starts, stops, steps))]),
    "tile": _moving(lambda x, repeats: np.tile(x, reps=repeats)),
    "diagonal": _moving(lambda x, offset: x.diagonal(offset, -2, -1)),
    "take": _take,
    "pad": _pad,
    "unslice": _unslice,
    "sum": _reducing("add", 0.0),
    "prod": _reducing("multiply", 1.0),
    "any": _reducing("logical_or", 0.0),
    "all": _reducing("logical_and", 1.0),
    "matmul": _matmul,
    "einsum": _einsum,
}
"""By name: the rows with a scalar form."""
