"""Sparsity: which outputs' elements depend on which inputs', and how few seeds tell them all."""

from pullback_graph.sparsity.colouring import Colouring, coloured
from pullback_graph.sparsity.propagate import Evaluate, TooDense, structure
from pullback_graph.sparsity.star import star_coloured

__all__ = [
    "Colouring",
    "Evaluate",
    "TooDense",
    "coloured",
    "star_coloured",
    "structure",
]
