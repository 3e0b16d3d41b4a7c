"""What is told of the first node that made a NaN or an infinity: where it is, on what it ran."""

from __future__ import annotations

from typing import NamedTuple


class ValueRange(NamedTuple):
    """An operand's type, and its least and greatest element (of the moduli, where complex)."""

    type: str
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.type} in [{self.low:.6g}, {self.high:.6g}]"


class BadNode(NamedTuple):
    """The first node whose result is not finite although its operands are.

    Attributes:
        phase: `forward` for a node of the job's graph, `tangent` or `adjoint` for one that computes
            the derivative of such a node, `input` where an input was not finite to begin with,
            empty where the derivative's node belongs to no single node of the graph.
        node: the position in the job's graph.
        op: the row of that node, or the input's name.
        ran: the row that made the NaN or infinity: `op` itself in the forward phase, or one of its
            subgraph.
        operands: what it ran on.
        inside: where in the subgraphs of the node: `step 3, node 2 log`; empty where it has none.
    """

    phase: str
    node: int
    op: str
    ran: str
    operands: tuple[ValueRange, ...]
    inside: str = ""

    @property
    def where(self) -> str:
        """The node in words."""
        if self.phase == "input":
            return f"input {self.op!r}"
        inside = f" ({self.inside})" if self.inside else ""
        if not self.phase:
            return f"{self.ran} in the derivative{inside}"
        place = f"node {self.node} {self.op}{inside}"
        return place if self.phase == "forward" else f"{self.ran} in the {self.phase} of {place}"

    @property
    def field(self) -> str:
        """The field of the request that holds it; empty where it is of no single node."""
        if self.phase == "input":
            return f"inputs.{self.op}"
        return f"graph.nodes[{self.node}]" if self.phase else ""

    def __str__(self) -> str:
        if self.phase == "input":
            return f"{self.where} is not finite"
        listed = ", ".join([str(item) for item in self.operands[:6]])
        return f"{self.where} is the first result that is not finite; it ran on {listed}"
