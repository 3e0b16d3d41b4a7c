"""From a graph and a want to what can be run: lowered, planned, compiled; kept by content.

Preparing is a function of (graph, want, split, executor): a job that comes again finds it done.
Which executor runs it may change from run to run, where the job leaves that to the service.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from threading import Lock
from time import perf_counter
from typing import Any

from pullback_graph.builder import Check
from pullback_graph.derivative import Lowered, lower
from pullback_graph.errors import LimitExceeded, UnsupportedError
from pullback_graph.graph import Graph
from pullback_graph.job import Options, Split
from pullback_graph.recompute.loops import lower_within
from pullback_graph.table import OP_TABLE_VERSION
from pullback_graph.want import Want
from pullback_server.front_end.stores import graph_bytes
from pullback_server.planner import COST_TABLE, Placement, Plan, assign
from pullback_server.planner.forced import ASKED_FOR_NONE
from pullback_server.planner.plan_within import Cap, Fitted, plan_within
from pullback_worker.choice import Choice, Running
from pullback_worker.chooser import Chooser, steadiness
from pullback_worker.executors import Executors, executor_asked
from pullback_worker.numpy_executor import fold

INLINE_S = 100e-6
"""Jobs estimated under this run on the event loop itself."""
INLINE_MEASURED_S = 500e-6
"""A program that never ran faster than this leaves the event loop, whatever its estimate."""
LOCAL_CALL_S = 50e-3
"""A job whose largest single call is estimated over this never runs in the front end."""
LOCAL_JOB_S = 0.5
"""Nor does a job estimated over this in all: it would hold a front-end thread too long."""
NO_WORKERS = "this server has no workers to split it over"
"""Why a job is in one task on a server without any."""
RESULT_BYTES = (1 << 31) - (1 << 20)
"""Arrays that a reply carries: a message of protobuf ends short of 2 GiB."""


@dataclass(slots=True, eq=False)
class Prepared:
    """A job's graph, differentiated, planned, and (where the front end runs it) compiled.

    Attributes:
        choice: what runs it here; None where the cluster does.
        executor_reason: why the cluster runs it on what it does.
        digest: of all that decides the bits but the executors; `digest_on` adds those.
        fastest_s: the program's fastest run here so far; estimates can be wrong.
        standing: the encoded metrics that all but its first run on one executor share.
        awaits_tape: whether it is to move to the tape machine once that is loaded.
    """

    graph: Graph
    lowered: Lowered
    plan: Plan
    choice: Choice | None
    planning_s: float
    compiling_s: float
    flops: float
    peak_bytes: int
    digest: str
    executor_reason: str = ""
    recompute_factor: float = 0.0
    fastest_s: float = inf
    standing: tuple[Running | None, bytes] = (None, b"")
    awaits_tape: bool = False

    @property
    def size_bytes(self) -> int:
        """About what keeping it takes: graphs, patterns, the plan's tasks, the program's steps."""
        graphs = graph_bytes(self.graph) + 3 * graph_bytes(self.lowered.graph)
        return graphs + _pattern_bytes(self.lowered)

    @property
    def nodes(self) -> int:
        """Nodes of the graph that runs, derivatives included."""
        return len(self.lowered.graph.nodes)

    @property
    def runs_inline(self) -> bool:
        """Whether it is small enough for the event loop: by estimate, and by what was seen."""
        small = self.choice is not None and self.plan.estimated_s < INLINE_S
        return small and self.fastest_s < INLINE_MEASURED_S

    def digest_on(self, executors: str) -> str:
        """The digest of results from executors, each named with its version."""
        return f"{self.digest}/{executors}"


class Preparer:
    """Prepares jobs, keeping the results; safe from several threads.

    Args:
        capacity: prepared jobs (with their programs) kept, least recently used out first.
        capacity_bytes: about what those may take together.
        memory_bytes: largest estimated memory of one task.
        cluster: whether there are workers for what the front end must not run.
        chooser: of what runs the jobs; without one, NumPy runs what asks for nothing else.
    """

    def __init__(
        self,
        capacity: int,
        capacity_bytes: int,
        memory_bytes: int,
        *,
        cluster: bool,
        chooser: Chooser | None = None,
    ) -> None:
        self.chooser = chooser or Chooser(Executors())
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._kept_bytes = 0
        self._memory_bytes = memory_bytes
        self._cluster = cluster
        self._kept: OrderedDict[Any, Prepared] = OrderedDict()
        self._lock = Lock()

    def kept(self, fingerprint: str, want: Want, options: Options) -> Prepared | None:
        """What was prepared before for this very job, or None."""
        key = _key(fingerprint, want, options)
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def prepare(
        self, graph: Graph, want: Want, options: Options, check: Check | None = None
    ) -> Prepared:
        """Lower, plan and compile.

        Args:
            check: called now and then; what it raises ends the work.

        Raises:
            RequestError: the want does not fit the graph, or an option is not offered.
            LimitExceeded: a task is estimated to need more memory than allowed, or the results are
            more than a reply carries.
        """
        executor = executor_asked(options)
        if options.device == "gpu" and not self._cluster:
            self.chooser.executors.require_gpu()
        start = perf_counter()
        lowering = partial(
            lower, want=want, fold=fold, check=check, certificate=options.certificate
        )
        lowered, loops_factor = lower_within(graph, self._allowed_bytes(options), lowering)
        _check_results(lowered)
        plan, factor = self._planned(lowered, options)
        factor = max(factor, 1.0) * loops_factor if loops_factor else factor
        is_capped = options.memory_cap_bytes is not None or factor > 0.0
        steady = steadiness(options.reproducible, is_capped)
        _check_recomputing(executor, factor)
        placement = Placement.GPU if options.device == "gpu" else Placement.CPU
        plan = assign(plan, executor, placement, steady=bool(steady))
        planned = perf_counter()
        choice = None
        if self._is_local(plan):
            task = plan.tasks[0]
            choice = self.chooser.choose(task.graph, executor, steady=steady)
        prepared = Prepared(
            graph=graph,
            lowered=lowered,
            plan=plan,
            choice=choice,
            planning_s=planned - start,
            compiling_s=perf_counter() - planned,
            flops=sum(task.flops for task in plan.tasks),
            peak_bytes=max(task.peak_bytes for task in plan.tasks),
            recompute_factor=factor,
            digest=_digest(graph, want, plan),
            executor_reason=self.chooser.reason(executor, steady),
        )
        self._keep(_key(graph.fingerprint, want, options), prepared)
        return prepared

    def _keep(self, key: Any, prepared: Prepared) -> None:
        """Keep a prepared job; the least recently used give way, by number and by size."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = prepared
                self._kept_bytes += prepared.size_bytes
            while len(self._kept) > self._capacity or self._kept_bytes > self._capacity_bytes:
                _, dropped = self._kept.popitem(last=False)
                self._kept_bytes -= dropped.size_bytes

    def _planned(self, lowered: Lowered, options: Options) -> Fitted:
        """The plan within what a task may take of memory.

        Raises:
            RequestError: a split was forced that the graph, or this server, does not have.
            LimitExceeded: a task cannot be made to fit.
        """
        kind = options.split.kind
        if not self._cluster:
            if kind not in ("auto", "none"):
                raise UnsupportedError(
                    f"split {kind!r} needs workers, and this server was started with --workers 0",
                    field="options.split",
                )
            options = replace(options, split=Split("none"))
        allowed = self._allowed_bytes(options)
        flag = "--memory-bytes" if allowed == self._memory_bytes else "memory_cap_bytes"
        fitted = plan_within(lowered.graph, options, lowered.value_count, Cap(allowed, flag))
        if self._cluster or kind == "none":
            return fitted
        reason = fitted.plan.reason.replace(ASKED_FOR_NONE, NO_WORKERS)
        return fitted._replace(plan=replace(fitted.plan, reason=reason))

    def _is_local(self, plan: Plan) -> bool:
        if len(plan.tasks) > 1:
            return False
        return not self._cluster or (
            plan.tasks[0].placement is Placement.CPU
            and plan.largest_call_s <= LOCAL_CALL_S
            and plan.estimated_s <= LOCAL_JOB_S
        )

    def _allowed_bytes(self, options: Options) -> int:
        """The memory of one task: the server's limit or the job's own, whichever is less."""
        cap_bytes = options.memory_cap_bytes
        return self._memory_bytes if cap_bytes is None else min(self._memory_bytes, cap_bytes)


