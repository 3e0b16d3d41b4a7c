"""Plans and arrays on the wire between front end and dispatcher."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pullback_graph.builder import Builder
from pullback_graph.errors import ServiceError
from pullback_graph.job import Options, Split
from pullback_graph.ref import do
from pullback_graph.types import DTYPES, FLOAT64, ArrayType
from pullback_server import owned_folder
from pullback_server.owned_folder import OwnedFolder
from pullback_server.plan_codec import (
    decode_operand,
    decode_plan,
    encode_operand,
    encode_plan,
)
from pullback_server.planner import Block, JobInput, Plan, TaskOutput, make_plan
from pullback_server.planner.plan import Placement
from pullback_server.shared_tensors import LEAST_BYTES, SharedArray, SharedTensors
from tests.server.plans import make_plan as plan_of
from tests.server.plans import make_task, reduce_plan


def dot_plan(shards: int) -> Plan:
    """The planner's own plan of a sharded product."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (64, 3)))
    w = builder.input("w", ArrayType(FLOAT64, (3,)))
    loss = do.sum(x @ w, axes=(0,), keepdims=False)
    return make_plan(builder.build({"loss": loss}), Options(split=Split("shard", shards)))


PLANS = {
    "by hand": plan_of(
        [make_task([JobInput(0, Block(1, 2, 3))], outputs=2, placement=Placement.GPU, shard=-1)],
        [TaskOutput(0, 1), JobInput(0)],
    ),
    "empty": plan_of([], [JobInput(0)]),
    "reduce": reduce_plan(5),
    "planned": dot_plan(4),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_survives_the_wire(name: str):
    """What is decoded equals what was encoded, digest included."""
    plan = PLANS[name]
    decoded = decode_plan(encode_plan(plan))
    assert decoded == plan
    assert decoded.digest == plan.digest


def test_equal_shards_share_one_graph_after_the_wire():
    """A graph travels once, and the tasks that shared it share it again."""
    decoded = decode_plan(encode_plan(dot_plan(4)))
    graphs = {id(task.graph) for task in decoded.tasks if task.shard >= 0}
    assert len(graphs) <= 2


arrays = st.sampled_from(sorted(DTYPES)).flatmap(
    lambda name: hnp.arrays(DTYPES[name], hnp.array_shapes(min_dims=0, max_dims=4, min_side=0))
)


@given(array=arrays, least=st.sampled_from([0, LEAST_BYTES]))
def test_an_array_survives_the_wire(
    array: np.ndarray, least: int, tmp_path_factory: pytest.TempPathFactory
):
    """Bits, dtype and shape arrive, inline or in shared memory, and no file stays."""
    folder = tmp_path_factory.mktemp("shared")
    writer, reader = SharedTensors(folder, "a", least), SharedTensors(folder, "b")
    message = encode_operand(array, writer)
    found = decode_operand(message, reader)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()
    assert not list(folder.iterdir())


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_large_array_crosses_in_a_file_that_its_reader_removes(
    order: Literal["C", "F"], tmp_path: Path
):
    """The file is gone once it is mapped, and the array is read-only and right."""
    shared = SharedTensors(tmp_path, "a")
    array = np.asarray(np.arange(LEAST_BYTES / 4).reshape(8, -1), order=order)
    message = encode_operand(array, shared)
    assert message.WhichOneof("place") == "shared"
    assert len(list(tmp_path.iterdir())) == 1
    found = decode_operand(message, shared)
    assert not list(tmp_path.iterdir())
    assert not found.flags.writeable
    np.testing.assert_array_equal(found, array)


def test_without_room_an_array_travels_inline(tmp_path: Path):
    """A folder that cannot be written to is no error."""
    shared = SharedTensors(tmp_path / "missing", "a")
    message = encode_operand(np.zeros(LEAST_BYTES), shared)
    assert message.WhichOneof("place") == "inline"


def test_a_file_that_is_gone_or_cut_short_is_a_service_error(tmp_path: Path):
    """The job can be sent again; a name that points elsewhere reads nothing there."""
    shared = SharedTensors(tmp_path, "a")
    with pytest.raises(ServiceError, match="gone"):
        shared.take(SharedArray("../../etc/passwd", FLOAT64, (4,)))
    (tmp_path / "short").write_bytes(b"1234")
    with pytest.raises(ServiceError, match="cut short"):
        shared.take(SharedArray("short", FLOAT64, (4,)))


def test_a_folder_goes_with_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Removing it removes all in it; what a dead owner left is removed by the next."""
    monkeypatch.setattr(owned_folder, "YOUNG_S", -1.0)
    mine = OwnedFolder(tmp_path, "pullback-")
    (mine.path / "file").write_text("x")
    orphan = OwnedFolder(tmp_path, "pullback-")
    os.close(orphan._lock)
    third = OwnedFolder(tmp_path, "pullback-")
    assert sorted(tmp_path.iterdir()) == sorted([mine.path, third.path])
    mine.remove()
    mine.remove()
    assert list(tmp_path.iterdir()) == [third.path]
    third.remove()
