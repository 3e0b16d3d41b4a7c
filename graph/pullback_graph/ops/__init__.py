"""The families of operators, a file each: a row says everything the system knows of an operator."""

from __future__ import annotations

from pullback_graph.op import Op
from pullback_graph.ops import (
    arithmetic,
    comparison,
    contraction,
    conversion,
    convolution,
    creation,
    cumulative,
    dynamic,
    indexing,
    joining,
    matrix,
    random,
    reduction,
    scattering,
    selection,
    shape,
    slicing,
    sorting,
    special,
    transcendental,
)

FAMILIES: dict[str, tuple[Op, ...]] = {
    "arithmetic": arithmetic.ROWS,
    "conversion": conversion.ROWS,
    "selection": selection.ROWS,
    "transcendental": transcendental.ROWS,
    "special": special.ROWS,
    "comparison": comparison.ROWS,
    "reduction": reduction.ROWS,
    "cumulative": cumulative.ROWS,
    "sorting": sorting.ROWS,
    "shape": shape.ROWS,
    "joining": joining.ROWS,
    "slicing": slicing.ROWS,
    "dynamic": dynamic.ROWS,
    "indexing": indexing.ROWS,
    "scattering": scattering.ROWS,
    "matrix": matrix.ROWS,
    "contraction": contraction.ROWS,
    "creation": creation.ROWS,
    "convolution": convolution.ROWS,
    "random": random.ROWS,
}
"""The rows by family; a new family is a file and a line here."""
