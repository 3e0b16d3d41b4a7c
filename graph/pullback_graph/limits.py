"""Limits on what a request may ask for: plain numbers, checked before anything is made.

Sizes count elements or bytes as their names say. Crossing one is LimitExceeded, which states what
was asked and what is allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pullback_graph.errors import LimitExceeded, WireError
from pullback_graph.types import MAX_RANK


@dataclass(frozen=True, slots=True)
class Limits:
    """What one graph or job may hold.

    Attributes:
        max_nodes: nodes of a graph, as sent; a subgraph's count as often as it is held.
        max_tape_nodes: nodes of a tape, which take six bytes to fourteen each.
        max_subgraphs: subgraphs of a graph, each counted once.
        max_depth: levels of subgraphs in each other.
        max_inputs: inputs of a graph, and arrays of a job or of one of its seeds.
        max_outputs: outputs of a graph.
        max_operands: operands of all nodes of a graph, and entries of a tuple attribute.
        max_constants: constants of a graph.
        max_constants_bytes: bytes of all constants of a graph together.
        max_elements: elements of any one value, inputs and results of nodes included.
        max_rank: axes of any one value.
        max_seeds: seeds of a job.
        max_text_length: characters of a name or a string attribute.
        max_parts: fields with a length in one message, at all depths, each an object once parsed.
    """

    max_nodes: int = 500_000
    max_tape_nodes: int = 10_000_000
    max_subgraphs: int = 10_000
    max_depth: int = 16
    max_inputs: int = 4096
    max_outputs: int = 65_536
    max_operands: int = 4_000_000
    max_constants: int = 100_000
    max_constants_bytes: int = 1 << 30
    max_elements: int = 1 << 31
    max_rank: int = MAX_RANK
    max_seeds: int = 4096
    max_text_length: int = 4096
    max_parts: int = 4_000_000

    def check(self, limit: str, asked: int, what: str, field: str) -> None:
        """Refuse `asked` of `what` where it is over the limit of that name.

        Raises:
            LimitExceeded: it is.
        """
        allowed = getattr(self, limit)
        if asked > allowed:
            raise LimitExceeded(
                f"{asked} {what}, where at most {allowed} are allowed ({limit}); "
                "send less at once, or raise the limit",
                field=field,
            )

    def check_tensor(self, shape: Sequence[int], field: str = "tensor") -> None:
        """Refuse a shape of too many axes or elements.

        Sizes of zero count as one, so that what passes can be indexed whatever the other sizes.

        Raises:
            LimitExceeded: there are too many axes or elements.
            WireError: a size is negative.
        """
        if len(shape) > self.max_rank:
            self.check("max_rank", len(shape), "axes", field)
        elements = 1
        for size in shape:
            if size < 0:
                raise WireError(f"a size of {size}; sizes are not negative", field=field)
            elements *= size or 1
        if elements > self.max_elements:
            self.check("max_elements", elements, "elements in one array", field)


DEFAULT_LIMITS = Limits()
"""What is allowed where nothing else is said."""
