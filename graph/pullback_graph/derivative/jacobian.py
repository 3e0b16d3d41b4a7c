"""Jacobians, by the mode that is estimated to be the cheapest: forward, reverse, or sparse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pullback_graph.builder import Builder
from pullback_graph.derivative import dense
from pullback_graph.derivative.activity import active_values
from pullback_graph.derivative.blocks import Blocks, Pair, Problem
from pullback_graph.derivative.compressed import Block, Compression, compression
from pullback_graph.derivative.draft import (
    Derivative,
    Differentiated,
    Draft,
    MakeBuilder,
    Mode,
    wrt_indices,
)
from pullback_graph.derivative.linear_part import LinearPart
from pullback_graph.derivative.located import complex_jacobian, not_scalar
from pullback_graph.errors import LimitExceeded, NotDifferentiable
from pullback_graph.graph import Graph
from pullback_graph.ops.leading import reshaped
from pullback_graph.ref import Ref, do
from pullback_graph.sparsity import Evaluate, TooDense, structure
from pullback_graph.sparsity.propagate import MAX_ENTRIES
from pullback_graph.types import INT64
from pullback_graph.want import DerivativeKey, Names

MAX_JACOBIAN_ELEMENTS = 1 << 28
"""Elements of all blocks of a dense Jacobian together."""

CLEAR = 8
"""How many times as many seeds make a mode the dearer one without a look at the passes."""

MIN_ELEMENTS = 1 << 12
"""Elements of a dense Jacobian from which on it is worth looking for zeros."""
MIN_SEEDS = 16
"""Rows and columns from which on it is."""
MAX_PAIRS = 256
"""Pairs of an output and an input up to which it is: each block is put together by itself."""
PLACED_BYTES = 32
"""Bytes that could be moved while one place is written into a dense block."""
MAX_SEARCHED = 1 << 22
"""Entries held in the search for them, at most: what takes more has too few zeros."""


@dataclass(frozen=True, slots=True)
class Search:
    """How zeros are looked for.

    Attributes:
        evaluate: runs rows that move elements; None: their axes alone are asked.
        symmetric: whether rows and columns are of the same things, and mirror each other.
    """

    evaluate: Evaluate | None = None
    symmetric: bool = False

    def found(self, problem: Problem, limit: int, most: int | None = None) -> Compression | None:
        """The cheapest compression; None where it takes over `most` colours.

        Raises:
            TooDense: the structure holds more than `limit` entries.
        """
        graph, indices, values = problem.graph, problem.indices, problem.values
        pattern = structure(graph, indices, values, self.evaluate, limit)
        symmetric = self.symmetric and len(indices) == len(values)
        return compression(problem, pattern, symmetric=symmetric, most=most)


def jacobian(
    graph: Graph,
    wrt: Names,
    outputs: Names = (),
    make_builder: MakeBuilder = Builder,
    *,
    sparse: bool = False,
    search: Search | None = None,
) -> Differentiated:
    """Jacobians of outputs by inputs, each of shape output.shape + input.shape.

    The dtype is the output's, in any mode. A sparse one has the values at the places of its pattern
    in place of the block, in a row. By complex inputs, the rows of real outputs are their gradients
    (so complex); complex outputs have columns by real inputs.

    Raises:
        NotDifferentiable: an output or an input is not floating, or there are complex ones on both
            sides, or on one of a sparse Jacobian; or a row has no derivative.
        LimitExceeded: the blocks have more than MAX_JACOBIAN_ELEMENTS elements, or the pattern of
            sparse ones more than MAX_ENTRIES; or the graph takes too many passes for its size.
    """
    names = outputs or tuple(o.name for o in graph.outputs if graph.types[o.value].is_floating)
    values = []
    for name in names:
        value = graph.outputs[graph.output_index(name)].value
        if not graph.types[value].is_floating:
            raise not_scalar(name, graph.types[value])
        values.append(value)
    indices = wrt_indices(graph, wrt)
    _check_complex(graph, dict(zip(names, values, strict=True)), indices, sparse=sparse)
    problem = Problem(graph, tuple(dict.fromkeys(values)), tuple(indices))
    keys = [DerivativeKey(name, by) for name in names for by in wrt]
    pairs = [(value, index) for value in values for index in indices]
    draft = Draft.of(graph, make_builder)
    if sparse and values:
        found = _compression(problem, search or Search())
        return _sparse(draft, problem, found, keys, pairs)
    _check_size(problem)
    blocks, mode = _blocks(draft, problem, search or Search())
    derivatives = [
        Derivative(key, blocks.get(pair), problem.block_type(*pair))
        for key, pair in zip(keys, pairs, strict=True)
    ]
    return draft.finish(derivatives, mode)


def _check_complex(
    graph: Graph, values: Mapping[str, int], indices: Sequence[int], *, sparse: bool
) -> None:
    """Refuse complex values on both sides, and on either of a sparse Jacobian."""
    by = [graph.inputs[i] for i in indices if graph.types[i].is_complex]
    of = [(name, graph.types[i]) for name, i in values.items() if graph.types[i].is_complex]
    if by and of:
        raise complex_jacobian(*of[0], *by[0])
    if sparse and (by or of):
        name, type = (by or of)[0]
        raise NotDifferentiable(
            f"{name!r} is {type}: sparse Jacobians are of real numbers; ask for the dense one, or "
            "for a vjp or jvp",
            field="wrt" if by else "outputs",
        )


def _check_size(problem: Problem) -> None:
    """Refuse a Jacobian that no reply could carry."""
    if problem.rows * problem.columns > MAX_JACOBIAN_ELEMENTS:
        raise LimitExceeded(
            f"the Jacobian has {problem.rows} rows and {problem.columns} columns, over "
            f"{MAX_JACOBIAN_ELEMENTS} elements; ask for a sparse one, or for a vjp or jvp with the "
            "seeds you need"
        )


# --- sparse answers -------------------------------------------------------------------------------


def _compression(problem: Problem, search: Search) -> Compression:
    """The cheapest compression, whatever it costs.

    Raises:
        LimitExceeded: there are too many places that may differ from zero.
    """
    try:
        found = search.found(problem, MAX_ENTRIES)
    except TooDense as error:
        raise LimitExceeded(
            f"the sparse Jacobian of {problem.rows} rows and {problem.columns} columns: {error}; "
            "ask for fewer outputs or inputs at once, or for a vjp or jvp, and make indices "
            "constants: those that are inputs leave an axis dense"
        ) from None
    assert found is not None, "without a limit there is a colouring"
    return found


def _sparse(
    draft: Draft,
    problem: Problem,
    found: Compression,
    keys: list[DerivativeKey],
    pairs: list[Pair],
) -> Differentiated:
    """The values of each block's places, and the patterns beside the graph."""
    blocks = found.blocks(draft, problem)
    derivatives = [
        Derivative(
            key,
            blocks[pair].values,
            problem.graph.types[pair[0]]._replace(shape=(blocks[pair].pattern.count,)),
        )
        for key, pair in zip(keys, pairs, strict=True)
    ]
    patterns = tuple([blocks[pair].pattern for pair in pairs])
    reason = found.reason + _unknown_places(problem)
    return draft.finish(derivatives, Mode(found.mode, reason), patterns=patterns)


