"""What a Jacobian is made of: its outputs and inputs, and a block of it for each pair.

A pass gives images: of the seeds of one value, the tangents (or cotangents) of another, stacked
along a leading axis. An image becomes a block by moving that axis to where it belongs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from pullback_graph.derivative.axes_order import permuted_below
from pullback_graph.derivative.linear_part import LinearPart, pulled, pushed
from pullback_graph.graph import Graph
from pullback_graph.op import Zero
from pullback_graph.ops.leading import reshaped
from pullback_graph.ref import Ref, do
from pullback_graph.types import ArrayType, complex_dtype

MAX_LONE_PASSES = 4
"""Values to seed up to which each has a pass of its own; more share one."""

Pair: TypeAlias = tuple[int, int]
"""An output's value and an input's, by number."""
Blocks: TypeAlias = "Mapping[Pair, Ref | None]"
"""Per pair the block of shape output.shape + input.shape, or None where it is zero."""


@dataclass(frozen=True)
class Problem:
    """Which values of a graph are differentiated by which, by number, each once."""

    graph: Graph
    values: tuple[int, ...]
    indices: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Elements of the outputs."""
        return sum([self.graph.types[number].size for number in self.values])

    @property
    def columns(self) -> int:
        """Elements of the inputs."""
        return sum([self.graph.types[number].size for number in self.indices])

    @property
    def only(self) -> str:
        """The mode that alone gives all of a complex Jacobian: `forward`, `reverse`, or either.

        A seed of an input is a direction, so real inputs have all of theirs; likewise outputs.
        """
        types = self.graph.types
        if any([types[number].is_complex for number in self.values]):
            return "forward"
        return "reverse" if any([types[number].is_complex for number in self.indices]) else ""

    @cached_property
    def bits(self) -> dict[int, int]:
        """The place of each input in `indices`."""
        return {index: bit for bit, index in enumerate(self.indices)}

    @cached_property
    def reach(self) -> list[int]:
        """Per value, a bit for each input that it depends on, in the order of `indices`."""
        masks = [0] * len(self.graph.types)
        for index, bit in self.bits.items():
            masks[index] |= 1 << bit
        for first, node in zip(self.graph.first_results, self.graph.nodes, strict=True):
            if type(node.op.derivative) is Zero:
                continue
            mask = 0
            for operand in node.operands:
                mask |= masks[operand]
            for offset, result in enumerate(node.types):
                masks[first + offset] = mask if result.is_floating else 0
        return masks

    def depends(self, value: int, index: int) -> bool:
        """Whether an output depends on an input at all."""
        return bool(self.reach[value] >> self.bits[index] & 1)

    def block_type(self, value: int, index: int) -> ArrayType:
        """The type of a block: both shapes, the output's dtype (complex by a complex input)."""
        of, by = self.graph.types[value], self.graph.types[index]
        dtype = complex_dtype(of.dtype) if by.is_complex else of.dtype
        return ArrayType(dtype, of.shape + by.shape)

    def ahead(self) -> list[LinearPart]:
        """The passes of forward mode: from the inputs, to outputs that depend on them."""
        parts = []
        for group in _groups(self.indices):
            reached = [v for v in self.values if any([self.depends(v, i) for i in group])]
            parts.append(pushed(self.graph, group, reached))
        return parts

    def back(self) -> list[LinearPart]:
        """The passes of reverse mode: from the outputs, to inputs that they depend on."""
        parts = []
        for group in _groups(self.values):
            reached = [i for i in self.indices if any([self.depends(v, i) for v in group])]
            parts.append(pulled(self.graph, group, reached))
        return parts

    def ahead_at_once(self) -> LinearPart:
        """One pass of forward mode that seeds all inputs."""
        return pushed(self.graph, self.indices, self.values)

    def back_at_once(self) -> LinearPart:
        """One pass of reverse mode that seeds all outputs."""
        return pulled(self.graph, self.values, self.indices)

    def from_columns(self, image: Ref, value: int, index: int) -> Ref:
        """The block of an image of shape (columns, *output.shape)."""
        rank = len(image.shape)
        block = permuted_below(image, (*range(1, rank), 0))
        return reshaped(block, self.block_type(value, index).shape)

    def from_rows(self, image: Ref, value: int, index: int) -> Ref:
        """The block of an image of shape (rows, *input.shape), in the block's dtype."""
        type = self.block_type(value, index)
        block = reshaped(image, type.shape)
        return block if block.dtype == type.dtype else do.astype(block, dtype=type.dtype)


def _groups(numbers: Sequence[int]) -> list[tuple[int, ...]]:
    """Which values are seeded in one pass."""
    lone = len(numbers) <= MAX_LONE_PASSES
    return [(number,) for number in numbers] if lone else [tuple(numbers)]
