"""Whose job is next: start-time fair queueing between priorities, clients and sizes of job.

A tree of flows: priority levels, in each the clients, in each the size classes of their jobs, in
each class first come, first served. Of siblings the one that has had least, by weight, is next.
Source: Goyal, Vin & Cheng 1996, "Start-time fair queueing".
"""

from __future__ import annotations

from heapq import heappop, heappush, heapreplace
from itertools import count
from math import log
from typing import Any

from pullback_server.scheduler.events import JobId

LEVEL_WEIGHT = 8.0
"""A priority level has this many times the share of the level below, where both have work."""
MOST_LEVELS = 8
"""Priorities beyond this, up or down, count as this."""
SIZE_BASE = 4.0
"""Jobs whose predicted times differ by less than this factor are of one class, more or less."""
MOST_IDLE_FLOWS = 1024


def size_class(total_s: float) -> int:
    """The class of a job by its predicted time."""
    return int(log(max(total_s, 1e-6), SIZE_BASE))


class Flow:
    """One node: what it has had, by weight, and its children or, in a leaf, jobs by order.

    Attributes:
        tag: weighted seconds it has had, and those its siblings had while it had no work.
        virtual: the tag of the child served last.
        path: it and its parent, that and its parent, and so on up to the root.
        listed: whether its parent's heap has it.
        rivals: weight of all its children with jobs under way; in a leaf, the number of jobs.
    """

    __slots__ = (
        "children",
        "heap",
        "listed",
        "number",
        "parent",
        "path",
        "rivals",
        "tag",
        "tie",
        "virtual",
        "weight",
    )

    def __init__(self, parent: Flow | None, weight: float, tie: int, number: int) -> None:
        self.parent = parent
        self.path: tuple[tuple[Flow, Flow], ...] = ()
        if parent is not None:
            self.path = (self, parent), *parent.path
        self.weight = weight
        self.tie = tie
        self.number = number
        self.tag = 0.0
        self.virtual = 0.0
        self.listed = False
        self.rivals = 0.0
        self.children: dict[Any, Flow] = {}
        self.heap: list[Any] = []

    def rival(self, leaf: Flow) -> Flow:
        """Of another leaf of the tree, it or what it is under that takes turns with ours."""
        for (own, _), (other, _) in zip(reversed(self.path), reversed(leaf.path), strict=True):
            if own is not other:
                return other
        return leaf


