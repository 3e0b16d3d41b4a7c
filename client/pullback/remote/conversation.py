"""What both clients say to a service and when: requests, what must go before them, what is retried.

Pure but for the clock and the dice it is given: every method is a generator of effects (`Steps`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from random import random
from time import monotonic
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import numpy as np

from pullback.remote.address import Address
from pullback.remote.descriptions import PlanReport, ServerInfo, parse_plan, parse_server_info
from pullback.remote.in_parts import JobParts, ReplyParts
from pullback.remote.passing import LARGE_BYTES, NOTHING, LargeReplies, Passing
from pullback.remote.remote_tensor import RemoteTensor, Upload
from pullback.remote.reply import parse_graph_handle, parse_result
from pullback.remote.request import JobEncoder, Prepared, Request, as_array, as_passed, as_tensor
from pullback.remote.retry import GRACE_S, RetryPolicy
from pullback.remote.sent import Entry, Sent
from pullback.remote.steps import Call, Compute, Pause, Steps
from pullback_graph.codec import Layouts, ResultLayout, encode_graph, tensor_hash
from pullback_graph.codec.tapes import NAMED_BYTES
from pullback_graph.errors import (
    DeadlineExceeded,
    NotFoundError,
    RequestError,
    ServiceError,
    UnsupportedError,
)
from pullback_graph.graph import Graph
from pullback_graph.job import GraphHash, Job, NDArray, Result, TensorHash
from pullback_graph.tape import Tape
from pullback_graph.want import Vjp

Answer = TypeVar("Answer")

_POLL_S = 0.1


class _PartsRefused(Exception):
    """The service did not take a job in parts."""


class Conversation:
    """One client's side of a connection. Safe to use from several threads at once.

    Args:
        clock: seconds that only grow.
        draw: uniform random numbers in [0, 1).
    """

    def __init__(
        self,
        address: Address,
        retry: RetryPolicy,
        clock: Callable[[], float] = monotonic,
        draw: Callable[[], float] = random,
    ) -> None:
        self.address = str(address)
        self.retry = retry
        self.clock = clock
        self.draw = draw
        self._encoder = JobEncoder()
        self._sent = Sent()
        self._travelled = Sent()
        self._passing = Passing()
        self._large = LargeReplies()
        self._replies: Layouts[Result, None] = Layouts()
        self._graphs: WeakValueDictionary[str, Graph] = WeakValueDictionary()

    # --- what a client asks -----------------------------------------------------------------------

    def evaluate(self, job: Job) -> Steps[Result]:
        """The result of a job.

        Raises:
            PullbackError: what the service raised, or why it could not be reached.
        """
        until_s = self.until(job.options.deadline_s)
        try:
            return (yield from self._answered(job, until_s, self._evaluated, passing=True))
        except _PartsRefused:
            self._passing.takes_parts = False  # an older service does, or it is the job itself
        try:
            return (yield from self._answered(job, until_s, self._evaluated))
        except UnsupportedError:
            self._passing.takes_parts = True
            raise

    def plan(self, job: Job) -> Steps[PlanReport]:
        """What the service would do with a job, whose inputs may be left out."""
        until_s = self.until(job.options.deadline_s)

        def planned(_: Job, request: Request, until_s: float | None) -> Steps[bytes]:
            return self.call("Plan", request.data, until_s)

        data = yield from self._answered(job, until_s, planned)
        return parse_plan(data, self.address)

    def server_info(self, deadline_s: float | None = None) -> Steps[ServerInfo]:
        """What the service is and what it takes."""
        data = yield from self.call("GetServerInfo", b"", self.until(deadline_s))
        return parse_server_info(data, self.address)

    def wait_until_ready(self, deadline_s: float) -> Steps[None]:
        """Return when the service answers.

        Raises:
            ServiceError: it did not before the deadline.
        """
        until_s = self.clock() + deadline_s
        while True:
            try:
                yield from self.call("GetServerInfo", b"", until_s, patient=False)
            except ServiceError:
                if self.clock() + _POLL_S >= until_s:
                    raise
            else:
                return
            yield Pause(_POLL_S)

    def put_graph(self, graph: Graph, deadline_s: float | None = None) -> Steps[GraphHash]:
        """Store a graph; the hash names it in jobs."""
        entry = yield from self._graph_sent(graph, self.until(deadline_s), patient=True)
        return GraphHash(entry.name)

    def put_tensor(self, value: Any, deadline_s: float | None = None) -> Steps[RemoteTensor]:
        """Store an array; the handle stands for it in jobs."""
        array = as_array("tensor", value.array if isinstance(value, RemoteTensor) else value)
        entry = yield from self._tensor_sent(array, self.until(deadline_s), patient=True)
        return RemoteTensor(array, TensorHash(entry.name))

    # --- one request, for the clients above and for the map ---------------------------------------

    def request(
        self,
        job: Job,
        until_s: float | None,
        *,
        named: bool = False,
        patient: bool = True,
        passing: bool = False,
    ) -> Steps[Request]:
        """The bytes of a job; what they name has been sent before.

        Args:
            named: the graph must be named, and is sent first if need be. Otherwise a graph that
                has not been sent yet travels inside the job.
            patient: whether sending what goes before may be retried.
            passing: whether large parameters that were not seen before may travel with the job.
        """
        at_hand = self._at_hand(job)
        if at_hand is not None:
            return at_hand
        entries: list[Entry] = []
        passed = self._passing.new(job) if passing else NOTHING
        inputs: dict[str, Prepared] = as_passed(passed)
        rest = {name: value for name, value in job.inputs.items() if name not in inputs}
        inputs |= yield from self._prepared(rest, job.graph, entries, until_s, patient)
        if job.seeds:
            seeds = []
            for seed in job.seeds:
                ready = yield from self._prepared(
                    seed, job.graph, entries, until_s, patient, of_output=type(job.want) is Vjp
                )
                seeds.append(ready)
            job = Job(job.graph, job.inputs, job.want, tuple(seeds), job.options, job.id)
        name = yield from self._graph_name(job.graph, entries, until_s, named, patient)
        known = tuple(entries)
        if name:
            return Request(self._encoder.named(name, job, inputs), known, passing=passed)
        graph = job.graph
        assert not isinstance(graph, GraphHash), "a hash is a name already"
        data = self._encoder.carrying(graph, job, inputs)
        carried = graph.fingerprint if _is_kept(graph) else ""
        return Request(data, known, carried, passed)

    def arrived(self, request: Request) -> None:
        """Note that the service understood a request: the graph it carried is known there."""
        if request.carries:
            self._sent.note(request.carries, request.carries)
        self._passing.arrived(request.passing)

    def forget(self, request: Request) -> bool:
        """Note that the service lacks something a request named; whether sending it can help."""
        for entry in request.entries:
            self._sent.forget(entry)
        return bool(request.entries)

    def has_travelled(self, graph: Graph | Tape | GraphHash) -> bool:
        """Whether a job with this graph has been asked about before; notes that it is now."""
        if isinstance(graph, GraphHash):
            return True
        if not _is_kept(graph):
            return False
        key = graph.fingerprint
        if self._travelled.get(key):
            return True
        self._travelled.add(key, key)
        return False

    def call(
        self,
        method: str,
        request: bytes | Iterable[bytes],
        until_s: float | None,
        *,
        patient: bool = True,
        grace_s: float = 0.0,
        reply: Callable[[], ReplyParts] | None = None,
    ) -> Steps[Any]:
        """The reply's bytes; tried again as the retry policy says.

        Args:
            grace_s: time for the service to say by itself that the deadline has passed.
            reply: makes what takes a reply of several messages, and is returned then.

        Raises:
            PullbackError: the call failed, for good or for too long.
        """
        attempt = 0
        while True:
            attempt += 1
            remaining_s = self._remaining_s(until_s)
            try:
                timeout_s = None if remaining_s is None else remaining_s + grace_s
                return (yield Call(method, request, timeout_s, reply() if reply else None))
            except ServiceError as error:
                remaining_s = None if until_s is None else until_s - self.clock()
                wait_s = self.retry.wait_s(error, attempt, remaining_s, self.draw())
                if wait_s is None or not patient:
                    raise
            yield Pause(wait_s)

    def until(self, deadline_s: float | None) -> float | None:
        """The moment, by the clock, of a deadline that starts now."""
        return None if deadline_s is None else self.clock() + deadline_s

    # --- inside -----------------------------------------------------------------------------------

    def _at_hand(self, job: Job) -> Request | None:
        """The bytes of a job that only names its graph, sent before, and holds small arrays.

        None for any other: something goes before it, or is to be looked at.
        """
        graph = job.graph
        entry = self._sent.get(graph.fingerprint) if type(graph) is Graph else None
        if entry is None or job.seeds:
            return None
        for array in job.inputs.values():
            if type(array) is not np.ndarray or array.nbytes >= LARGE_BYTES:
                return None
        return Request(self._encoder.named(entry.name, job, job.inputs), (entry,))

    def _answered(
        self,
        job: Job,
        until_s: float | None,
        ask: Callable[[Job, Request, float | None], Steps[Answer]],
        *,
        passing: bool = False,
    ) -> Steps[Answer]:
        """The answer to a job; what the service has dropped is sent again, once."""
        again = False
        while True:
            request = self._at_hand(job) or (
                yield from self.request(job, until_s, named=again, passing=passing)
            )
            try:
                answer = yield from ask(job, request, until_s)
            except NotFoundError:
                if again or not self.forget(request):
                    raise
                again = True
            else:
                self.arrived(request)
                return answer

    def _evaluated(self, job: Job, request: Request, until_s: float | None) -> Steps[Result]:
        """The result of a job, in parts where its arrays are, or those of one like it were, large.

        Raises:
            _PartsRefused: the service does not take it in parts.
        """
        apart = request.passing.apart
        if not apart and not (self._passing.takes_parts and job in self._large):
            data = yield from self.call("Evaluate", request.data, until_s, grace_s=GRACE_S)
            self._large.note(job, len(data))
            return self._result(data, job)
        parts = JobParts(request.data, apart)
        try:
            reply: ReplyParts = yield from self.call(
                "EvaluateInParts",
                parts,
                until_s,
                grace_s=GRACE_S,
                reply=lambda: ReplyParts(self.address),
            )
        except UnsupportedError:
            raise _PartsRefused from None
        return reply.result(job.id)

    def _result(self, data: bytes, job: Job) -> Result:
        """The result in a reply; one like others before is not parsed."""
        found = None if job.id else self._replies.find(data)
        if found is not None:
            return found[0]
        result = parse_result(data, job.id, self.address)
        self._replies.add(data, partial(_laid_out, data, result))
        return result

    def _prepared(
        self,
        tensors: Mapping[str, Any],
        graph: Graph | Tape | GraphHash,
        entries: list[Entry],
        until_s: float | None,
        patient: bool,
        *,
        of_output: bool = False,
    ) -> Steps[dict[str, NDArray | TensorHash]]:
        """The tensors as they travel; the large ones are sent first, and added to `entries`."""
        prepared: dict[str, NDArray | TensorHash] = {}
        for name, value in tensors.items():
            tensor = as_tensor(name, value, graph, of_output=of_output)
            if isinstance(tensor, RemoteTensor):
                entry = yield from self._still_sent(tensor, until_s, patient)
            elif isinstance(tensor, TensorHash) or tensor.nbytes < LARGE_BYTES:
                prepared[name] = tensor
                continue
            else:
                entry = yield from self._tensor_sent(tensor, until_s, patient)
            entries.append(entry)
            prepared[name] = TensorHash(entry.name)
        return prepared

    def _graph_name(
        self,
        graph: Graph | Tape | GraphHash,
        entries: list[Entry],
        until_s: float | None,
        named: bool,
        patient: bool,
    ) -> Steps[str]:
        """How the service names the graph, or nothing where the job is to carry it."""
        if isinstance(graph, GraphHash):
            known = self._graphs.get(graph.fingerprint)
            if known is None:
                return graph.fingerprint
            graph, named = known, True
        if not _is_kept(graph):
            return ""
        entry = self._sent.get(graph.fingerprint)
        if entry is None and named and isinstance(graph, Graph):
            entry = yield from self._graph_sent(graph, until_s, patient)
        if entry is None:
            return ""
        entries.append(entry)
        return entry.name

    def _graph_sent(self, graph: Graph, until_s: float | None, patient: bool) -> Steps[Entry]:
        entry = self._sent.get(graph.fingerprint)
        if entry is None:
            data = encode_graph(graph).SerializeToString()
            reply = yield from self.call("PutGraph", data, until_s, patient=patient)
            name = parse_graph_handle(reply, self.address)
            entry = self._sent.add(graph.fingerprint, name)
        self._graphs[entry.name] = graph
        return entry

    def _tensor_sent(self, array: NDArray, until_s: float | None, patient: bool) -> Steps[Entry]:
        digits = yield Compute(lambda: tensor_hash(array))
        entry = self._sent.get(digits)
        if entry is None:
            upload = Upload(array, TensorHash(digits))
            is_there = self._passing.has_passed(array) and (
                yield from self._is_there(upload, until_s, patient)
            )
            if not is_there:
                yield from self.call("PutTensor", upload, until_s, patient=patient)
            entry = self._sent.add(digits, digits)
        return entry

    def _is_there(self, upload: Upload, until_s: float | None, patient: bool) -> Steps[bool]:
        """Whether the service has an array that came with a job, and now keeps it as stored."""
        try:
            yield from self.call("PutTensor", [upload.header], until_s, patient=patient)
        except RequestError:
            return False  # the data are missing
        return True

    def _still_sent(
        self, tensor: RemoteTensor, until_s: float | None, patient: bool
    ) -> Steps[Entry]:
        """The entry of a handle's array, which is sent again where the service dropped it.

        Raises:
            NotFoundError: it is to be sent again, but has been changed.
        """
        entry = self._sent.get(tensor.hash.sha256)
        if entry is None:
            entry = yield from self._tensor_sent(tensor.array, until_s, patient)
            if entry.name != tensor.hash.sha256:
                raise NotFoundError(
                    f"the service has dropped {tensor!r}, and its array has been changed since; "
                    "put the array again and use the new handle"
                )
        return entry

    def _remaining_s(self, until_s: float | None) -> float | None:
        if until_s is None:
            return None
        remaining_s = until_s - self.clock()
        if remaining_s <= 0:
            raise DeadlineExceeded(
                f"the deadline passed before {self.address} could be asked; allow more with "
                "deadline_s"
            )
        return remaining_s


def _laid_out(data: bytes, result: Result) -> tuple[ResultLayout, None] | None:
    layout = ResultLayout.of(data, result)
    return None if layout is None else (layout, None)


def _is_kept(graph: Graph | Tape) -> bool:
    """Whether the service keeps a graph that came with a job; of tapes, only the large ones."""
    return isinstance(graph, Graph) or graph.size_bytes >= NAMED_BYTES
