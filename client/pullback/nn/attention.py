"""Attention, looking up embeddings, and dropout: what mixes, picks or leaves out."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

import pullback.numpy as pnp
from pullback import random
from pullback.nn.shares import softmax
from pullback.tracing.apply import Value, as_value
from pullback.tracing.promotion import promoted, real_floating
from pullback_graph.errors import AttributeFault, DTypeError, ShapeError


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    mask: Any = None,
    *,
    bias: Any = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Any:
    """softmax(query keyᵀ scale + bias) value, as torch lays it out.

    Args:
        query, key, value: (..., L, E), (..., S, E), (..., S, V), the axes before them broadcasting.
        mask: which keys a query sees: bool, broadcasting to (..., L, S). One that sees none gets 0.
        bias: broadcasting likewise.
        is_causal: whether query i sees the keys up to i alone.
        scale: 1 / sqrt(E) where None.

    Returns:
        (..., L, V).

    Raises:
        ShapeError: the shapes do not fit.
        DTypeError: the mask is not bool.
    """
    queries, keys, values = promoted(real_floating, (query, key, value))
    if min(queries.ndim, keys.ndim, values.ndim) < 2:
        raise ShapeError(
            "attention needs queries (..., L, E), keys (..., S, E), values (..., S, V)"
        )
    factor = 1 / sqrt(max(queries.shape[-1], 1)) if scale is None else scale
    scores = pnp.matmul(pnp.multiply(queries, factor), pnp.matrix_transpose(keys))
    if bias is not None:
        scores = pnp.add(scores, bias)
    seen = _seen(mask, is_causal, scores)
    return pnp.matmul(softmax(scores, -1, seen), values)


def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    *,
    scale: float | None = None,
    is_causal: bool = False,
) -> Any:
    """`scaled_dot_product_attention` as jax.nn lays it out.

    Args:
        query: (B, T, N, H), or without the batch.
        key, value: (B, S, K, H), the N heads of the queries being in K groups.
        bias, mask: broadcasting to (B, N, T, S).

    Returns:
        (B, T, N, H).

    Raises:
        ShapeError: the shapes do not fit.
        DTypeError: the mask is not bool.
    """
    queries, keys, values = promoted(real_floating, (query, key, value))
    heads = queries.shape[-2:-1]
    if not 3 <= queries.ndim == keys.ndim == values.ndim or heads[0] % max(keys.shape[-2], 1):
        raise ShapeError(
            f"queries {queries.shape}, keys {keys.shape} and values {values.shape}: give (B, T, N, "
            "H) and (B, S, K, H), with N a multiple of K"
        )
    each = heads[0] // max(keys.shape[-2], 1)
    if each > 1:
        keys, values = (pnp.repeat(item, each, -2) for item in (keys, values))
    first, second, third = (pnp.swapaxes(item, -3, -2) for item in (queries, keys, values))
    mixed = scaled_dot_product_attention(
        first, second, third, mask, bias=bias, is_causal=is_causal, scale=scale
    )
    return pnp.swapaxes(mixed, -3, -2)


def embedding(indices: Any, table: Any) -> Any:
    """The rows (V, ...) of a table at indices; the derivative of a row adds up over its uses."""
    return pnp.take(table, indices, axis=0)


def dropout(x: Any, rate: float, key: Any) -> Any:
    """x with a share of its elements 0, and the others larger by as much, so that means stay.

    Args:
        rate: the share left out, a number from 0 to 1.
        key: of `pullback.random`, a new one each time; or one for each place on the first axes of
            x, so that shards of a batch draw what is theirs.

    Raises:
        AttributeFault: the rate is no share.
        ShapeError: there are keys for other axes than the first.
    """
    (value,) = promoted(real_floating, (x,))
    if not 0.0 <= rate <= 1.0:
        raise AttributeFault(f"rate is {rate}; give the share to leave out, from 0 to 1")
    if rate in (0.0, 1.0):
        return value if rate == 0.0 else pnp.zeros_like(value)
    lead = np.shape(key)[:-1]
    if value.shape[: len(lead)] != lead:
        raise ShapeError(f"{lead} keys for shape {value.shape}; give one, or one a place in front")
    kept = random.bernoulli(key, 1.0 - rate, value.shape[len(lead) :])
    return pnp.where(kept, pnp.divide(value, 1.0 - rate), 0.0)


def _seen(mask: Any, is_causal: bool, scores: Any) -> Value | None:
    """The mask and the causal one, or what there is of them."""
    seen: Value | None = None if mask is None else as_value(mask)
    if seen is not None and seen.dtype.kind != "b":
        raise DTypeError(f"a mask is bool, got {seen.dtype.name}; give numbers to add as bias")
    if not is_causal:
        return seen
    before = np.tri(*scores.shape[-2:]) == 1.0
    both: Value = before if seen is None else pnp.logical_and(seen, before)
    return both
