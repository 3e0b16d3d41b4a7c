"""Errors of the passes, naming the node and showing the nodes around it."""

from __future__ import annotations

from pullback_graph.errors import NotDifferentiable
from pullback_graph.graph import Graph
from pullback_graph.op import Undefined
from pullback_graph.text import excerpt
from pullback_graph.types import ArrayType


def undefined_at(graph: Graph, position: int) -> NotDifferentiable:
    """The error for a row without a derivative on the path."""
    op = graph.nodes[position].op
    reason = op.derivative.reason if isinstance(op.derivative, Undefined) else "no derivative"
    return NotDifferentiable(
        f"node {position} {op.name} has no derivative: {reason}; keep it off the path from the "
        f"differentiated inputs\n{excerpt(graph, position)}",
        field=f"graph.nodes[{position}]",
    )


def integer_wrt(graph: Graph, name: str) -> NotDifferentiable:
    """The error for differentiating with respect to an input that is not floating."""
    type = graph.inputs[graph.input_index(name)].type
    return NotDifferentiable(
        f"input {name!r} is {type}: a derivative needs a floating dtype; cast it to float64",
        field=f"wrt.{name}",
    )


def integer_output(name: str, type: object) -> NotDifferentiable:
    """The error for a cotangent of an output that is not floating."""
    return NotDifferentiable(
        f"output {name!r} is {type}: a cotangent needs a floating dtype; leave it out of the seed",
        field=f"outputs.{name}",
    )


def complex_jacobian(output: str, of: object, name: str, by: object) -> NotDifferentiable:
    """The error for a Jacobian (or Hessian) of a complex value by a complex input."""
    return NotDifferentiable(
        f"output {output!r} is {of} and input {name!r} {by}: between complex numbers only a "
        "holomorphic function has a matrix of derivatives; ask for a vjp, jvp or hvp, or give real "
        "and imaginary parts as outputs or inputs of their own",
        field=f"outputs.{output}",
    )


def not_scalar(name: str, type: ArrayType) -> NotDifferentiable:
    """The error for a gradient of an output that is not a real floating scalar."""
    if type.is_complex:
        return NotDifferentiable(
            f"output {name!r} is {type}: a gradient needs a real floating scalar; take its real, "
            "imag or abs, or ask for a vjp",
            field=f"output.{name}",
        )
    return NotDifferentiable(
        f"output {name!r} is {type}: a gradient needs a floating scalar; reduce it with sum or "
        "mean, or ask for a vjp or a jacobian",
        field=f"output.{name}",
    )
