"""What a want asks of a tape, resolved to scalars: which values, which sweeps, which derivatives.

Pure: names are looked up and checked here, once; the sweeps then know numbers alone. Order and
shapes are those of `pullback_graph.derivative.lower`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import prod
from typing import TypeAlias

import numpy as np

from pullback_graph.derivative.located import not_scalar
from pullback_graph.errors import InputError, LimitExceeded
from pullback_graph.graph import Graph, Input
from pullback_graph.tape import Tape
from pullback_graph.tape.rows import NDArray
from pullback_graph.types import Shape
from pullback_graph.want import (
    DerivativeKey,
    Gradient,
    Hessian,
    Hvp,
    Jacobian,
    Jvp,
    Names,
    Value,
    Vjp,
    Want,
    seed_name,
)

MAX_SWEPT_NODES = 20_000_000_000
"""Nodes that all sweeps of one job visit together: seeds, rows or columns, times nodes."""
MAX_MATRIX_ELEMENTS = 1 << 28
"""Elements of one Jacobian or Hessian."""

Positions: TypeAlias = "tuple[int, ...]"


class Mode(Enum):
    """Which sweeps give the derivatives."""

    NONE = "none"
    REVERSE = "reverse"
    FORWARD = "forward"
    SECOND = "second"
    POINTS = "points"
    """Values alone, at many points."""


_TOLD = {
    Mode.REVERSE: "reverse",
    Mode.FORWARD: "forward",
    Mode.SECOND: "forward over reverse",
}
"""What metrics call the modes that give derivatives."""


def mode_of(graph: Graph | Tape, want: Want) -> Mode:
    """The sweeps that a want takes, whatever else may be wrong with it.

    A Jacobian goes by columns where the inputs have fewer elements than the outputs.
    """
    match want:
        case Value():
            return Mode.NONE
        case Gradient() | Vjp():
            return Mode.REVERSE
        case Jvp():
            return Mode.FORWARD
        case Hvp() | Hessian():
            return Mode.SECOND
        case Jacobian(wrt, outputs):
            wanted = outputs or graph.output_names
            ends = [
                graph.output_type(k).size for k, n in enumerate(graph.output_names) if n in wanted
            ]
            starts = [item.type.size for item in graph.inputs if item.name in wrt]
            return Mode.FORWARD if sum(starts) < sum(ends) else Mode.REVERSE


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A want in terms of a tape's scalars.

    The derivatives of all sweeps make a matrix, a row per sweep over the `gathered` scalars (or
    its transpose), cut into a block per pair of `rows` and `columns`, in the order of `keys`.

    Attributes:
        values: positions of the outputs whose values are given.
        mode: the sweeps that give derivatives.
        rows, columns: shapes; a block has both.
        transposed: the sweeps give the matrix's columns.
        seeds: for each sweep, the scalars seeded: inputs (forward and second), or outputs.
        given: the arrays of the seeds, as inputs; none where the seeds are ones.
        gathered: scalars whose derivatives are wanted: outputs (forward), or inputs.
        twice: the output that is differentiated twice (second), as its scalar.
        wrt: the inputs named; none for a jvp.
    """

    values: Positions
    mode: Mode = Mode.NONE
    keys: tuple[DerivativeKey, ...] = ()
    rows: tuple[Shape, ...] = ()
    columns: tuple[Shape, ...] = ()
    transposed: bool = False
    seeds: Sequence[NDArray] = ()
    given: tuple[tuple[Input, ...], ...] = ()
    gathered: NDArray = field(default_factory=lambda: np.empty(0, np.uint32))
    twice: NDArray = field(default_factory=lambda: np.empty(0, np.uint32))
    wrt: Names = ()

    @property
    def told(self) -> tuple[str, str]:
        """The mode in the words of lowered graphs, and what it takes; empty for values."""
        name = _TOLD.get(self.mode, "")
        return name, f"{len(self.seeds)} sweep(s) over the tape" if name else ""

    @property
    def seeded_outputs(self) -> Sequence[NDArray]:
        """The scalars that derivatives are of: adjoints flow from them, or tangents into them."""
        if self.mode is Mode.FORWARD:
            return (self.gathered,)
        return self.seeds if self.mode is Mode.REVERSE else (self.twice,)


