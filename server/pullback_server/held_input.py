"""How a job's inputs reach its workers: whole, or cut into the blocks that its tasks read.

No Ray here: what puts an array where workers read it, and what reads it there, is handed in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from pullback_graph.job import NDArray
from pullback_server.planner.plan import Block, JobInput, Plan
from pullback_server.traffic import MachineId, Whereabouts
from pullback_worker.batch import InputOperand

SMALL_BYTES = 1 << 16
"""Arrays up to this size travel inside messages; larger ones are objects of their own."""
MOST_LAYOUTS = 2
"""The blocks of an input that are kept for later jobs take this many times its size at most."""
MOST_COUNTED = 1 << 14
"""Blocks of an input of which it is known who has them; beyond that all are counted anew."""

Carried: TypeAlias = Any
"""An array, or a reference to one in the object store."""


class Store(NamedTuple):
    """Where workers read large arrays: `put` gives a reference, `get` what it stands for."""

    put: Callable[[NDArray], Carried]
    get: Callable[[Carried], NDArray]


class HeldInput:
    """An input, and the references under which workers read it or blocks of it.

    Args:
        array: not to be changed.
        machine: where it lies.
        kept: whether jobs after this one may read it.
    """

    def __init__(self, array: NDArray, machine: MachineId = "", kept: bool = False) -> None:
        self.nbytes: int = array.nbytes
        self.shape: tuple[int, ...] = array.shape
        self.machine = machine
        self._array: NDArray | None = array
        self._whole: Carried = array if array.nbytes <= SMALL_BYTES else None
        self._blocks: dict[Block, Carried] = {}
        self._kept = kept
        self._reached: dict[Block | None, Whereabouts] = {}
        self._cutting = threading.Lock()

    @property
    def is_whole(self) -> bool:
        """Whether workers can read all of it."""
        return self._whole is not None

    def size_bytes(self, block: Block | None) -> int:
        """Bytes of a block, or of all."""
        if block is None:
            return self.nbytes
        return self.nbytes * (block.stop - block.start) // max(self.shape[block.axis], 1)

    def reached(self, block: Block | None) -> Whereabouts:
        """Who was given a block, or all of it, by this job or one before."""
        found = self._reached.get(block)
        if found is None:
            if len(self._reached) >= MOST_COUNTED:
                self._reached.clear()
            found = self._reached[block] = Whereabouts(machines={self.machine})
        return found

    def whole(self, store: Store) -> Carried:
        """All of it, for workers to read."""
        with self._cutting:
            if self._whole is None:
                assert self._array is not None
                self._whole = store.put(self._array)
                self._array = None  # the store has it
            return self._whole

    def blocks(self, wanted: Sequence[Block], store: Store) -> dict[Block, Carried]:
        """Blocks of it, each for workers to read by itself; those cut before are cut no more."""
        with self._cutting:
            found = {block: self._blocks.pop(block) for block in wanted if block in self._blocks}
            if missing := [block for block in wanted if block not in found]:
                array = self._read(store)
                found |= {block: _placed(cut(array, block), store) for block in missing}
            if self._kept:
                self._remember(found)
            return found

    def array(self, store: Store) -> NDArray:
        """The input itself."""
        with self._cutting:
            return self._read(store)

    def release(self) -> None:
        """What is not laid out by now will not be asked for, unless later jobs may."""
        if not self._kept:
            self._array = None

    def _read(self, store: Store) -> NDArray:
        if self._array is not None:
            return self._array
        return store.get(self._whole)

    def _remember(self, blocks: dict[Block, Carried]) -> None:
        """Keep blocks for later jobs, and of those before as many as there is room for."""
        self._blocks |= blocks  # the latest come last
        held_bytes = sum([self.size_bytes(block) for block in self._blocks])
        while held_bytes > MOST_LAYOUTS * self.nbytes and len(self._blocks) > len(blocks):
            oldest = next(iter(self._blocks))
            held_bytes -= self.size_bytes(oldest)
            del self._blocks[oldest]
            self._reached.pop(oldest, None)


def lay_out(
    plan: Plan, inputs: Sequence[HeldInput], store: Store, apart: bool
) -> dict[InputOperand, Carried]:
    """What carries each input of a plan, or each block of it that a task reads.

    Args:
        apart: whether workers are on other machines, where a block is all that should go; on one
            machine they share memory, and views of the whole cost nothing.
    """
    if not apart:
        return {InputOperand(k): held.whole(store) for k, held in enumerate(inputs)}
    laid: dict[InputOperand, Carried] = {}
    for position, (all_of_it, blocks) in _read(plan).items():
        held = inputs[position]
        if all_of_it or held.nbytes <= SMALL_BYTES:
            laid[InputOperand(position)] = held.whole(store)
        if blocks and held.nbytes > SMALL_BYTES:
            found = held.blocks(tuple(blocks), store)
            laid.update((InputOperand(position, *block), own) for block, own in found.items())
    results = {source.index for source in plan.results if isinstance(source, JobInput)}
    for position, held in enumerate(inputs):
        if position not in results:
            held.release()
    return laid


def _read(plan: Plan) -> dict[int, tuple[bool, dict[Block, None]]]:
    """Per input that tasks read: whether any reads all of it, and blocks that others read."""
    found: dict[int, tuple[bool, dict[Block, None]]] = {}
    for task in plan.tasks:
        sources = [source for source in task.operands if isinstance(source, JobInput)]
        wholes = {source.index for source in sources if source.block is None}
        for index, block in [(source.index, source.block) for source in sources]:
            whole, blocks = found.get(index, (False, {}))
            if block is not None and index not in wholes:
                blocks[block] = None
            found[index] = whole or index in wholes, blocks
    return found


def cut(array: NDArray, block: Block) -> NDArray:
    """A block of an array: a view."""
    return array[(*(slice(None),) * block.axis, slice(block.start, block.stop))]


def _placed(block: NDArray, store: Store) -> Carried:
    """A block for workers to read: small, a copy that keeps nothing alive; else in the store."""
    if block.nbytes <= SMALL_BYTES:
        return block.copy()
    return store.put(np.ascontiguousarray(block))
