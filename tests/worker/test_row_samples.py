"""Samples of rows: what tells calls, loops, FLOPs and bytes apart."""

from __future__ import annotations

import pytest

from pullback_graph.op import Op
from pullback_graph.ops.rules import broadcast_axes
from pullback_graph.table import OPS
from pullback_graph.types import FLOAT32, FLOAT64
from pullback_worker.quiet import quietly
from pullback_worker.row_samples import DENSE_BYTES, LEAST_LOOPS, MOST_BYTES, samples

ROWS = [op for op in OPS.values() if not op.graphs]


@pytest.mark.parametrize("op", ROWS, ids=lambda op: op.name)
def test_samples_are_of_limited_size(op: Op) -> None:
    """The smallest is no larger than the largest; half of that has fewer FLOPs a byte."""
    for dtype in (FLOAT64, FLOAT32):
        found = samples(op, dtype)
        if found is None:
            assert op.axes is not broadcast_axes or op.attributes
            continue
        assert found.small.cost.work <= found.large.cost.work
        limit = DENSE_BYTES if found.large.is_dense else MOST_BYTES
        assert found.large.times == 1 or found.large.cost.size_bytes <= limit
        assert found.half is None or found.half.intensity < found.large.intensity
        assert all([sample.loops[1] >= LEAST_LOOPS for sample in found.wide])


def test_a_sample_runs_to_a_result_of_its_type() -> None:
    """Whether the result's array is given or not."""
    for name in ("add", "matmul", "sum", "take", "where"):
        found = samples(OPS[name], FLOAT32)
        assert found is not None
        for sample in (found.small, found.large):
            function, arrays = sample.function()
            z = quietly(function, *arrays)
            assert (z.shape, z.dtype) == (sample.node.types[0].shape, sample.node.types[0].dtype)


def test_operands_of_a_sample_differ() -> None:
    """Rows take short ways on equal operands."""
    found = samples(OPS["logaddexp"], FLOAT64)
    assert found is not None
    _, (x, y) = found.large.function()
    assert not (x == y).any()


def test_products_have_a_sample_with_a_vector() -> None:
    """It is as small as others are, and does few FLOPs a byte."""
    for dtype in (FLOAT64, FLOAT32):
        found = samples(OPS["matmul"], dtype)
        assert found is not None
        assert found.thin is not None
        assert [type.rank for type in found.thin.types] == [2, 1]
        assert found.thin.cost.size_bytes <= MOST_BYTES
