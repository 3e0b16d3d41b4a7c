"""What a client sees of an error that no part of the front end has typed."""

from __future__ import annotations

import pytest

from pullback_graph.errors import ExecutionError, OutOfMemory, PullbackError, ShapeError
from pullback_server.front_end.evaluation import typed_error


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ShapeError("of the job"), ShapeError, "of the job"),
        (MemoryError("16 GiB"), OutOfMemory, "send less at once"),
        (KeyError("a secret"), ExecutionError, "failed with KeyError.*please report"),
    ],
)
def test_the_class_tells_whose_fault_it_is(
    error: Exception, kind: type[PullbackError], words: str
) -> None:
    """Typed errors pass; memory that ran out says what to do; nothing inward is told."""
    found = typed_error(error)
    assert type(found) is kind
    assert "secret" not in found.message
    with pytest.raises(kind, match=words):
        raise found
