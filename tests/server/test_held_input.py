"""How inputs are laid out for workers: whole on one machine, by blocks on several."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback_graph.errors import OutOfMemory
from pullback_server.held_input import (
    MOST_COUNTED,
    MOST_LAYOUTS,
    SMALL_BYTES,
    HeldInput,
    Store,
    lay_out,
)
from pullback_server.input_store import InputStore
from pullback_server.planner.plan import Block, JobInput, Plan, TaskOutput
from pullback_worker.batch import InputOperand
from tests.server.plans import make_plan, make_task

ROWS = 8
LARGE = np.arange(ROWS * (SMALL_BYTES // 8), dtype=float).reshape(ROWS, -1)
"""Its rows are just small enough to travel in messages, two of them are not."""
RESULTS = (TaskOutput(0, 0),)
HALVES = Block(0, 0, 4), Block(0, 4, 8)


class Reference:
    """What the fake store gives for an array."""

    def __init__(self, array: Any) -> None:
        self.array = array


class FakeStore:
    """Counts what is put."""

    def __init__(self) -> None:
        self.puts: list[Any] = []

    def put(self, array: Any) -> Reference:
        """A reference to a copy."""
        self.puts.append(array)
        return Reference(array.copy())

    @property
    def ways(self) -> Store:
        """What the dispatcher is handed."""
        return Store(self.put, lambda reference: reference.array)

    @property
    def put_bytes(self) -> int:
        """All that was put."""
        return sum(array.nbytes for array in self.puts)


def read(carried: Any) -> Any:
    """The array that something carried stands for."""
    return carried.array if isinstance(carried, Reference) else carried


def plan_of(*tasks: Sequence[JobInput], results=RESULTS) -> Plan:
    """A plan whose tasks read those inputs."""
    inputs = 1 + max(source.index for sources in tasks for source in sources)
    return make_plan([make_task(sources) for sources in tasks], results, inputs)


def blocks_of(*blocks: Block) -> Plan:
    """A plan with a task for each block of one input."""
    return plan_of(*[[JobInput(0, block)] for block in blocks])


def test_on_one_machine_nothing_is_cut():
    """Every input is put once, whole, and the blocks of it are views that workers make."""
    store, held = FakeStore(), HeldInput(LARGE)
    laid = lay_out(blocks_of(*HALVES), [held], store.ways, apart=False)
    assert laid.keys() == {InputOperand(0)}
    assert store.put_bytes == LARGE.nbytes
    lay_out(blocks_of(*HALVES), [held], store.ways, apart=False)
    assert store.put_bytes == LARGE.nbytes


def test_apart_each_block_is_carried_by_itself():
    """What is put is what tasks read, each block once, contiguous and with the input's bits."""
    store = FakeStore()
    columns = Block(1, 0, 3)
    plan = blocks_of(*HALVES, HALVES[0], columns)
    laid = lay_out(plan, [HeldInput(LARGE)], store.ways, apart=True)
    assert laid.keys() == {InputOperand(0, *block) for block in (*HALVES, columns)}
    np.testing.assert_array_equal(read(laid[InputOperand(0, *HALVES[1])]), LARGE[4:])
    np.testing.assert_array_equal(read(laid[InputOperand(0, *columns)]), LARGE[:, :3])
    assert all(read(carried).flags.c_contiguous for carried in laid.values())
    assert store.put_bytes == LARGE.nbytes


def test_small_blocks_travel_in_messages_and_keep_nothing_alive():
    """A block that needs no object of its own is a copy, so the input can go."""
    store = FakeStore()
    laid = lay_out(blocks_of(Block(0, 2, 3)), [HeldInput(LARGE)], store.ways, apart=True)
    row = laid[InputOperand(0, 0, 2, 3)]
    np.testing.assert_array_equal(row, LARGE[2:3])
    assert not np.shares_memory(row, LARGE)
    assert not store.puts


def test_an_input_that_tasks_read_whole_is_not_cut_for_them():
    """Blocks are cut only for tasks that read no more than that; unread inputs stay."""
    store = FakeStore()
    both = plan_of([JobInput(0), JobInput(0, HALVES[0])], [JobInput(0, HALVES[1]), JobInput(1)])
    laid = lay_out(
        both, [HeldInput(LARGE), HeldInput(np.ones(2)), HeldInput(LARGE)], store.ways, True
    )
    assert laid.keys() == {InputOperand(0), InputOperand(0, *HALVES[1]), InputOperand(1)}
    assert store.put_bytes == LARGE.nbytes + LARGE.nbytes // 2


