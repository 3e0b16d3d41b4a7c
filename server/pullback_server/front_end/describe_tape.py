"""What a server says of the plan of a tape: one task, linked but not run."""

from __future__ import annotations

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
        f"a tape of {metrics.nodes} nodes{at}, {metrics.adjoint_evaluations} adjoints, "
        f"{metrics.flops:.3g} FLOPs, about {estimated_s * 1e3:.3g} ms on one core\n"
        f"executor tape: {metrics.executor_reason}\n"
        f"split none: {WHOLE}; in the front end, {metrics.peak_bytes / 1e6:.3g} MB"
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