def _unknown_places(problem: Problem) -> str:
    """Names the first node that takes indices from inputs, and so leaves an axis dense."""
    graph = problem.graph
    active = active_values(graph, problem.indices)
    given = [True] * len(graph.inputs) + [False] * len(graph.constants)
    for position, node in enumerate(graph.nodes):
        unknown = [i for i in node.operands if given[i] and graph.types[i].dtype.kind in "iu"]
        if node.op.moves and unknown and any([active[i] for i in node.operands]):
            return (
                f"; an axis is dense as node {position} {node.op.name} takes its indices from "
                "inputs: make them constants"
            )
        given += [any([given[i] for i in node.operands])] * len(node.types)
    return ""


# --- dense answers --------------------------------------------------------------------------------


def _blocks(draft: Draft, problem: Problem, search: Search) -> tuple[Blocks, Mode]:
    """The blocks, by the mode that is estimated to be the cheapest."""
    ways = _ways(problem)
    costs = {
        name: sum([part.work(dense.seed_count(part, problem)) for part in parts])
        for name, parts in ways.items()
    }
    best = min(costs, key=lambda name: costs[name])
    counted = f"{problem.columns} columns, {problem.rows} rows"
    listed = ", ".join([f"{name} is estimated at {cost:.2g}" for name, cost in costs.items()])
    found = _worthwhile(problem, search)
    work = 0.0 if found is None else found.work + PLACED_BYTES * found.pattern.count
    if found is not None and work < costs[best]:
        reason = f"{found.reason}: estimated at {work:.2g}, {listed}"
        blocks = found.blocks(draft, problem)
        return _written_out(problem, blocks), Mode(found.mode, reason)
    run = {"forward": dense.forward, "reverse": dense.reverse}[best]
    reason = f"{counted}: {listed}" if len(costs) > 1 else counted
    return run(draft, problem, ways[best]), Mode(best, reason)


def _ways(problem: Problem) -> Mapping[str, list[LinearPart]]:
    """The passes of forward and reverse mode; of one alone where it is clearly the cheaper."""
    rows, columns = problem.rows, problem.columns
    makers = {"forward": problem.ahead, "reverse": problem.back}
    if problem.only:
        return {problem.only: makers[problem.only]()}
    if columns * CLEAR <= rows:
        del makers["reverse"]
    elif rows * CLEAR <= columns:
        del makers["forward"]
    return {name: make() for name, make in makers.items()}


def _worthwhile(problem: Problem, search: Search) -> Compression | None:
    """A compression that takes far fewer seeds than the dense modes, if there is one."""
    rows, columns = problem.rows, problem.columns
    if rows * columns < MIN_ELEMENTS or min(rows, columns) < MIN_SEEDS or problem.only:
        return None
    if len(problem.values) * len(problem.indices) > MAX_PAIRS:
        return None
    limit = min(MAX_SEARCHED, max(rows * columns // 4, rows + columns))
    try:
        return search.found(problem, limit, most=min(rows, columns) // 2)
    except TooDense:
        return None


def _written_out(problem: Problem, blocks: Mapping[Pair, Block]) -> Blocks:
    """Every block with its zeros."""
    return {pair: _whole(problem, pair, block) for pair, block in blocks.items()}


def _whole(problem: Problem, pair: Pair, block: Block) -> Ref | None:
    if block.values is None:
        return None
    pattern, size = block.pattern, block.pattern.shape[0] * block.pattern.shape[1]
    places = pattern.rows * pattern.shape[1] + pattern.columns
    index = block.values.builder.constant(places.astype(INT64))
    placed = do.ungather(index, block.values, shape=(size,), axes=(0,), counts=(1,))
    return reshaped(placed, problem.block_type(*pair).shape)