def _check_recomputing(executor: str, recompute_factor: float) -> None:
    """Refuse an executor that would undo what makes the job fit.

    Raises:
        LimitExceeded: it is one.
    """
    if executor == "xla" and recompute_factor:
        raise LimitExceeded(
            "the job fits --memory-bytes only by computing values again, which xla undoes; use "
            "executor numpy or auto, or split it into more shards",
            field="options.executor",
        )


def _digest(graph: Graph, want: Want, plan: Plan) -> str:
    """Names what decides the bits, executors apart: graph, want, tables, the split they lead to.

    A plan is a function of those, so its tasks need not be hashed.
    """
    versions = f"{OP_TABLE_VERSION}|{COST_TABLE.version}"
    job = f"{graph.fingerprint}|{want}|{plan.split}|{versions}"
    return hashlib.sha256(job.encode()).hexdigest()[:16]


def _pattern_bytes(lowered: Lowered) -> int:
    """Bytes of the patterns of sparse derivatives, which go with every reply."""
    return sum([pattern.size_bytes for pattern in lowered.patterns])


def _check_results(lowered: Lowered) -> None:
    """Refuse results that no reply could carry.

    Raises:
        LimitExceeded: they take more than a message holds.
    """
    graph = lowered.graph
    result_bytes = sum(graph.types[item.value].size_bytes for item in graph.outputs)
    result_bytes += _pattern_bytes(lowered)
    if result_bytes > RESULT_BYTES:
        raise LimitExceeded(
            f"the results take {result_bytes} bytes, a reply carries {RESULT_BYTES}; "
            "ask for fewer outputs or derivatives at once, or reduce them",
            field="want",
        )


def _key(fingerprint: str, want: Want, options: Options) -> Any:
    how = options.split, options.executor, options.memory_cap_bytes, options.certificate
    return fingerprint, want, how, options.device, options.reproducible