class Shares:
    """The jobs that have something to run, in the order of their turn.

    A job that waits alone has its turn whatever the order: only where a second one waits beside it
    are both entered in the tree.

    Attributes:
        waiting: those jobs, each with the flow it queues in; to be read alone.
    """

    def __init__(self) -> None:
        self._numbers = count()
        self._root = Flow(None, 1.0, 0, next(self._numbers))
        self.waiting: dict[JobId, Flow] = {}
        self._listed: set[JobId] = set()
        self._unlisted: dict[JobId, int] = {}

    def __len__(self) -> int:
        return len(self.waiting)

    def __contains__(self, job: JobId) -> bool:
        return job in self.waiting

    def add(self, job: JobId, sequence: int, leaf: Flow) -> None:
        """A job has something to run."""
        if job not in self.waiting:
            self.waiting[job] = leaf
            if job not in self._listed:
                self._unlisted[job] = sequence

    def discard(self, job: JobId) -> None:
        """A job has nothing to run now, or is over."""
        if self.waiting.pop(job, None) is not None:
            self._unlisted.pop(job, None)
            if not self.waiting and self._root.heap:
                self._head()  # nobody has work: whoever comes next starts level

    def first(self) -> JobId | None:
        """The job whose turn it is."""
        if len(self.waiting) > 1:
            self._list_all()
            return self._head()
        return next(iter(self.waiting), None)

    def has_waiting(self, flow: Flow) -> bool:
        """Whether a job of that flow has something to run, or had until a moment ago."""
        self._list_all()
        return flow.listed

    @staticmethod
    def turn(leaf: Flow, sequence: int) -> tuple[float, ...]:
        """What orders jobs of one tree: of two, the lower is first."""
        tags: list[float] = [sequence]
        flow = leaf
        while flow.parent is not None:
            tags.append(flow.tag)
            flow = flow.parent
        return tuple(reversed(tags))

    def charge(self, leaf: Flow, seconds: float) -> None:
        """A job of that flow was given workers' time; others that wait meanwhile lose nothing."""
        if self._unlisted and len(self.waiting) > 1:
            self._list_all()
        for flow, parent in leaf.path:
            tag, virtual = flow.tag, parent.virtual
            if tag > virtual:
                parent.virtual = tag
            elif not flow.listed:
                tag = virtual  # it had no work, or had it alone: it has saved nothing up
            flow.tag = tag + seconds / flow.weight

    @staticmethod
    def enter(leaf: Flow) -> None:
        """A job of that flow is under way."""
        flow: Flow | None = leaf
        weight = 1.0
        while flow is not None:
            flow.rivals += weight
            if flow.rivals > weight:
                return  # those above count it already
            weight, flow = flow.weight, flow.parent

    @staticmethod
    def leave(leaf: Flow) -> None:
        """A job of that flow is over."""
        flow: Flow | None = leaf
        weight = 1.0
        while flow is not None:
            flow.rivals -= weight
            if flow.rivals:
                return
            weight, flow = flow.weight, flow.parent

    @staticmethod
    def due(leaf: Flow) -> float:
        """The part of all workers that one job of that flow, under way itself, is due."""
        part, flow, parent = 1.0 / leaf.rivals, leaf, leaf.parent
        while parent is not None:
            part *= flow.weight / parent.rivals
            flow, parent = parent, parent.parent
        return part

    def leaf(self, priority: int, client: str, total_s: float) -> Flow:
        """Where jobs of that kind queue."""
        level = max(-MOST_LEVELS, min(MOST_LEVELS, priority))
        size = size_class(total_s)
        by_level = self._child(self._root, level, LEVEL_WEIGHT**level, -level)
        by_client = self._child(by_level, client, 1.0, 0)
        return self._child(by_client, size, 1.0, size)

    # --- inside -----------------------------------------------------------------------------------

    def _list_all(self) -> None:
        """Enter jobs in the tree that are not in it yet, and the flows they are of."""
        for job, sequence in self._unlisted.items():
            flow = self.waiting[job]
            self._listed.add(job)
            heappush(flow.heap, (sequence, job))
            while flow.parent is not None and not flow.listed:
                parent = flow.parent
                flow.tag = max(flow.tag, parent.virtual)
                flow.listed = True
                heappush(parent.heap, (flow.tag, flow.tie, flow.number, flow))
                flow = parent
        self._unlisted.clear()

    def _child(self, parent: Flow, key: Any, weight: float, tie: int) -> Flow:
        child = parent.children.get(key)
        if child is None:
            if len(parent.children) >= MOST_IDLE_FLOWS:
                _forget_idle(parent)
            child = parent.children[key] = Flow(parent, weight, tie, next(self._numbers))
        return child

    def _head(self) -> JobId | None:
        """The first job of all; entries that say what no longer holds are mended on the way."""
        flow, waiting = self._root, self.waiting
        while True:
            heap = flow.heap
            if not heap:
                if flow.parent is None:
                    return None
                flow = self._unlist(flow, flow.parent)
            elif flow.children:
                tag, tie, number, child = heap[0]
                if tag == child.tag or len(heap) == 1:
                    flow = child
                else:
                    heapreplace(heap, (child.tag, tie, number, child))
            else:
                job: JobId = heap[0][1]
                if waiting.get(job) is flow:
                    return job
                heappop(heap)
                self._listed.discard(job)

    @staticmethod
    def _unlist(flow: Flow, parent: Flow) -> Flow:
        """The first child of a flow has nothing: the flow goes on with the next."""
        heappop(parent.heap)
        flow.listed = False
        if not parent.heap:
            parent.virtual = max(parent.virtual, flow.tag)
        return parent


def _forget_idle(parent: Flow) -> None:
    """Drop children without work: should they come back, it is as new ones."""
    children = parent.children.items()
    for key in [key for key, child in children if not child.listed and not child.rivals]:
        del parent.children[key]
