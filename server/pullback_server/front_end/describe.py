"""What a server says of itself and of a plan: ServerInfo and PlanReply."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib.metadata import version
from typing import NamedTuple

from pullback_graph.codec.jobs import FEATURES
from pullback_graph.table import OP_TABLE_VERSION, OPS
from pullback_graph.types import DTYPE_NAMES
from pullback_proto.v1 import plan_pb2, server_info_pb2
from pullback_server.config import ServerConfig
from pullback_server.dispatcher_figures import BUSY, IDLE
from pullback_server.dispatcher_link import DispatcherLink
from pullback_server.front_end.evaluation import Evaluation
from pullback_server.front_end.plan_text import (
    derivatives_text,
    memory_text,
    predictions_text,
    where_text,
    work_text,
)
from pullback_server.front_end.prepare import Prepared
from pullback_server.front_end.streams import BATCH_JOBS
from pullback_server.planner import COST_TABLE, Placement, Plan, Task, TaskOutput
from pullback_server.planner.predict import input_bytes, predict, task_seconds
from pullback_server.planner.rates import Rates
from pullback_worker.executors import Executors, installed
from pullback_worker.numpy_probe import measured

WANTS = ("value", "gradient", "vjp", "jvp", "hvp", "jacobian", "hessian")
CHUNK_BYTES = 1 << 20
PREDICTED_WORKERS = (1, 2, 4, 8, 16, 32)
"""Numbers of workers that a plan's time is predicted for."""


BY_TABLE = "by the cost table"
"""What predicted times go by where nothing was measured."""


class Known(NamedTuple):
    """What was measured where a job would run.

    Attributes:
        words: by whom, for people.
        workers: how many there are now; 0 for a server without any.
    """

    rates: Rates
    words: str
    workers: int = 0


class Start(NamedTuple):
    """The executor a job starts on, with its version behind its name, and why."""

    executor: str
    name: str
    reason: str


class Told:
    """The times that are told of a plan.

    Attributes:
        seconds: predicted run time of each task, with nothing beside it.
        predictions: by rising number of workers, the present one among them.
        rates: what they go by, in words.
    """

    def __init__(self, plan: Plan, known: Known | None) -> None:
        rates = known.rates if known is not None else None
        present = known.workers if known is not None else 0
        self.seconds = task_seconds(plan, rates)
        beside = self.seconds
        if rates is not None and len(plan.tasks) > 1:
            beside = task_seconds(plan, rates.crowded)
        self.estimated_s = sum(self.seconds) if known is not None else plan.estimated_s
        self.predictions = [
            predict(plan, workers, beside if workers > 1 else self.seconds, rates)
            for workers in sorted({*PREDICTED_WORKERS, present} - {0})
        ]
        self.rates = known.words if known is not None else BY_TABLE


def start_of(prepared: Prepared, executors: Executors) -> Start:
    """What a job's first run starts on: here, what is running it now."""
    if prepared.choice is not None:
        running = prepared.choice.running
        return Start(running.executor, running.name, running.reason)
    asked = {task.executor for task in prepared.plan.tasks} - {"auto", "numpy"}
    executor = asked.pop() if asked else "numpy"
    name = f"{executor}-{executors.version(executor)}"
    return Start(executor, name, prepared.executor_reason)


def describe_plan(
    prepared: Prepared, executors: Executors, known: Known | None = None
) -> plan_pb2.PlanReply:
    """The answer of a dry run.

    Args:
        known: what was measured where the job would run; the cost table is said without.
    """
    plan, start, told = prepared.plan, start_of(prepared, executors), Told(prepared.plan, known)
    return plan_pb2.PlanReply(
        nodes=prepared.nodes,
        adjoint_evaluations=prepared.lowered.adjoints,
        flops=prepared.flops,
        size_bytes=sum(task.size_bytes for task in plan.tasks),
        peak_bytes=prepared.peak_bytes,
        split=str(plan.split),
        split_reason=plan.reason,
        tasks=[
            _summary(task, seconds) for task, seconds in zip(plan.tasks, told.seconds, strict=True)
        ],
        estimated_s=told.estimated_s,
        executor=start.executor,
        executor_reason=start.reason,
        digest=prepared.digest_on(start.name),
        front_end=prepared.choice is not None,
        text=plan_text(prepared, start, told),
        predictions=[plan_pb2.Prediction(**item._asdict()) for item in told.predictions],
        input_bytes=input_bytes(plan),
        rates=told.rates,
    )


