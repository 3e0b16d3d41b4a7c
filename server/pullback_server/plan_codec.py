"""Plans, arrays and figures on the wire between front end and dispatcher, both ways.

Both ends are one installation, so what arrives is sound; graphs are rebuilt by their rows all the
same, which is how a Graph comes to be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from pullback_graph.codec import decode_graph, decode_tensor, encode_graph, encode_tensor
from pullback_graph.fingerprint import DTYPE_NUMBERS
from pullback_graph.graph import Graph, Input
from pullback_graph.job import NDArray, Split
from pullback_graph.limits import Limits
from pullback_graph.types import DTYPES, ArrayType, DType
from pullback_proto.internal.v1 import dispatch_pb2 as wire
from pullback_proto.v1 import job_pb2, plan_pb2
from pullback_server.planner.plan import (
    Block,
    JobInput,
    Phase,
    Placement,
    Plan,
    Source,
    Task,
    TaskOutput,
)
from pullback_server.planner.rates import Rates
from pullback_server.shared_tensors import SharedArray, SharedTensors

PHASES: Mapping[Phase, Any] = {p: plan_pb2.Phase.Value(f"PHASE_{p.name}") for p in Phase}
PLACEMENTS: Mapping[Placement, Any] = {
    p: plan_pb2.Placement.Value(f"PLACEMENT_{p.name}") for p in Placement
}
SPLITS: Mapping[str, Any] = {
    name.removeprefix("SPLIT_KIND_").lower(): number for name, number in job_pb2.SplitKind.items()
}
_SPLIT_OF = {number: kind for kind, number in SPLITS.items()}
_PHASE_OF = {number: phase for phase, number in PHASES.items()}
_PLACEMENT_OF = {number: placement for placement, number in PLACEMENTS.items()}
_DTYPE_OF: Mapping[int, DType] = {n: DTYPES[name] for name, n in DTYPE_NUMBERS.items()}

_HUGE = 1 << 62
UNLIMITED = Limits(
    max_nodes=_HUGE,
    max_inputs=_HUGE,
    max_outputs=_HUGE,
    max_constants=_HUGE,
    max_constants_bytes=_HUGE,
    max_elements=_HUGE,
)
"""What was within the front end's limits when it came may be larger once differentiated."""


# --- plans ----------------------------------------------------------------------------------------


def encode_plan(plan: Plan) -> bytes:
    """The serialised message of a plan; each graph once."""
    numbers: dict[int, int] = {}
    graphs: list[Graph] = []
    message = wire.Plan(
        reason=plan.reason, estimated_s=plan.estimated_s, largest_call_s=plan.largest_call_s
    )
    message.split.kind = SPLITS[plan.split.kind]
    message.split.count = plan.split.count
    for task in plan.tasks:
        if id(task.graph) not in numbers:
            numbers[id(task.graph)] = len(graphs)
            graphs.append(task.graph)
        message.tasks.append(_encode_task(task, numbers[id(task.graph)]))
    message.graphs.extend(encode_graph(graph).SerializeToString() for graph in graphs)
    for name, type in plan.inputs:
        dtype = DTYPE_NUMBERS[type.dtype.name]
        message.inputs.add(name=name, type={"dtype": dtype, "shape": type.shape})
    message.results.extend(_encode_source(source) for source in plan.results)
    data: bytes = message.SerializeToString()
    return data


def decode_plan(data: bytes) -> Plan:
    """The plan of a serialised message."""
    message = wire.Plan.FromString(data)
    graphs = [decode_graph(graph, UNLIMITED) for graph in message.graphs]
    return Plan(
        inputs=tuple(
            Input(item.name, ArrayType(_DTYPE_OF[item.type.dtype], tuple(item.type.shape)))
            for item in message.inputs
        ),
        tasks=tuple(_decode_task(task, graphs) for task in message.tasks),
        results=tuple(_decode_source(source) for source in message.results),
        split=Split(_SPLIT_OF[message.split.kind], message.split.count),
        reason=message.reason,
        estimated_s=message.estimated_s,
        largest_call_s=message.largest_call_s,
    )


def _encode_task(task: Task, graph: int) -> wire.Task:
    return wire.Task(
        graph=graph,
        operands=[_encode_source(source) for source in task.operands],
        phase=PHASES[task.phase],
        placement=PLACEMENTS[task.placement],
        flops=task.flops,
        size_bytes=task.size_bytes,
        peak_bytes=task.peak_bytes,
        shard=task.shard,
        executor=task.executor,
    )


def _decode_task(message: wire.Task, graphs: Sequence[Graph]) -> Task:
    return Task(
        graph=graphs[message.graph],
        operands=tuple(_decode_source(source) for source in message.operands),
        phase=_PHASE_OF[message.phase],
        flops=message.flops,
        size_bytes=message.size_bytes,
        peak_bytes=message.peak_bytes,
        placement=_PLACEMENT_OF[message.placement],
        shard=message.shard,
        executor=message.executor,
    )


def _encode_source(source: Source) -> wire.Source:
    if isinstance(source, TaskOutput):
        return wire.Source(task_output=wire.TaskOutput(task=source.task, output=source.output))
    message = wire.Source(job_input=wire.JobInput(index=source.index))
    if source.block is not None:
        axis, start, stop = source.block
        message.job_input.block.CopyFrom(wire.Block(axis=axis, start=start, stop=stop))
    return message


def _decode_source(message: wire.Source) -> Source:
    if message.WhichOneof("source") == "task_output":
        return TaskOutput(message.task_output.task, message.task_output.output)
    own = message.job_input
    block = Block(own.block.axis, own.block.start, own.block.stop)
    return JobInput(own.index, block if own.HasField("block") else None)


# --- arrays ---------------------------------------------------------------------------------------


def encode_operand(array: NDArray, shared: SharedTensors) -> wire.OperandTensor:
    """An array on its way: in shared memory where it is large and there is room, else inline."""
    placed = shared.place(array)
    if placed is None:
        return wire.OperandTensor(inline=encode_tensor(array))
    number: Any = DTYPE_NUMBERS[placed.dtype.name]
    place = wire.SharedTensor(path=placed.name, dtype=number, shape=placed.shape)
    return wire.OperandTensor(shared=place)


def decode_operand(message: wire.OperandTensor, shared: SharedTensors) -> NDArray:
    """The array of a message, read-only; a file in shared memory is removed.

    Raises:
        ServiceError: the file is gone.
    """
    if message.WhichOneof("place") == "inline":
        return decode_tensor(message.inline, UNLIMITED)
    return shared.take(_shared(message))


def discard_operand(message: wire.OperandTensor, shared: SharedTensors) -> None:
    """Remove the file of an array that may not have been read."""
    if message.WhichOneof("place") == "shared":
        shared.discard(_shared(message))


def _shared(message: wire.OperandTensor) -> SharedArray:
    own = message.shared
    return SharedArray(own.path, _DTYPE_OF[own.dtype], tuple(own.shape))


# --- rates ----------------------------------------------------------------------------------------


def encode_rates(kind: Placement, rates: Rates) -> wire.Rates:
    """The message of a kind's rates."""
    return wire.Rates(
        placement=PLACEMENTS[kind], **{f.name: getattr(rates, f.name) for f in _RATES}
    )


def decode_rates(message: wire.Rates) -> tuple[Placement, Rates]:
    """A kind and its rates."""
    values = {field.name: getattr(message, field.name) for field in _RATES}
    values |= {name: dict(values[name]) for name in ("unit_s", "executors")}
    return _PLACEMENT_OF[message.placement], Rates(**values)


_RATES = fields(Rates)
