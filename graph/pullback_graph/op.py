"""The columns of an operator row. Everything the system knows of an operator stands in one row.

An elementwise row of two operands, whole:
    Op("multiply", operands=2, type=elementwise, run=lambda k: k.xp.multiply,
       derivative=Partials(lambda t, z, x, y: t * y, lambda t, z, x, y: t * x),
       axes=broadcast_axes, cost=elementwise_cost(1), domain=reals(2))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

from pullback_graph.attributes import GRAPH_KINDS, Attribute
from pullback_graph.kernels import Kernels
from pullback_graph.ref import Ref
from pullback_graph.types import Array, ArrayType, Shape

VARIADIC = -1
"""Operand count of a row that takes one or more operands."""

TypeRule: TypeAlias = Callable[..., "ArrayType | tuple[ArrayType, ...]"]
"""`(*operand_types, **attributes)` -> the result's type, or a tuple of types; raises the fault."""
RunRule: TypeAlias = Callable[..., Callable[..., Array]]
"""`(kernels, **attributes)` -> the function of the operand arrays; bound once per program."""
MappingRule: TypeAlias = Callable[..., Any]
"""`(operands, lead, **attributes)` -> the results, each with a leading axis of `lead.size`.

Operands are Refs; those that `lead.mapped` says have the axis in front. None leaves it to `axes`.
"""


# --- derivative -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Partials:
    """An elementwise row. One map per operand: `(t, z, *operands)` -> t times dz/dx_i.

    `t` is a tangent (JVP) or a cotangent (VJP): the same diagonal map serves both. Reduction of a
    broadcast operand is the pass's work. Attributes arrive as keywords.
    """

    maps: tuple[Callable[..., Ref], ...]

    def __init__(self, *maps: Callable[..., Ref]) -> None:
        object.__setattr__(self, "maps", maps)


@dataclass(frozen=True, slots=True)
class Transpose:
    """A row linear in each operand that has a transpose; None marks an operand it is not linear in.

    A transpose is `(g, *operands, **attributes)` -> the cotangent of that operand. The JVP is the
    row itself with that operand replaced by its tangent, summed over the operands.
    """

    transposes: tuple[Callable[..., Ref] | None, ...]

    def __init__(self, *transposes: Callable[..., Ref] | None) -> None:
        object.__setattr__(self, "transposes", transposes)


@dataclass(frozen=True, slots=True)
class JointTranspose:
    """A row linear in all its operands at once (concat, stack): absent tangents are zeros.

    `transpose(g, *operands, **attributes)` -> the cotangents of all operands. `linear` are the
    positions it is linear in (None: all); the others keep their value and get cotangent None.
    """

    transpose: Callable[..., Sequence[Ref | None]]
    linear: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Both:
    """A row with a written JVP and a written VJP.

    `jvp(tangents, z, *operands, **attributes)` -> the result's tangent, `tangents` holding a Ref or
    None per operand; `vjp(g, z, *operands, **attributes)` -> a cotangent or None per operand.
    A row of several results gets and gives tuples for z, g and the result's tangent.

    A `selective` VJP is told what is asked of it, so that it computes no more:
    `vjp(g, active, z, *operands, **attributes)`, where g and z are tuples (None in g for a result
    that no cotangent reaches) and `active` says per operand whether its cotangent is wanted.

    A derivative that is `given` is the word of whoever wrote the graph: it need not be that of the
    function, so a second derivative by it need not be symmetric.
    """

    jvp: Callable[..., Any]
    vjp: Callable[..., Sequence[Ref | None]]
    selective: bool = False
    given: bool = False


@dataclass(frozen=True, slots=True)
class Zero:
    """A derivative that is legitimately zero everywhere it exists: steps, comparisons, indices."""


@dataclass(frozen=True, slots=True)
class Undefined:
    """No derivative; reaching it is an error that gives the reason."""

    reason: str


Derivative: TypeAlias = "Partials | Transpose | JointTranspose | Both | Zero | Undefined"


# --- axes -----------------------------------------------------------------------------------------

Factors: TypeAlias = tuple[int | None, ...]
"""One entry per axis: the number of its factor, or None where the axis must stay whole."""


@dataclass(frozen=True, slots=True)
class Axes:
    """How operand axes map to result axes, as the factors of an index notation.

    A factor in an operand and in a result is *kept*; one in operands only is *contracted*, by the
    reduction named in `reduce`; one in a result only is *created* and its content does not depend
    on the position; None is *blocked* (or an operand's size-one axis that broadcasts).
    """

    operands: tuple[Factors, ...]
    results: tuple[Factors, ...]
    reduce: Mapping[int, str] = field(default_factory=dict)
    """Contracted factor -> the row joining partials: `add`, `maximum`, `minimum`, `multiply`."""


AxesRule: TypeAlias = Callable[..., Axes]
"""`(operand_types, result_types, **attributes)` -> Axes."""


# --- moves ----------------------------------------------------------------------------------------


