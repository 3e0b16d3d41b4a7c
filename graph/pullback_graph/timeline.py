"""When and where the tasks of a job ran."""

from __future__ import annotations

from typing import NamedTuple

MOST_SPANS = 4096
"""Tasks that a timeline tells of; how many more there were is said."""
DISPATCHER = "dispatcher"
FRONT_END = "front end"
"""The worker of a job that the front end, or the caller's own process, ran itself."""


class TaskSpan(NamedTuple):
    """The attempt of one task that counted.

    Attributes:
        task: its position in the plan.
        phase: `forward`, `backward`, `fused` or `reduce`.
        worker: the worker's number (`gpu-3` of one with a GPU), DISPATCHER for what adds up what
            several workers gave, or FRONT_END.
        start_s, end_s: seconds from the job's arrival where it ran; compiling comes first of it.
        attempts: how often it was given to a worker, lost ones included.
        executor: the one that ran it, with its version behind a hyphen.
        compiling_s: of that span.
        transferring_s: fetching what it reads, before that span.
    """

    task: int
    phase: str
    worker: str
    start_s: float
    end_s: float
    attempts: int = 1
    executor: str = ""
    compiling_s: float = 0.0
    transferring_s: float = 0.0
