"""Rows of the family `reduction`."""

from __future__ import annotations

from pullback_graph.op import Op

ROWS: tuple[Op, ...] = ()
