"""The linear sweeps of the tape machine: adjoints, tangents, and tangents of adjoints.

They know edges and numbers and no operator, but for `select`, whose other branch gets 0 and not
0 times what may be infinite. Griewank & Walther 2008, sections 3.1, 3.2 and 5.1.

`p`, `q` are a tape's partials (`tape_forward`); `K` are seeds swept side by side, at most 64, and
a mask has a bit per seed: set where the seed reaches a scalar. What no seed reaches adds nothing,
be its partial infinite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pullback_worker.tape_forward import CODES, EDGES
from pullback_worker.tape_numba import jit

if TYPE_CHECKING:
    from pullback_graph.tape.rows import NDArray

MAX_SEEDS = 64
"""Seeds of one sweep: the bits of a mask."""
_SELECT = CODES["select"]
_ONE = np.uint64(1)
_NONE = np.uint64(0)


@jit
def reverse(code: NDArray, edges: NDArray, start: int, p: NDArray, g: NDArray) -> None:
    """Carry the adjoints `g` `(S,)` of a tape's outputs to its inputs.

    `edges` is `(2 N,)`: the scalars that each node passes its adjoint on to, itself for none.
    """
    for i in range(code.size - 1, -1, -1):
        t = g[start + i]
        first, second = p[2 * i], p[2 * i + 1]
        if code[i] == _SELECT:
            g[edges[2 * i]] += t if first != 0.0 else 0.0
            g[edges[2 * i + 1]] += t if first == 0.0 else 0.0
        else:
            g[edges[2 * i]] += t * first
            g[edges[2 * i + 1]] += t * second


@jit
def _spread(target: Any, source: Any, factor: float, mask: Any, choice: int) -> None:
    """Add `source` times `factor` to `target` in the lanes of `mask`.

    `choice`: 0 multiplies, 1 passes on as it is, -1 passes on zeros.
    """
    if choice < 0:
        return
    for k in range(source.size):
        if (mask >> np.uint64(k)) & _ONE != _NONE:
            target[k] += source[k] if choice > 0 else source[k] * factor


@jit
def _choices(op: int, first: float) -> tuple[int, int]:
    """How a node's two edges pass on: both times their partial, or the one that it selected."""
    if op != _SELECT:
        return 0, 0
    return (1, -1) if first != 0.0 else (-1, 1)


@jit
def reverse_seeds(
    code: NDArray, operands: NDArray, start: int, p: NDArray, g: NDArray, mask: NDArray
) -> None:
    """Carry the adjoints `g` `(S, K)` of the outputs to the inputs, and `mask` `(S,)` uint64."""
    for i in range(code.size - 1, -1, -1):
        reached = mask[start + i]
        count = EDGES[code[i]]
        if reached == _NONE or count == 0:
            continue
        first, second = _choices(code[i], p[2 * i])
        a = operands[2 * i]
        mask[a] |= reached
        _spread(g[a], g[start + i], p[2 * i], reached, first)
        if count == 2:
            b = operands[2 * i + 1]
            mask[b] |= reached
            _spread(g[b], g[start + i], p[2 * i + 1], reached, second)


@jit
def forward_seeds(
    code: NDArray, operands: NDArray, start: int, p: NDArray, t: NDArray, mask: NDArray
) -> None:
    """Carry the tangents `t` `(S, K)` of the inputs to all nodes, and `mask` `(S,)` uint64."""
    for i in range(code.size):
        count = EDGES[code[i]]
        t[start + i] = 0.0
        mask[start + i] = _NONE
        if count == 0:
            continue
        first, second = _choices(code[i], p[2 * i])
        a, b = operands[2 * i], operands[2 * i + 1]
        mask[start + i] = mask[a]
        _spread(t[start + i], t[a], p[2 * i], mask[a], first)
        if count == 2:
            mask[start + i] |= mask[b]
            _spread(t[start + i], t[b], p[2 * i + 1], mask[b], second)


@jit
def _times(x: float, y: float) -> float:
    """The product, and 0 where a factor is 0, be the other infinite or NaN."""
    return 0.0 if x == 0.0 or y == 0.0 else x * y


@jit
def reverse_twice(
    edges: NDArray,
    operands: NDArray,
    start: int,
    p: NDArray,
    q: NDArray,
    t: NDArray,
    g: NDArray,
    h: NDArray,
) -> None:
    """Carry the tangents `h` `(S, K)` of the adjoints `g` `(S,)` to the inputs, along tangents `t`.

    A product of which one factor is 0 is 0 here: what doesn't depend can't be told from zero.
    """
    for i in range(edges.size // 2 - 1, -1, -1):
        z, a, b = start + i, edges[2 * i], edges[2 * i + 1]
        if a == z:
            continue
        x, y = operands[2 * i], operands[2 * i + 1]
        pa, aa, ab, bb = p[2 * i], q[3 * i], q[3 * i + 1], q[3 * i + 2]
        for k in range(h.shape[1]):
            bend = _times(aa, t[x, k]) + _times(ab, t[y, k])
            h[a, k] += _times(h[z, k], pa) + _times(g[z], bend)
        if b == z:
            continue
        pb = p[2 * i + 1]
        for k in range(h.shape[1]):
            bend = _times(ab, t[x, k]) + _times(bb, t[y, k])
            h[b, k] += _times(h[z, k], pb) + _times(g[z], bend)
