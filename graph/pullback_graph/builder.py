"""Builds graphs: checks every node by its row's type rule, numbers values, drops dead ones.

A plain builder keeps what it is given. A rewriting builder (`rewrite=`) looks at every node before
it is added and may answer with a value that already exists, so that a transformation simplifies
what it builds as it builds it; `reuse=True` shares equal nodes (common subexpressions).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeAlias

import numpy as np

from pullback_graph.attributes import canonical
from pullback_graph.errors import (
    ArityError,
    GraphError,
    LimitExceeded,
    PullbackError,
    RequestError,
    ShapeError,
    UnknownOp,
)
from pullback_graph.graph import Graph, Input, Node, Output
from pullback_graph.op import VARIADIC, Op
from pullback_graph.ref import Ref
from pullback_graph.superseding import settled
from pullback_graph.table import OPS
from pullback_graph.types import MAX_RANK, ArrayType, as_dtype, type_of

Results: TypeAlias = "tuple[int, ...]"
Check: TypeAlias = "Callable[[], None]"
"""Raises when the work should stop: a deadline that passed, a caller that went away."""
Origin: TypeAlias = "tuple[str, int]"
"""What a node was added for: phase (`forward`, `tangent`, `adjoint`, or none), and the position of
the node of the graph that was copied or differentiated there."""
Rewrite: TypeAlias = (
    "Callable[[Builder, Op, tuple[int, ...], Mapping[str, Any]], Ref | tuple[Ref, ...] | None]"
)
"""Sees a node about to be added; answers with what to use in place of its results, or None."""

_SHARED_CONSTANT_BYTES = 1024
_LOOK_NODES = 1024
"""Nodes added between two looks at the limit and the check."""


class Builder:
    """A graph under construction.

    Args:
        max_nodes: nodes it may come to hold, give or take a thousand; None: any number.
        check: called now and then while it grows.
        track: keep the origin of every node, for `origins`.

    Attributes:
        types: the type of every value so far, by number (the order of creation).
        phase, position: what the nodes added from here on are added for; the passes set them.
        origins: after `build`, the origin of every node of the graph, where it was tracked.
        adjoints_finished: how many adjoints the reverse passes run on this builder completed.
    """

    def __init__(
        self,
        *,
        reuse: bool = False,
        rewrite: Rewrite | None = None,
        max_nodes: int | None = None,
        check: Check | None = None,
        track: bool = False,
    ) -> None:
        self.types: list[ArrayType] = []
        self.phase = ""
        self.position = 0
        self.origins: tuple[Origin, ...] = ()
        self._origins: list[Origin] | None = [] if track else None
        self.adjoints_finished = 0
        self._reuse = reuse
        self._rewrite = rewrite
        self._max_nodes = max_nodes
        self._check = check
        self._next_look = _LOOK_NODES
        self._inputs: list[tuple[int, str]] = []
        self._input_names: set[str] = set()
        self._constants: dict[int, np.ndarray[Any, Any]] = {}
        self._nodes: list[tuple[int, Node]] = []
        self._node_of: dict[int, int] = {}
        self._seen: dict[Any, Results] = {}
        self._superseded: dict[int, int] = {}

    def inner(self) -> Builder:
        """A builder with the same habits, for a subgraph of a node of this one."""
        if self._check is not None:
            self._check()
        return Builder(
            reuse=self._reuse,
            rewrite=self._rewrite,
            max_nodes=self._max_nodes,
            check=self._check,
        )

    # --- values -----------------------------------------------------------------------------------

    def input(self, name: str, type: ArrayType) -> Ref:
        """Add a named input.

        Raises:
            GraphError: the name is empty or taken, or the type is not one of the language.
        """
        if not name or name in self._input_names:
            raise GraphError(f"input name {name!r} is {'taken' if name else 'empty'}")
        _check_type(type)
        index = self._number(ArrayType(as_dtype(type.dtype), type.shape))
        self._inputs.append((index, name))
        self._input_names.add(name)
        return Ref(self, index)

    def constant(self, value: Any) -> Ref:
        """Add a constant (a read-only copy unless the array is read-only already)."""
        array = np.asarray(value)
        type = type_of(array)
        key = None
        if self._reuse and array.nbytes <= _SHARED_CONSTANT_BYTES:
            key = (type.dtype.name, type.shape, array.tobytes())
            if key in self._seen:
                return Ref(self, self._seen[key][0])
        if array.flags.writeable or not array.flags.c_contiguous:
            array = np.array(array, order="C")
            array.flags.writeable = False
        index = self._number(type)
        self._constants[index] = array
        if key is not None:
            self._seen[key] = (index,)
        return Ref(self, index)

    def add(self, name: str, *operands: Ref, **attributes: Any) -> Any:
        """Add a node and give its result (a tuple of Refs where the row has several).

        Raises:
            UnknownOp, ArityError, AttributeFault, ShapeError, DTypeError: as the row says; the
                message names the node.
        """
        for operand in operands:
            if operand.builder is not self:
                raise GraphError(f"{name}: an operand belongs to another builder")
        op = OPS.get(name)
        if op is None:
            raise UnknownOp(unknown_op(name))
        results = self.append(op, tuple([operand.index for operand in operands]), attributes)
        if len(results) == 1:
            return Ref(self, results[0])
        return tuple([Ref(self, index) for index in results])

    def append(self, op: Op, operands: tuple[int, ...], attributes: Mapping[str, Any]) -> Results:
        """Add a node by row and operand numbers; the numbers of its results."""
        if len(self._nodes) >= self._next_look:
            self._look()
        try:
            attributes = canonical(op.attributes, attributes)
            _check_arity(op, len(operands))
            return self._append(op, operands, attributes, None)
        except PullbackError as error:
            raise self._located(error, op, operands) from None

    def replay(self, node: Node, operands: tuple[int, ...]) -> Results:
        """Add a node of a checked graph on operands of the very types it had there.

        Row and attributes are as checked then, and a type rule is a function, so the types stand.
        """
        if len(self._nodes) >= self._next_look:
            self._look()
        return self._append(node.op, operands, node.attributes, node.types)

    def _append(
        self,
        op: Op,
        operands: tuple[int, ...],
        attributes: Mapping[str, Any],
        types: tuple[ArrayType, ...] | None,
    ) -> Results:
        """Rewrite, share, or add; types that are not known yet come from the row."""
        if self._rewrite is not None:
            replacement = self._rewrite(self, op, operands, attributes)
            if replacement is not None:
                if isinstance(replacement, tuple):
                    return tuple([ref.index for ref in replacement])
                return (replacement.index,)
        key = None
        if self._reuse:
            key = (op, operands, *_exact(attributes)) if attributes else (op, operands)
            found = self._seen.get(key)
            if found is not None:
                return found
        if types is None:
            typed = op.type(*[self.types[i] for i in operands], **attributes)
            types = (typed,) if isinstance(typed, ArrayType) else typed
        first = len(self.types)
        self.types += types
        results = (first,) if len(types) == 1 else tuple(range(first, first + len(types)))
        for index in results:
            self._node_of[index] = len(self._nodes)
        self._nodes.append((first, Node(op, operands, attributes, types)))
        if self._origins is not None:
            self._origins.append((self.phase, self.position))
        if key is not None:
            self._seen[key] = results
        return results

    def supersede(self, old: Sequence[Ref], new: Sequence[Ref]) -> None:
        """Read new values wherever old ones were read; they are equal, value for value.

        A loop whose derivative comes to compute what the loop does need not run twice. Where the
        new values depend on the old ones, nothing changes. Who supersedes first, stays.
        """
        for before, after in zip(old, new, strict=True):
            if before.type != after.type:
                raise GraphError(f"{after!r} cannot supersede {before!r}: their types differ")
            target = after.index
            while target in self._superseded:
                target = self._superseded[target]
            if target != before.index:
                self._superseded.setdefault(before.index, after.index)

    # --- what a rule may ask ----------------------------------------------------------------------

    def constant_value(self, index: int) -> np.ndarray[Any, Any] | None:
        """The array of a constant, or None where the value is not one."""
        return self._constants.get(index)

    def node(self, index: int) -> Node | None:
        """The node that gives a value, or None for an input or a constant."""
        position = self._node_of.get(index)
        return None if position is None else self._nodes[position][1]

    def __len__(self) -> int:
        return len(self._nodes)

    # --- the end ----------------------------------------------------------------------------------

    def build(
        self, outputs: Mapping[str, Ref] | Iterable[tuple[str, Ref]], *, prune: bool = True
    ) -> Graph:
        """The graph that gives `outputs`; with `prune`, without what no output needs.

        Raises:
            GraphError: no output, or a name is empty or given twice.
        """
        pairs = list(outputs.items() if isinstance(outputs, Mapping) else outputs)
        _check_names([name for name, _ in pairs])
        roots = [ref.index for _, ref in pairs]
        source, origins = self._nodes, self._origins
        if self._superseded and prune:
            found = settled(source, self._node_of, self._superseded, roots)
            if found is not None:
                source, roots = found.nodes, found.roots
                origins = origins and [origins[i] for i in found.positions]
        live = _live(source, roots) if prune else None
        inputs = sorted(self._inputs)
        constants = [i for i in self._constants if live is None or i in live]
        nodes = [pair for pair in source if live is None or _any_live(pair, live)]
        if origins is not None:
            pairs_of = zip(source, origins, strict=True)
            self.origins = tuple(
                [origin for pair, origin in pairs_of if live is None or _any_live(pair, live)]
            )
        numbers = [-1] * len(self.types)
        order = [i for i, _ in inputs] + constants
        order += [first + k for first, node in nodes for k in range(len(node.types))]
        for number, index in enumerate(order):
            numbers[index] = number
        if order != list(range(len(order))):  # else every node stays as it is
            nodes = [
                (first, node._replace(operands=tuple([numbers[i] for i in node.operands])))
                for first, node in nodes
            ]
        return Graph(
            inputs=tuple(Input(name, self.types[i]) for i, name in inputs),
            constants=tuple(self._constants[i] for i in constants),
            nodes=tuple(node for _, node in nodes),
            outputs=tuple(
                Output(name, numbers[root]) for (name, _), root in zip(pairs, roots, strict=True)
            ),
        )

    # --- inside -----------------------------------------------------------------------------------

    def _number(self, type: ArrayType) -> int:
        self.types.append(type)
        return len(self.types) - 1

    def _look(self) -> None:
        """Refuse to grow past the limit; stop where the check says so."""
        self._next_look = len(self._nodes) + _LOOK_NODES
        if self._max_nodes is not None and len(self._nodes) > self._max_nodes:
            raise LimitExceeded(
                f"the graph that computes this has over {self._max_nodes} nodes; ask for fewer "
                "derivatives at once, or use fewer, larger operations"
            )
        if self._check is not None:
            self._check()

    def _located(self, error: PullbackError, op: Op, operands: tuple[int, ...]) -> PullbackError:
        """The same error, naming the node and its operands' types."""
        if error.field.startswith("graph.nodes") or not isinstance(error, RequestError):
            return error
        position = len(self._nodes)
        listed = ", ".join(str(self.types[i]) for i in operands[:6])
        more = ", ..." if len(operands) > 6 else ""
        message = f"node {position} {op.name}({listed}{more}): {error.message}"
        return type(error)(message, field=f"graph.nodes[{position}]")