def asked_of(tape: Tape, want: Want) -> Asked:
    """What `want` asks of `tape`.

    Raises:
        InputError: a name is not the tape's, or is given twice.
        NotDifferentiable: the gradient of an output that is no scalar.
        LimitExceeded: it would take too many sweeps.
    """
    asked = _asked(tape, want)
    if len(asked.seeds) * len(tape) > MAX_SWEPT_NODES:
        raise LimitExceeded(
            f"{len(asked.seeds)} sweeps over {len(tape)} nodes; at most {MAX_SWEPT_NODES} visits "
            "are made for one job: ask for fewer seeds, rows or columns at once"
        )
    return asked


def _asked(tape: Tape, want: Want) -> Asked:
    every = tuple(range(len(tape.outputs)))
    match want:
        case Value(names):
            return Asked(tuple(map(tape.output_index, names)) if names else every)
        case Gradient(wrt, output):
            position = _scalar(tape, output)
            name = tape.outputs[position].name
            return Asked(
                every,
                Mode.REVERSE,
                tuple([DerivativeKey(name, w) for w in wrt]),
                rows=((),),
                columns=_shapes(tape, wrt),
                seeds=(tape.outputs[position].values,),
                gathered=_inputs(tape, wrt),
                wrt=wrt,
            )
        case Vjp(wrt, seeds):
            return _vjp(tape, every, wrt, seeds)
        case Jvp(seeds):
            return _jvp(tape, every, seeds)
        case Hvp(wrt, seeds, output):
            return _hvp(tape, every, wrt, seeds, output)
        case Jacobian(wrt, outputs):
            return _jacobian(tape, every, wrt, outputs or tape.output_names)
        case Hessian(wrt, output):
            return _hessian(tape, every, wrt, output)


# --- the wants with seeds -------------------------------------------------------------------------


def _vjp(tape: Tape, every: Positions, wrt: Names, seeds: Sequence[Names]) -> Asked:
    outputs = [[tape.output_index(name) for name in _distinct(names)] for names in seeds]
    return Asked(
        every,
        Mode.REVERSE,
        tuple(
            DerivativeKey(names[0] if len(names) == 1 else "", name, seed=number)
            for number, names in enumerate(seeds)
            for name in wrt
        ),
        rows=((),) * len(seeds),
        columns=_shapes(tape, wrt),
        seeds=[_joined([tape.outputs[p].values for p in positions]) for positions in outputs],
        given=tuple(
            tuple(
                Input(seed_name(number, tape.outputs[p].name), tape.output_type(p))
                for p in positions
            )
            for number, positions in enumerate(outputs)
        ),
        gathered=_inputs(tape, wrt),
        wrt=wrt,
    )


def _jvp(tape: Tape, every: Positions, seeds: Sequence[Names]) -> Asked:
    return Asked(
        every,
        Mode.FORWARD,
        tuple(
            DerivativeKey(item.name, seed=number)
            for number in range(len(seeds))
            for item in tape.outputs
        ),
        rows=((),) * len(seeds),
        columns=tuple([item.shape for item in tape.outputs]),
        seeds=[_inputs(tape, names) for names in seeds],
        given=_directions(tape, seeds),
        gathered=_joined([item.values for item in tape.outputs]),
    )


def _hvp(tape: Tape, every: Positions, wrt: Names, seeds: Sequence[Names], output: str) -> Asked:
    position = _scalar(tape, output)
    name = tape.outputs[position].name
    return Asked(
        every,
        Mode.SECOND,
        tuple(DerivativeKey(name, w, seed=number) for number in range(len(seeds)) for w in wrt),
        rows=((),) * len(seeds),
        columns=_shapes(tape, wrt),
        seeds=[_inputs(tape, names) for names in seeds],
        given=_directions(tape, seeds),
        gathered=_inputs(tape, wrt),
        twice=tape.outputs[position].values,
        wrt=wrt,
    )


def _directions(tape: Tape, seeds: Sequence[Names]) -> tuple[tuple[Input, ...], ...]:
    """The arrays of seeds in the inputs' space."""
    return tuple(
        tuple(Input(seed_name(k, n), tape.inputs[tape.input_index(n)].type) for n in names)
        for k, names in enumerate(seeds)
    )


