"""Differentiation: Graph -> Graph, from the rows of the operator table alone."""

from pullback_graph.derivative.forward import push
from pullback_graph.derivative.lower import Lowered, lower
from pullback_graph.derivative.reverse import pull
from pullback_graph.derivative.traced import Traced, traced
from pullback_graph.derivative.transforms import (
    Differentiated,
    gradient,
    hessian,
    hvp,
    jacobian,
    jvp,
    vjp,
)

__all__ = [
    "Differentiated",
    "Lowered",
    "Traced",
    "gradient",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "lower",
    "pull",
    "push",
    "traced",
    "vjp",
]