def test_what_is_kept_is_cut_once():
    """A second job with the same blocks, large and small, finds what carried those of the first."""
    store, held = FakeStore(), HeldInput(LARGE, kept=True)
    plan = blocks_of(*HALVES, Block(0, 1, 2))
    first, second = (lay_out(plan, [held], store.ways, True) for _ in range(2))
    assert all(first[operand] is second[operand] for operand in (*first, *second))
    assert store.put_bytes == LARGE.nbytes


def test_layouts_of_what_is_kept_are_bounded():
    """Blocks of plans long past give way; those of the last plan are all there."""
    store, held = FakeStore(), HeldInput(LARGE, kept=True)
    for count in (2, 4, 8, 1, 3):
        stops = np.linspace(0, ROWS, count + 1).astype(int).tolist()
        blocks = [Block(0, a, b) for a, b in pairwise(stops)]
        laid = lay_out(blocks_of(*blocks), [held], store.ways, True)
        assert len(laid) == count
        assert sum(map(held.size_bytes, held._blocks)) <= MOST_LAYOUTS * LARGE.nbytes
    before = store.put_bytes
    lay_out(blocks_of(*blocks), [held], store.ways, True)
    assert store.put_bytes == before


def test_an_input_is_let_go_once_its_blocks_are_laid():
    """Unless later jobs or the reply will want it."""
    store = FakeStore()
    plan = blocks_of(*HALVES)
    result = plan_of([JobInput(0, HALVES[0])], results=(JobInput(0),))
    for held, own in ((HeldInput(LARGE, kept=True), plan), (HeldInput(LARGE), result)):
        lay_out(own, [held], store.ways, True)
        np.testing.assert_array_equal(held.array(store.ways), LARGE)
    gone = HeldInput(LARGE)
    lay_out(plan, [gone], store.ways, True)
    assert gone._array is None


def test_a_cluster_that_grows_over_machines_cuts_what_was_put_whole():
    """An input that was put for workers on one machine is read back, and cut for the others."""
    store, held = FakeStore(), HeldInput(LARGE, kept=True)
    lay_out(blocks_of(*HALVES), [held], store.ways, False)
    laid = lay_out(blocks_of(*HALVES), [held], store.ways, True)
    np.testing.assert_array_equal(read(laid[InputOperand(0, *HALVES[1])]), LARGE[4:])


def test_a_store_without_room_fails_the_job_that_asked():
    """The error is the store's, and a later job may find room."""

    def full(array: Any) -> Any:
        raise OutOfMemory("no room")

    held, store = HeldInput(LARGE, kept=True), FakeStore()
    with pytest.raises(OutOfMemory, match="no room"):
        lay_out(blocks_of(*HALVES), [held], Store(full, read), True)
    assert lay_out(blocks_of(*HALVES), [held], store.ways, True)


def test_what_is_known_of_blocks_is_bounded():
    """Ever new blocks of what is kept for ever are forgotten, and counted anew."""
    held = HeldInput(np.zeros(2 * MOST_COUNTED), "here", kept=True)
    for start in range(2 * MOST_COUNTED):
        held.reached(Block(0, start, start + 1)).processes.add(1)
    assert len(held._reached) <= MOST_COUNTED
    assert held.reached(None).machines == {"here"}


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 1))
def test_a_block_has_its_share_of_the_bytes(a: int, b: int, axis: int):
    """The size of a block is that of the array it stands for, empty ones included."""
    array = np.zeros((9, 9), np.float32)
    block = Block(axis, min(a, b), max(a, b))
    part = array[block.start : block.stop] if axis == 0 else array[:, block.start : block.stop]
    held = HeldInput(array)
    assert (held.size_bytes(block), held.size_bytes(None)) == (part.nbytes, array.nbytes)
    assert HeldInput(np.zeros((0, 4))).size_bytes(Block(0, 0, 0)) == 0


def test_workers_on_other_machines_are_what_it_takes():
    """A Ray of our own is one machine; a cluster is several until all workers are found here."""
    alone, joined = (InputStore(FakeStore().ways, joined) for joined in (False, True))
    joined.machine = "here"
    assert (alone.apart, joined.apart) == (False, True)
    for machines, apart in ((["here"], False), (["here", "there"], True), ([""], True)):
        joined.look_around(machines)
        assert joined.apart is apart
