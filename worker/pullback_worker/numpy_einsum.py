"""Einstein summation on NumPy arrays through matmul, planned from the subscripts once.

Operands are contracted from left to right; a label is summed as soon as nothing later needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any


def contraction(subscripts: str) -> Callable[..., Array]:
    """The function that explicit `subscripts` (`ij,jk->ik`, no ellipsis) describe."""
    left, output = subscripts.split("->")
    terms = left.split(",")
    if len(terms) == 1:
        return _unary(terms[0], output)
    if len(terms) == 2:
        return _binary(terms[0], terms[1], output)
    return _chain(terms, output)


def _chain(terms: list[str], output: str) -> Callable[..., Array]:
    """Contract the first two, then the result with the next, and so on."""
    steps, done = [], terms[0]
    for position, term in enumerate(terms[1:], 1):
        later = set("".join(terms[position + 1 :]) + output)
        last = position == len(terms) - 1
        kept = output if last else "".join([c for c in dict.fromkeys(done + term) if c in later])
        steps.append(_binary(done, term, kept))
        done = kept

    def run(x: Array, *ys: Array) -> Array:
        for step, y in zip(steps, ys, strict=True):
            x = step(x, y)
        return x

    return run


def _unary(term: str, output: str) -> Callable[[Array], Array]:
    """Diagonals of repeated labels, sums over labels not in the output, then the output's order."""
    unique = "".join(dict.fromkeys(term))
    diagonal = None if unique == term else f"{term}->{unique}"
    summed = tuple([axis for axis, label in enumerate(unique) if label not in output])
    kept = [label for label in unique if label in output]
    order = tuple([kept.index(label) for label in output])
    reorder = order != tuple(range(len(order)))

    def run(x: Array) -> Array:
        if diagonal is not None:
            x = np.einsum(diagonal, x)
        if summed:
            x = np.add.reduce(x, axis=summed, dtype=x.dtype)
        return x.transpose(order) if reorder else x

    return run


def _binary(first: str, second: str, output: str) -> Callable[[Array, Array], Array]:
    """One matmul between reorderings, a product where nothing is contracted."""
    shared = set(first) & set(second)
    batch = [label for label in output if label in shared]
    inner = [label for label in dict.fromkeys(first) if label in shared and label not in output]
    left = [label for label in output if label in first and label not in shared]
    right = [label for label in output if label in second and label not in shared]
    if inner and not left and not right:
        return lambda x, y: np.einsum(f"{first},{second}->{output}", x, y)
    arrange_x = _unary(first, "".join(batch + left + inner))
    arrange_y = _unary(second, "".join(batch + inner + right))
    arrange_z = _unary("".join(batch + left + right), output)
    b, m, n = len(batch), len(left), len(right)

    def run(x: Array, y: Array) -> Array:
        x, y = arrange_x(x), arrange_y(y)
        sizes_x, sizes_y = x.shape, y.shape
        rows, columns = sizes_x[b : b + m], sizes_y[len(sizes_y) - n :]
        if inner:
            k = prod(sizes_x[b + m :])
            x = x.reshape((*sizes_x[:b], prod(rows), k))
            y = y.reshape((*sizes_y[:b], k, prod(columns)))
            z = np.matmul(x, y).reshape((*sizes_x[:b], *rows, *columns))
        else:
            z = x.reshape(sizes_x + (1,) * n) * y.reshape(sizes_y[:b] + (1,) * m + columns)
        return arrange_z(z)

    return run