# --- the matrices ---------------------------------------------------------------------------------


def _jacobian(tape: Tape, every: Positions, wrt: Names, names: Names) -> Asked:
    """By columns (forward) or by rows, as `mode_of` says."""
    positions = [tape.output_index(name) for name in names]
    inputs = _inputs(tape, wrt)
    outputs = _joined([tape.outputs[p].values for p in positions])
    _check_elements("Jacobian", len(outputs), len(inputs))
    forward = mode_of(tape, Jacobian(wrt, names)) is Mode.FORWARD
    swept, gathered = (inputs, outputs) if forward else (outputs, inputs)
    return Asked(
        every,
        Mode.FORWARD if forward else Mode.REVERSE,
        tuple(DerivativeKey(out, name) for out in names for name in wrt),
        rows=tuple([tape.outputs[p].shape for p in positions]),
        columns=_shapes(tape, wrt),
        transposed=forward,
        seeds=swept.reshape(-1, 1),  # type: ignore[arg-type]  # rows of a matrix
        gathered=gathered,
        wrt=wrt,
    )


def _hessian(tape: Tape, every: Positions, wrt: Names, output: str) -> Asked:
    position = _scalar(tape, output)
    inputs = _inputs(tape, wrt)
    _check_elements("Hessian", len(inputs), len(inputs))
    name = tape.outputs[position].name
    return Asked(
        every,
        Mode.SECOND,
        tuple(DerivativeKey(name, first, second) for first in wrt for second in wrt),
        rows=_shapes(tape, wrt),
        columns=_shapes(tape, wrt),
        transposed=True,
        seeds=inputs.reshape(-1, 1),  # type: ignore[arg-type]  # rows of a matrix
        gathered=inputs,
        twice=tape.outputs[position].values,
        wrt=wrt,
    )


def _check_elements(what: str, rows: int, columns: int) -> None:
    if rows * columns > MAX_MATRIX_ELEMENTS:
        raise LimitExceeded(
            f"the {what} has {rows} rows and {columns} columns, more than {MAX_MATRIX_ELEMENTS} "
            "elements; ask for products with the seeds you need"
        )


# --- names to scalars -----------------------------------------------------------------------------


def _scalar(tape: Tape, name: str) -> int:
    """Position of the output to differentiate: the named one, or the first."""
    position = tape.output_index(name) if name else 0
    if tape.outputs[position].shape != ():
        raise not_scalar(tape.outputs[position].name, tape.output_type(position))
    return position


def _inputs(tape: Tape, names: Names) -> NDArray:
    """The scalars of the named inputs, on end."""
    if not names:
        raise InputError("no input named to differentiate with respect to", field="wrt")
    firsts = np.cumsum([0, *[item.type.size for item in tape.inputs]])
    positions = [tape.input_index(name) for name in _distinct(names)]
    return _joined([np.arange(firsts[p], firsts[p + 1], dtype=np.uint32) for p in positions])


def _distinct(names: Names) -> Names:
    if len(set(names)) != len(names):
        raise InputError(f"a name is given twice in {list(names)}", field="wrt")
    return names


def _shapes(tape: Tape, names: Names) -> tuple[Shape, ...]:
    return tuple([tape.inputs[tape.input_index(name)].type.shape for name in names])


def _joined(arrays: Sequence[NDArray]) -> NDArray:
    return np.concatenate(arrays) if arrays else np.empty(0, np.uint32)


# --- the derivatives, cut out ---------------------------------------------------------------------


def cut(asked: Asked, swept: NDArray) -> list[NDArray]:
    """The derivatives, by key, of what the sweeps gave: `(sweeps, gathered)`."""
    matrix = swept.T if asked.transposed else swept
    row_ends = np.cumsum([prod(shape) for shape in asked.rows]).tolist()
    column_ends = np.cumsum([prod(shape) for shape in asked.columns]).tolist()
    return [
        np.ascontiguousarray(matrix[row - prod(high) : row, column - prod(wide) : column]).reshape(
            high + wide
        )
        for row, high in zip(row_ends, asked.rows, strict=True)
        for column, wide in zip(column_ends, asked.columns, strict=True)
    ]
