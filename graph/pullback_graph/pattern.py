"""Sparse matrices as plain data: which elements may differ from zero, by rows, and their values.

The layout is that of compressed sparse rows: `columns[starts[i]:starts[i + 1]]` are the columns of
row i, ascending, each once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from pullback_graph.types import DType

Indices: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
"""Integers along one axis."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """The places of a matrix that may differ from zero.

    Attributes:
        shape: rows and columns.
        starts: where each row's columns start, and where the last one's end, (rows + 1,).
        columns: the columns of all rows in turn, (count,).
    """

    shape: tuple[int, int]
    starts: Indices
    columns: Indices

    @property
    def count(self) -> int:
        """How many places."""
        return len(self.columns)

    @cached_property
    def rows(self) -> Indices:
        """The row of each place, (count,)."""
        return np.repeat(np.arange(self.shape[0]), np.diff(self.starts))

    @property
    def size_bytes(self) -> int:
        """Bytes of the two arrays."""
        return int(self.starts.nbytes + self.columns.nbytes)

    def same_places(self, other: Pattern) -> bool:
        """Whether another pattern has these places, and no others."""
        alike = self.shape == other.shape and np.array_equal(self.starts, other.starts)
        return alike and np.array_equal(self.columns, other.columns)

    def transposed(self) -> tuple[Pattern, Indices]:
        """The pattern by columns, and which place of this one each of its places is."""
        order = np.argsort(self.columns, kind="stable")
        return pattern_of(self.columns[order], self.rows[order], self.shape[::-1]), order


def pattern_of(rows: Indices, columns: Indices, shape: tuple[int, int]) -> Pattern:
    """The pattern of places in order: by row, then by column, none of them twice."""
    starts = np.zeros(shape[0] + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=shape[0]), out=starts[1:])
    return Pattern(shape, _narrow(starts, len(columns)), _narrow(columns, shape[1]))


def _narrow(numbers: Indices, most: int) -> Indices:
    """In 32 bits where they fit, as most libraries of sparse matrices take them; read-only."""
    small = most <= np.iinfo(np.int32).max
    array = np.array(numbers, np.int32 if small else np.int64)
    array.flags.writeable = False
    return array


@dataclass(frozen=True, slots=True, eq=False)
class SparseArray:
    """A sparse matrix: a pattern, and the value at each of its places.

    Attributes:
        values: of shape (pattern.count,), in the order of the pattern.
    """

    pattern: Pattern
    values: np.ndarray[Any, Any]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.pattern.shape

    @property
    def dtype(self) -> DType:
        """The dtype of the values."""
        dtype: DType = self.values.dtype
        return dtype

    @property
    def nbytes(self) -> int:
        """Bytes of values and pattern."""
        return int(self.values.nbytes) + self.pattern.size_bytes

    def toarray(self) -> np.ndarray[Any, Any]:
        """The matrix with its zeros written out."""
        whole = np.zeros(self.shape, self.dtype)
        whole[self.pattern.rows, self.pattern.columns] = self.values
        return whole
