"""Simplification, IEEE-exact: NaN, infinities and -0 come out as they would have."""

from pullback_graph.rewrite.rewriter import Fold, rewriter, simplify

__all__ = ["Fold", "rewriter", "simplify"]
