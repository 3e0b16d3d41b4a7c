"""Which jobs of a stream are worth a process: those that bring their graph along."""

from __future__ import annotations

import numpy as np
import pytest

from pullback_graph.builder import Builder
from pullback_graph.codec import encode_job
from pullback_graph.graph import Graph
from pullback_graph.job import GraphHash, Job
from pullback_graph.types import FLOAT64, ArrayType
from pullback_server.front_end.arrivals import brings_graph


def _graph() -> Graph:
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, ()))
    return b.build({"y": x * x})


@pytest.mark.parametrize("id", ["", "7", "a job's own name"])
def test_a_job_with_its_graph_is_seen(id: str) -> None:
    """The graph's field is found behind an id or without one; a fingerprint is no graph."""
    inputs = {"x": np.asarray(1.0)}
    assert brings_graph(encode_job(Job(_graph(), inputs, id=id)))
    assert not brings_graph(encode_job(Job(GraphHash("ab" * 32), inputs, id=id)))


@pytest.mark.parametrize("data", [b"", b"\n", b"\n\x05", b"\n\xff\xff", b"\x12", b"garbage"])
def test_garbage_is_only_a_guess(data: bytes) -> None:
    """Truncated and random bytes give an answer, not an error."""
    assert brings_graph(data) in (True, False)