class Moves(Enum):
    """How a row moves elements of its floating operands, which the others tell where to go.

    A row that moves can be followed element by element, where `axes` knows only whole axes: it is
    run on the elements' numbers. See `pullback_graph.sparsity`.
    """

    COPIES = "copies"
    """Each element of the result is a copy of one element of a floating operand, or a fill."""
    PLACES = "places"
    """Each element of a floating operand is added to one element of the result."""
    WEIGHS = "weighs"
    """Each element of the result is a sum of elements of the first operand, times elements of the
    second: at most one for each position of the second's axes but the first."""
    MULTIPLIES = "multiplies"
    """Each element of the result is a sum of products of an element of each operand, which `axes`
    brings together; so a zero lets nothing of the others through."""


# --- cost -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cost:
    """Work of one node: floating point operations, and bytes read and written.

    `calls` are the array calls it takes: one, or a loop's steps times those of its body.
    """

    flops: float
    size_bytes: float
    calls: float = 1.0

    @property
    def work(self) -> float:
        """FLOPs and bytes in one number, as neither alone says what elementwise rows cost."""
        return self.flops / 4 + self.size_bytes


CostRule: TypeAlias = Callable[..., Cost]
"""`(operand_types, result_types, **attributes)` -> Cost."""


# --- domain ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Interval:
    """Where tests draw an operand's elements from.

    `special` are points to include besides (0 for pow, prod, norm); `integer` draws whole numbers
    of an integer dtype, `boolean` truth values, `complex` both parts of complex numbers, for a row
    that takes no others; `distinct` values that stand apart. Of matrices, the k-th element of the
    diagonal gets k times `diagonal` added.
    """

    low: float = -2.0
    high: float = 2.0
    special: tuple[float, ...] = ()
    integer: bool = False
    boolean: bool = False
    complex: bool = False
    distinct: bool = False
    diagonal: float = 0.0


@dataclass(frozen=True, slots=True)
class Example:
    """Operand shapes and attributes that a row accepts."""

    shapes: tuple[Shape, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Domain:
    """Inputs a row is tested on. Without examples, tests use broadcasting shapes of their own."""

    operands: tuple[Interval, ...]
    examples: tuple[Example, ...] = ()


# --- the row --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Op:
    """One operator.

    Attributes:
        name: Python Array API's name where it has one, else XLA's or SciPy's.
        operands: how many operands, or VARIADIC.
        attributes: the metadata a node of this row carries, in canonical order.
        fuse_sum: how a sum of several nodes of this row is one node of it:
            `(nodes' operands, nodes' attributes)` -> (operands, attributes). The reverse pass then
            gathers what flows into one value in place, rather than padding each to full size.
        scratch: bytes a run allocates besides its results, where that may be more than operands
            and results together: `(operand_types, **attributes)` -> bytes.
        mapping: how a node is mapped over a leading axis of some operands, where neither `axes`
            proves that the row itself does it nor a loop over the axis would do.
        bodies: the input types that its subgraphs must have for such operands:
            `(operand_types, **attributes)` -> types by attribute name. Resizing retypes them so.
        moves: whether it does nothing but move elements, and how; None where it computes.
        follow: how the structure of what it computes is that of its subgraphs:
            `(operands, inside, **attributes)` -> what each result depends on, or None where `axes`
            must do. See `pullback_graph.sparsity.bodies`.
        graphs: names of the attributes that hold subgraphs.
    """

    name: str
    operands: int
    type: TypeRule
    run: RunRule
    derivative: Derivative
    axes: AxesRule
    cost: CostRule
    domain: Domain
    attributes: tuple[Attribute, ...] = ()
    fuse_sum: Callable[..., tuple[list[Any], dict[str, Any]]] | None = None
    scratch: Callable[..., int] | None = None
    mapping: MappingRule | None = None
    bodies: Callable[..., Mapping[str, Sequence[ArrayType]]] | None = None
    moves: Moves | None = None
    follow: Callable[..., Any] | None = None
    doc: str = ""
    graphs: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        held = tuple([item.name for item in self.attributes if item.kind in GRAPH_KINDS])
        object.__setattr__(self, "graphs", held)

    def __reduce__(self) -> tuple[Callable[[str], Op], tuple[str]]:
        return _row, (self.name,)

    def __repr__(self) -> str:
        return f"Op({self.name!r})"


def _row(name: str) -> Op:
    """The row of that name: rows pickle by name, since they hold functions."""
    from pullback_graph.table import OPS  # noqa: PLC0415  (the table is made of rows: a cycle)

    return OPS[name]


__all__ = [
    "VARIADIC",
    "Axes",
    "Both",
    "Cost",
    "Derivative",
    "Domain",
    "Example",
    "Factors",
    "Interval",
    "JointTranspose",
    "Kernels",
    "Moves",
    "Op",
    "Partials",
    "Transpose",
    "Undefined",
    "Zero",
]
