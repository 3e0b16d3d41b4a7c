"""Content stores: bounded, least recently used out first, typed errors for what is not there."""

from __future__ import annotations

import pytest

from pullback_graph.errors import LimitExceeded, NotFoundError
from pullback_server.front_end.stores import ContentStore


def _store(capacity_bytes: int = 10) -> ContentStore[bytes]:
    return ContentStore("tensor", capacity_bytes, len)


def test_what_was_put_is_got() -> None:
    """A value comes back by its key; putting it again says that it was there."""
    store = _store()
    assert not store.put("a", b"123")
    assert store.put("a", b"123")
    assert store.get("a") == b"123"
    assert (len(store), store.stored_bytes) == (1, 3)


def test_the_least_recently_used_goes_first() -> None:
    """Over capacity, what was read longest ago gives way, and only as much as needed."""
    store = _store()
    store.put("a", b"1234")
    store.put("b", b"1234")
    store.get("a")
    store.put("c", b"1234")
    assert "a" in store
    assert "b" not in store
    assert store.stored_bytes == 8


def test_a_missing_key_says_what_to_do() -> None:
    """Asking for what is not stored names it and the next action."""
    with pytest.raises(NotFoundError, match="no tensor abc is stored here; send it again"):
        _store().get("abc")


def test_what_can_never_fit_is_refused() -> None:
    """A value over the whole capacity is refused with both numbers, and evicts nothing."""
    store = _store()
    store.put("a", b"1")
    with pytest.raises(LimitExceeded, match=r"11 bytes.*10 bytes.*--tensor-store-bytes"):
        store.put("b", b"x" * 11)
    assert "a" in store