def distinct(names: Iterable[str]) -> list[str]:
    """The names, with a mark added to those that come up again."""
    seen: set[str] = set()
    result = []
    for name in names:
        while name in seen:
            name += "'"
        seen.add(name)
        result.append(name)
    return result


def unknown_op(name: str) -> str:
    """The message for an operator the table has not, with the nearest names."""
    near = get_close_matches(name, OPS, n=3)
    hint = f"did you mean {', '.join(near)}?" if near else "see the operator table"
    return f"unknown operator {name!r}; {hint}"


def copy_values(builder: Builder, graph: Graph, inputs: Sequence[Ref]) -> list[Ref]:
    """Replay `graph` into `builder` on `inputs`; a Ref per value of the graph, by number.

    Raises:
        ShapeError: an input is not of the type the graph gives it.
    """
    for item, ref in zip(graph.inputs, inputs, strict=True):
        if ref.type != item.type:
            raise ShapeError(f"input {item.name!r} is {item.type}, not {ref.type}")
    numbers = [ref.index for ref in inputs]
    numbers += [builder.constant(array).index for array in graph.constants]
    replay = builder.replay
    builder.phase = "forward"
    for builder.position, node in enumerate(graph.nodes):
        numbers += replay(node, tuple([numbers[i] for i in node.operands]))
    builder.phase = ""
    return [Ref(builder, number) for number in numbers]


