"""Differentiation: Graph -> Graph, from the rows of the operator table alone."""

from pullback_graph.derivative.draft import Differentiated, Mode
from pullback_graph.derivative.forward import push
from pullback_graph.derivative.hessian import hessian
from pullback_graph.derivative.jacobian import jacobian
from pullback_graph.derivative.lower import Lowered, lower
from pullback_graph.derivative.reverse import pull
from pullback_graph.derivative.traced import Traced, traced
from pullback_graph.derivative.transforms import (
    gradient,
    hvp,
    jvp,
    vjp,
)

__all__ = [
    "Differentiated",
    "Lowered",
    "Mode",
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
