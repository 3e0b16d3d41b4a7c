"""Recomputation: the same outputs in less memory, some values computed again when needed again."""

from pullback_graph.recompute.fit import Recomputed, fit

__all__ = ["Recomputed", "fit"]
