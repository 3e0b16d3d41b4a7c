"""The operator table: every row of every family, by name. Adding an operator is adding a row."""

from __future__ import annotations

from pullback_graph.op import Op
from pullback_graph.ops import FAMILIES

OP_TABLE_VERSION = 1
"""Raised when a row changes what an existing graph computes; part of every program's key."""

OPS: dict[str, Op] = {op.name: op for family in FAMILIES.values() for op in family}
"""Every row by name."""

assert len(OPS) == sum(map(len, FAMILIES.values())), "two rows of one name"
