"""Where the tasks of a plan stand in its picture: a lane a home, a column a step of the way.

The plan itself says where a task belongs, so nothing is searched for. Where there are more tasks
than anybody reads, alike ones share a box: those of one lane and column, then of all lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from pullback.remote.descriptions import Task

COLUMN, BOX_WIDTH, BOX_HEIGHT, ROW_GAP, LANE_GAP = 220, 150, 40, 16, 12
MARGIN, LANE_TITLE = 24, 68
MOST_APART = 60
"""Boxes of a picture up to which it is legible without sharing any further."""
MOST_DRAWN = 2000
"""Boxes of the largest picture: a browser shows more, but nobody reads it."""
ALL_LANES = -2
"""The lane of boxes whose tasks are of several."""


class Box(NamedTuple):
    """One task, or several alike: where they stand, and which they are."""

    x: float
    y: float
    column: int
    tasks: tuple[int, ...]


class Lane(NamedTuple):
    """The band behind the boxes of one home."""

    home: int
    top: float
    height: float


class Edge(NamedTuple):
    """From a box to one whose tasks read what its tasks found, and by how many such pairs."""

    start: int
    end: int
    pairs: int


class Layout(NamedTuple):
    """Where everything stands, from the top of the first lane on.

    Attributes:
        omitted: tasks that have no box, as there would be too many.
    """

    boxes: list[Box]
    lanes: list[Lane]
    edges: list[Edge]
    width: float
    height: float
    omitted: int


def lay_out(tasks: Sequence[Task], top: float) -> Layout:
    """The layout of a plan's tasks, below `top`."""
    columns = _columns(tasks)
    groups = _groups(tasks, columns)
    drawn = groups[:MOST_DRAWN]
    rows: list[tuple[int, int]] = []  # lane and row within it
    taken: dict[tuple[int, int], int] = {}
    for home, numbers in drawn:
        place = home, columns[numbers[0]]
        rows.append((home, taken.get(place, 0)))
        taken[place] = taken.get(place, 0) + 1
    lanes = _lanes(taken, top)
    tops = {lane.home: lane.top + ROW_GAP for lane in lanes}
    boxes = [
        Box(
            MARGIN + LANE_TITLE + columns[numbers[0]] * COLUMN,
            tops[home] + row * (BOX_HEIGHT + ROW_GAP),
            columns[numbers[0]],
            tuple(numbers),
        )
        for (_, numbers), (home, row) in zip(drawn, rows, strict=True)
    ]
    right = max((box.x for box in boxes), default=MARGIN + LANE_TITLE) + BOX_WIDTH + ROW_GAP
    bottom = lanes[-1].top + lanes[-1].height if lanes else top
    omitted = len(tasks) - sum([len(box.tasks) for box in boxes])
    return Layout(boxes, lanes, _edges(tasks, boxes), right + MARGIN, bottom + MARGIN, omitted)


def before(task: Task, number: int) -> list[int]:
    """The earlier tasks that a task reads; what a reply says of others is left out."""
    return [earlier for earlier in task.depends_on if 0 <= earlier < number]


def _columns(tasks: Sequence[Task]) -> list[int]:
    columns: list[int] = []
    for number, task in enumerate(tasks):
        columns.append(max((columns[own] + 1 for own in before(task, number)), default=0))
    return columns


def _groups(tasks: Sequence[Task], columns: Sequence[int]) -> list[tuple[int, list[int]]]:
    """The lane and the tasks of each box: one a box, or as many as make the picture legible."""
    if len(tasks) <= MOST_APART:
        return [(task.home, [number]) for number, task in enumerate(tasks)]
    homes = [task.home for task in tasks]
    within = _grouped(len(tasks), lambda n: (homes[n], columns[n], tasks[n].phase, tasks[n].nodes))
    if len(within) <= MOST_APART:
        return [(homes[numbers[0]], numbers) for numbers in within]
    across = _grouped(len(tasks), lambda n: (columns[n], tasks[n].phase, tasks[n].nodes))
    return [(ALL_LANES, numbers) for numbers in across]


def _grouped(count: int, key: Callable[[int], Hashable]) -> list[list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for number in range(count):
        groups.setdefault(key(number), []).append(number)
    return list(groups.values())


def _lanes(taken: dict[tuple[int, int], int], top: float) -> list[Lane]:
    lanes: list[Lane] = []
    for home in sorted({home for home, _ in taken}):
        count = max(rows for (own, _), rows in taken.items() if own == home)
        lanes.append(Lane(home, top, count * (BOX_HEIGHT + ROW_GAP) + ROW_GAP))
        top += lanes[-1].height + LANE_GAP
    return lanes


def _edges(tasks: Sequence[Task], boxes: Sequence[Box]) -> list[Edge]:
    box_of = {task: number for number, box in enumerate(boxes) for task in box.tasks}
    pairs: dict[tuple[int, int], int] = {}
    for number, task in enumerate(tasks):
        for earlier in before(task, number):
            if number in box_of and earlier in box_of:
                ends = box_of[earlier], box_of[number]
                pairs[ends] = pairs.get(ends, 0) + 1
    return [Edge(start, end, count) for (start, end), count in pairs.items()]
