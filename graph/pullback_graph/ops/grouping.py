"""Which axes survive a reshape: the two shapes cut into the shortest runs of equal products."""

from __future__ import annotations

from pullback_graph.op import Factors
from pullback_graph.types import Shape


def grouped_factors(operand: Shape, result: Shape) -> tuple[Factors, Factors]:
    """Factors of a reshape's operand and result.

    Walking both shapes from the left, equal sizes pass unchanged and share a factor. Where sizes
    differ, axes merge or split within a run of equal products, whose outermost axes share a factor
    if one size divides the other: as elements lie in row-major order, cutting or lengthening one
    then cuts or lengthens the other in proportion. Every other axis must stay whole.
    """
    if 0 in operand:
        same = tuple(range(len(operand))) if operand == result else None
        return same or (None,) * len(operand), same or (None,) * len(result)
    before: list[int | None] = [None] * len(operand)
    after: list[int | None] = [None] * len(result)
    i = j = 0
    while i < len(operand) and j < len(result):
        n, m = operand[i], result[j]
        if n != m and 1 in (n, m):
            i, j = i + (n == 1), j + (m == 1)
            continue
        if n % m == 0 or m % n == 0:
            before[i] = after[j] = i
        i, j = _run_end(operand, result, i, j)
    return tuple(before), tuple(after)


def _run_end(operand: Shape, result: Shape, i: int, j: int) -> tuple[int, int]:
    """Where the runs of equal products that start at `i` and `j` end."""
    n, m = operand[i], result[j]
    i, j = i + 1, j + 1
    while n != m:
        if n < m:
            n, i = n * operand[i], i + 1
        else:
            m, j = m * result[j], j + 1
    return i, j
