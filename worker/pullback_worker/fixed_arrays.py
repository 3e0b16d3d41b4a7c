"""Arrays that nobody can change any more, and which of them were found to be finite.

An array is known by identity, for as long as it lives; nothing is hashed or compared.
"""

from __future__ import annotations

import weakref

from pullback_worker.executor import NDArray

LEAST_BYTES = 1 << 16
"""Smaller arrays are looked at again sooner than they are looked up."""

_finite: dict[int, weakref.ref[NDArray]] = {}


def may_change(array: NDArray) -> bool:
    """Whether an array, or what it is a view of, can be written to."""
    base: object = array
    while hasattr(base, "flags"):
        if base.flags.writeable:
            return True
        base = base.base if hasattr(base, "base") else None
    return isinstance(base, bytearray) or (isinstance(base, memoryview) and not base.readonly)


def known_finite(array: NDArray) -> bool:
    """Whether this very array was found to have finite elements only, and can't have changed."""
    known = _finite.get(id(array))
    return known is not None and known() is array


def remember_finite(array: NDArray) -> None:
    """Note that an array has finite elements only, where that is worth it and stays so."""
    if array.nbytes > LEAST_BYTES and not may_change(array):
        key = id(array)
        _finite[key] = weakref.ref(array, lambda gone: _forget(key, gone))


def _forget(key: int, gone: weakref.ref[NDArray]) -> None:
    """An array is no more; another one may have come to its place in memory meanwhile."""
    if _finite.get(key) is gone:
        del _finite[key]
