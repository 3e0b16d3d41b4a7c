"""A service in this process that speaks the real wire: real codec, real derivatives, no network.

What the next calls shall do instead can be put on its script, and what came is on record.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from pullback.remote.passing import LARGE_BYTES
from pullback_graph.codec import (
    PartsReader,
    decode_graph,
    decode_job,
    decode_tensor,
    encode_result,
    encode_result_apart,
    error_to_status,
    tensor_hash,
)
from pullback_graph.codec import parts as encode_parts
from pullback_graph.derivative import Lowered, lower
from pullback_graph.errors import InputError, NotFoundError, PullbackError, WireError
from pullback_graph.graph import Graph
from pullback_graph.job import GraphHash, Job, Metrics, NDArray, Result, TensorHash
from pullback_graph.limits import DEFAULT_LIMITS
from pullback_graph.want import Want, seed_name
from pullback_proto.v1 import job_pb2, plan_pb2, server_info_pb2, service_pb2, tensor_pb2
from pullback_worker.executor import Program
from pullback_worker.numpy_executor import NumpyExecutor, fold


class FakeService:
    """The seven methods, from bytes to bytes.

    Attributes:
        calls: how often each method was called.
        stored_bytes: data of tensors that came to be stored.
        script: per method, what its next calls do: an error to raise, or bytes to answer.
        jobs: every job that was decoded.
        metadata: what the last call brought, where there is a network.
        keeps_passed: whether an array that came with a job is stored by its header alone.
        keeps_inline: whether a graph that came inside a job can be named later.
        rename: how the service names graphs: fingerprints of its own, perhaps.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.script: dict[str, deque[PullbackError | bytes]] = {}
        self.jobs: list[Job] = []
        self.graphs: dict[str, Graph] = {}
        self.tensors: dict[str, NDArray] = {}
        self.stored_bytes = 0
        self.metadata: list[tuple[str, str | bytes]] = []
        self.passed: dict[str, NDArray] = {}
        self.keeps_passed = self.keeps_inline = True
        self.rename: Callable[[str], str] = lambda fingerprint: fingerprint

    def next(self, method: str, *outcomes: PullbackError | bytes) -> None:
        """Have the next calls of a method fail or answer so."""
        self.script.setdefault(method, deque()).extend(outcomes)

    def restart(self) -> None:
        """Forget everything that was sent."""
        self.graphs.clear()
        self.tensors.clear()
        self.passed.clear()

    def handle(self, method: str, request: bytes | Iterable[bytes]) -> Any:
        """Answer one call that has one reply."""
        self.calls[method] += 1
        if self.script.get(method):
            outcome = self.script[method].popleft()
            if isinstance(outcome, bytes):
                return outcome
            raise outcome
        handler: Callable[[Any], Any] = getattr(self, method)
        return handler(request)

    # --- the methods ------------------------------------------------------------------------------

    def Evaluate(self, data: bytes) -> bytes:  # noqa: N802  (the wire's name)
        """Run a job."""
        return encode_result(self._result(decode_job(data)))

    def EvaluateInParts(self, parts: Iterable[bytes]) -> list[bytes]:  # noqa: N802  (the wire's)
        """Run a job that comes in parts."""
        reader = PartsReader(DEFAULT_LIMITS, 1 << 30)
        for part in parts:
            reader.take(part)
        reader.finish()
        result = self._result(decode_job(reader.message, apart=reader.arrays))
        return [*encode_parts(*encode_result_apart(result))]

    def _result(self, job: Job) -> Result:
        self.jobs.append(job)
        if self.keeps_passed:
            arrays = [x for x in job.inputs.values() if isinstance(x, np.ndarray)]
            self.passed.update({tensor_hash(x): x for x in arrays if x.nbytes >= LARGE_BYTES})
        graph = self._graph(job)
        given: dict[str, Any] = dict(job.inputs)
        for number, seed in enumerate(job.seeds):
            given.update({seed_name(number, name): value for name, value in seed.items()})
        lowered, program = _prepared(graph, job.want)
        arrays = [self._array(given.pop(i.name, None), i) for i in lowered.graph.inputs]
        if given:
            raise InputError(f"the graph has no input {next(iter(given))!r}", field="inputs")
        results = program(arrays)
        count, names = lowered.value_count, lowered.graph.output_names
        return Result(
            dict(zip(names[:count], results[:count], strict=True)),
            dict(zip(lowered.derivatives, results[count:], strict=True)),
            Metrics(nodes=len(lowered.graph.nodes), executor="numpy"),
        )

    def PutGraph(self, data: bytes) -> bytes:  # noqa: N802  (the wire's name)
        """Keep a graph."""
        graph = decode_graph(data)
        name = self.rename(graph.fingerprint)
        self.graphs[name] = graph
        return service_pb2.GraphHandle(fingerprint=bytes.fromhex(name)).SerializeToString()

    def PutTensor(self, chunks: Iterable[bytes]) -> bytes:  # noqa: N802  (the wire's name)
        """Keep a tensor, whose chunks must be what its header says."""
        first, *rest = [service_pb2.TensorChunk.FromString(chunk) for chunk in chunks]
        header, data = first.header, b"".join(chunk.data for chunk in rest)
        if header.sha256.hex() in self.passed:
            self.tensors[header.sha256.hex()] = self.passed[header.sha256.hex()]
            return service_pb2.TensorHandle(sha256=header.sha256).SerializeToString()
        if len(data) < header.size_bytes:
            raise WireError("bytes of data are missing", field="chunk.data")
        self.stored_bytes += len(data)
        array = decode_tensor(tensor_pb2.Tensor(dtype=header.dtype, shape=header.shape, data=data))
        assert len(data) == header.size_bytes
        assert tensor_hash(array) == header.sha256.hex()
        self.tensors[header.sha256.hex()] = array
        return service_pb2.TensorHandle(sha256=header.sha256).SerializeToString()

    def Plan(self, data: bytes) -> bytes:  # noqa: N802  (the wire's name)
        """Describe a job."""
        graph = self._graph(decode_job(data))
        later: Any = 77  # a placement that only later clients know
        task = plan_pb2.TaskSummary(phase=plan_pb2.PHASE_FUSED, placement=later, depends_on=[0])
        return plan_pb2.PlanReply(
            nodes=len(graph.nodes),
            split="none",
            split_reason="it is small",
            executor="numpy",
            tasks=[task],
            front_end=True,
            text="1 task",
        ).SerializeToString()

    def GetServerInfo(self, _: bytes) -> bytes:  # noqa: N802  (the wire's name)
        """Describe the service."""
        later: Any = 99  # a dtype that only later clients know
        return server_info_pb2.ServerInfo(
            version="1.2.3",
            ops=["add"],
            dtypes=[tensor_pb2.DTYPE_FLOAT64, later],
            limits=server_info_pb2.Limits(nodes=5),
            devices=[server_info_pb2.DeviceInfo(placement=plan_pb2.PLACEMENT_CPU, count=2)],
        ).SerializeToString()

    # --- the stream -------------------------------------------------------------------------------

    def replies(self, batch: bytes, first_position: int) -> tuple[bytes, int]:
        """The ReplyBatch for a JobBatch, its jobs in reverse order; and how many they are."""
        replies = []
        for offset, data in enumerate(job_pb2.JobBatch.FromString(batch).jobs):
            reply = job_pb2.JobReply(position=first_position + offset)
            result = b""
            try:
                result = self.handle("Evaluate", data)
            except PullbackError as error:
                reply.error.CopyFrom(error_to_status(error))
            replies.append(reply.SerializeToString() + _result_field(result))
        return job_pb2.ReplyBatch(replies=replies[::-1]).SerializeToString(), len(replies)

    def EvaluateStream(self, _: bytes) -> bytes:  # noqa: N802  (the wire's name)
        """A batch came; where the script says so, the stream fails instead."""
        return b""

    # --- inside -----------------------------------------------------------------------------------

    def _graph(self, job: Job) -> Graph:
        if isinstance(job.graph, GraphHash):
            if job.graph.fingerprint not in self.graphs:
                raise NotFoundError("no such graph is stored here", field="fingerprint")
            return self.graphs[job.graph.fingerprint]
        assert isinstance(job.graph, Graph), "tapes are not part of these tests"
        if self.keeps_inline:
            self.graphs[job.graph.fingerprint] = job.graph
        return job.graph

    def _array(self, value: Any, item: Any) -> NDArray:
        if value is None:
            raise InputError(f"input {item.name!r} is missing", field=f"inputs.{item.name}")
        if isinstance(value, TensorHash):
            if value.sha256 not in self.tensors:
                raise NotFoundError("no such tensor is stored here", field=item.name)
            value = self.tensors[value.sha256]
        if value.dtype != item.type.dtype or value.shape != item.type.shape:
            raise InputError(f"input {item.name!r} is not {item.type}", field=item.name)
        return np.asarray(value)


@lru_cache(maxsize=256)
def _prepared(graph: Graph, want: Want) -> tuple[Lowered, Program]:
    lowered = lower(graph, want, fold=fold)
    return lowered, NumpyExecutor().compile(lowered.graph)


def _result_field(data: bytes) -> bytes:
    """JobReply.result as it stands on the wire, whatever its bytes are."""
    if not data:
        return b""
    length, size = b"", len(data)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return b"\x12" + length + bytes([size]) + data