def known_of(link: DispatcherLink | None, prepared: Prepared) -> Known | None:
    """What was measured where a job would run; None where nothing was yet.

    A server without workers measures itself when this is first asked, in a fraction of a second.
    """
    if link is None:
        return Known(own_rates(), "measured in the server's own process")
    kind = prepared.plan.tasks[0].placement if prepared.plan.tasks else Placement.CPU
    rates, workers = link.rates(kind), link.snapshot().workers
    if not rates.unit_s:
        return None
    count, tasks = rates.workers, rates.tasks
    words = f"measured on {count} {kind.value} worker{'s' * (count > 1)}"
    words += f" and {tasks} task{'s' * (tasks > 1)}" if tasks else ""
    return Known(rates, words, sum([workers.get((kind.value, at), 0) for at in (IDLE, BUSY)]))


@cache
def own_rates() -> Rates:
    """What work takes in this process."""
    return Rates(measured())


def plan_text(prepared: Prepared, start: Start, told: Told) -> str:
    """The plan for people, a line a fact."""
    plan, lowered = prepared.plan, prepared.lowered
    lines = [
        work_text(prepared.nodes, lowered.adjoints, prepared.flops, told.estimated_s, told.rates),
        f"split {plan.split}: {plan.reason}",
        *([f"mode {lowered.mode.name}: {lowered.mode.reason}"] if lowered.mode.name else []),
        f"executor {start.executor}: {start.reason}",
        where_text(plan, prepared.choice is not None),
        memory_text(prepared.peak_bytes, input_bytes(plan)),
        *derivatives_text(lowered.derivatives),
        *(predictions_text(told.predictions) if len(plan.tasks) > 1 else ()),
    ]
    return "\n".join(lines)


def describe_server(evaluation: Evaluation, config: ServerConfig) -> server_info_pb2.ServerInfo:
    """Versions, table, limits, executors, devices and workers."""
    limits = server_info_pb2.Limits(
        message_bytes=config.message_bytes,
        nodes=config.limits.max_nodes,
        elements=config.limits.max_elements,
        memory_bytes=config.memory_bytes,
        tensor_bytes=config.tensor_store_bytes,
        chunk_bytes=CHUNK_BYTES,
        batch_jobs=BATCH_JOBS,
        queued_jobs=config.queue_jobs,
    )
    executors = evaluation.runner.preparer.chooser.executors
    return server_info_pb2.ServerInfo(
        version=version("pullback"),
        op_table_version=OP_TABLE_VERSION,
        ops=sorted(OPS),
        cost_table_version=COST_TABLE.version,
        dtypes=[f"DTYPE_{name.upper()}" for name in DTYPE_NAMES],
        wants=WANTS,
        features=sorted(FEATURES),
        limits=limits,
        executors=[
            server_info_pb2.ExecutorInfo(name=name, version=executors.version(name))
            for name in installed()
        ],
        devices=[
            server_info_pb2.DeviceInfo(
                placement=plan_pb2.PLACEMENT_CPU,
                model=platform.processor() or platform.machine(),
                count=os.cpu_count() or 1,
                memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            )
        ],
        workers=_workers(evaluation),
    )


def _workers(evaluation: Evaluation) -> list[server_info_pb2.WorkerKind]:
    """The workers of each kind, as the dispatcher last said."""
    if evaluation.link is None:
        return []
    snapshot = evaluation.link.snapshot()
    kinds = sorted({kind for kind, _ in snapshot.workers})
    return [
        server_info_pb2.WorkerKind(
            placement=f"PLACEMENT_{kind.upper()}",
            ready=snapshot.workers.get((kind, "idle"), 0) + snapshot.workers.get((kind, "busy"), 0),
            busy=snapshot.workers.get((kind, "busy"), 0),
        )
        for kind in kinds
    ]


def _summary(task: Task, seconds: float) -> plan_pb2.TaskSummary:
    before = {source.task for source in task.operands if isinstance(source, TaskOutput)}
    return plan_pb2.TaskSummary(
        phase=f"PHASE_{task.phase.name}",
        placement=f"PLACEMENT_{task.placement.name}",
        nodes=len(task.graph.nodes),
        flops=task.flops,
        size_bytes=task.size_bytes,
        peak_bytes=task.peak_bytes,
        depends_on=sorted(before),
        executor="numpy" if task.executor == "auto" else task.executor,
        home=task.shard,
        estimated_s=seconds,
    )
