"""Which bytes a job moved: each array counts once for every process, and every machine, it reached.

What was brought there for an earlier job, and still is there, was not moved.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from pullback_server.scheduler import WorkerId

MachineId: TypeAlias = str


@dataclass(slots=True)
class Whereabouts:
    """The processes and the machines that an array has reached."""

    processes: set[WorkerId] = field(default_factory=set)
    machines: set[MachineId] = field(default_factory=set)


@dataclass(slots=True)
class Traffic:
    """Bytes of arrays that processes were handed.

    Attributes:
        moved_bytes: inputs and values that workers were given to read, and results handed back.
        network_bytes: of these, what went from one machine to another.
    """

    moved_bytes: int = 0
    network_bytes: int = 0

    def send(self, size_bytes: int, far: bool) -> None:
        """A process is sent so much, from another machine or not, whatever it has already."""
        self.moved_bytes += size_bytes
        self.network_bytes += size_bytes if far else 0

    def bring(
        self, size_bytes: int, array: Whereabouts, process: WorkerId, machine: MachineId
    ) -> None:
        """A process on a machine is given an array, or has it already."""
        if process not in array.processes:
            array.processes.add(process)
            self.moved_bytes += size_bytes
        if machine not in array.machines:
            array.machines.add(machine)
            self.network_bytes += size_bytes

    def add(self, other: Traffic) -> None:
        """Count what another counted too."""
        self.moved_bytes += other.moved_bytes
        self.network_bytes += other.network_bytes