def copy_inputs(builder: Builder, graph: Graph) -> list[Ref]:
    """Add the inputs of `graph` to `builder`."""
    return [builder.input(item.name, item.type) for item in graph.inputs]


def _exact(attributes: Mapping[str, Any]) -> list[Any]:
    """The values as a key that tells -0.0 from 0.0."""
    return [repr(v) if type(v) is float else v for v in attributes.values()]


def _check_arity(op: Op, count: int) -> None:
    if op.operands == VARIADIC:
        if count == 0:
            raise ArityError("takes at least one operand, got none")
    elif count != op.operands:
        raise ArityError(f"takes {op.operands} operand(s), got {count}")


def _check_type(type: ArrayType) -> None:
    if len(type.shape) > MAX_RANK or any(size < 0 for size in type.shape):
        raise GraphError(f"type {type} has a negative size or more than {MAX_RANK} axes")


def _check_names(names: Sequence[str]) -> None:
    if not names:
        raise GraphError("a graph needs at least one output")
    if len(set(names)) != len(names) or not all(names):
        raise GraphError(f"output names must be distinct and not empty, got {list(names)}")


def _live(nodes: Sequence[tuple[int, Node]], roots: Sequence[int]) -> set[int]:
    """What the roots need, themselves included."""
    live = set(roots)
    for pair in reversed(nodes):
        if _any_live(pair, live):
            live.update(pair[1].operands)
    return live


def _any_live(pair: tuple[int, Node], live: set[int]) -> bool:
    first, node = pair
    return any(first + k in live for k in range(len(node.types)))
