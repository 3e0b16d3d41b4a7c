"""The inputs that the dispatcher holds, and how they are laid out for the workers there are.

No Ray here: what puts an array where workers read it, and what reads it there, is handed in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from pullback_graph.job import NDArray
from pullback_server.held_input import Carried, HeldInput, Store, lay_out
from pullback_server.planner.plan import Plan
from pullback_server.traffic import MachineId
from pullback_worker.batch import InputOperand


class InputStore:
    """Takes in inputs, and lays them out.

    Attributes:
        machine: the dispatcher's own.
        apart: whether workers are, or may come to be, on other machines.

    Args:
        joined: whether the cluster is one that others may join.
    """

    def __init__(self, store: Store, joined: bool) -> None:
        self._store = store
        self._joined = joined
        self.machine: MachineId = ""
        self.apart = joined

    def look_around(self, machines: Iterable[MachineId]) -> None:
        """Where the workers are that are up, each named or not yet."""
        known = {machine for machine in machines if machine}
        self.apart = self._joined and known != {self.machine}

    def put(self, array: NDArray, kept: bool = False) -> HeldInput:
        """Take in an input; where all workers are on this machine, it goes where they read it.

        Args:
            kept: whether later jobs may read it.

        Raises:
            ServiceError: the object store has no room, on disk neither.
        """
        held = HeldInput(array, self.machine, kept)
        if not self.apart:
            held.whole(self._store)
        return held

    def fetch(self, held: HeldInput) -> NDArray:
        """The array of an input."""
        return held.array(self._store)

    async def lay_out(
        self, plan: Plan, inputs: Sequence[HeldInput]
    ) -> Mapping[InputOperand, Carried]:
        """What carries a job's inputs to workers: all of each, or what tasks read of it.

        Raises:
            ServiceError: as put.
        """
        if not self.apart and all(held.is_whole for held in inputs):
            return lay_out(plan, inputs, self._store, False)
        return await asyncio.to_thread(lay_out, plan, inputs, self._store, self.apart)
