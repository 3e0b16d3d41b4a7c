"""What a server says of the plan of a tape: one task, linked but not run."""

from __future__ import annotations

from pullback_graph.quantities import counted, duration, in_bytes, in_flops
from pullback_proto.v1 import plan_pb2
from pullback_server.front_end.tape_jobs import WHOLE, PreparedTape


def describe_tape(prepared: PreparedTape) -> plan_pb2.PlanReply:
    """The answer of a dry run."""
    metrics = prepared.metrics(hit=True)
    estimated_s = prepared.estimated_s
    size_bytes = float(prepared.program.tape.size_bytes)
    task = plan_pb2.TaskSummary(
        phase="PHASE_FUSED" if prepared.program.derivatives else "PHASE_FORWARD",
        placement="PLACEMENT_CPU",
        nodes=metrics.nodes,
        flops=metrics.flops,
        size_bytes=size_bytes,
        peak_bytes=metrics.peak_bytes,
    )
    count = prepared.program.point_count
    at = f" at {count} points" if count > 1 else ""
    text = (
        f"a tape of {counted(metrics.nodes, 'node')}{at}, "
        f"{counted(metrics.adjoint_evaluations, 'adjoint')}, {in_flops(metrics.flops)}, "
        f"about {duration(estimated_s)} on one core\n"
        f"split none: {WHOLE}\n"
        f"executor tape: {metrics.executor_reason}\n"
        "1 task in the server's own process, without a worker\n"
        f"largest task {in_bytes(metrics.peak_bytes)}"
    )
    return plan_pb2.PlanReply(
        nodes=metrics.nodes,
        adjoint_evaluations=metrics.adjoint_evaluations,
        flops=metrics.flops,
        size_bytes=size_bytes,
        peak_bytes=metrics.peak_bytes,
        split="none",
        split_reason=WHOLE,
        tasks=[task],
        estimated_s=estimated_s,
        executor="tape",
        executor_reason=metrics.executor_reason,
        digest=metrics.digest,
        front_end=True,
        text=text,
    )
