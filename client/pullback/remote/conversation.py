"""What both clients say to a service and when: requests, what must go before them, what is retried.

Pure but for the clock and the dice it is given: every method is a generator of effects (`Steps`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import random
from time import monotonic
from typing import Any, TypeVar

import numpy as np

from pullback.remote.address import Address
from pullback.remote.calls import Calls
from pullback.remote.descriptions import PlanReport, ServerInfo, parse_plan, parse_server_info
from pullback.remote.in_parts import JobParts, ReplyParts
from pullback.remote.passing import LARGE_BYTES, NOTHING, LargeReplies, Passing
from pullback.remote.remote_tensor import RemoteTensor
from pullback.remote.reply import parse_result
from pullback.remote.request import JobEncoder, Prepared, Request, as_array, as_passed
from pullback.remote.retry import GRACE_S, RetryPolicy
from pullback.remote.sending import Sending, is_kept
from pullback.remote.sent import Entry, Sent
from pullback.remote.steps import Pause, Steps
from pullback_graph.codec import Layouts, ResultLayout
from pullback_graph.errors import (
    NotFoundError,
    ServiceError,
    UnsupportedError,
)
from pullback_graph.graph import Graph
from pullback_graph.job import GraphHash, Job, Result, TensorHash
from pullback_graph.tape import Tape
from pullback_graph.want import Vjp

Answer = TypeVar("Answer")

_POLL_S = 0.1


class _PartsRefused(Exception):
    """The service did not take a job in parts."""


class Conversation(Calls):
    """One client's side of a connection. Safe to use from several threads at once."""

    def __init__(
        self,
        address: Address,
        retry: RetryPolicy,
        clock: Callable[[], float] = monotonic,
        draw: Callable[[], float] = random,
    ) -> None:
        super().__init__(address, retry, clock, draw)
        self._encoder = JobEncoder()
        self._travelled = Sent()
        self._passing = Passing()
        self._sending = Sending(self, self._passing)
        self._large = LargeReplies()
        self._replies: Layouts[Result, None] = Layouts()

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
        entry = yield from self._sending.graph_sent(graph, self.until(deadline_s), patient=True)
        return GraphHash(entry.name)

    def put_tensor(self, value: Any, deadline_s: float | None = None) -> Steps[RemoteTensor]:
        """Store an array; the handle stands for it in jobs."""
        array = as_array("tensor", value.array if isinstance(value, RemoteTensor) else value)
        entry = yield from self._sending.tensor_sent(array, self.until(deadline_s), patient=True)
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
        inputs |= yield from self._sending.prepared(rest, job.graph, entries, until_s, patient)
        if job.seeds:
            seeds = []
            for seed in job.seeds:
                ready = yield from self._sending.prepared(
                    seed, job.graph, entries, until_s, patient, of_output=type(job.want) is Vjp
                )
                seeds.append(ready)
            job = Job(job.graph, job.inputs, job.want, tuple(seeds), job.options, job.id)
        name = yield from self._sending.graph_name(job.graph, entries, until_s, named, patient)
        known = tuple(entries)
        if name:
            return Request(self._encoder.named(name, job, inputs), known, passing=passed)
        graph = job.graph
        assert not isinstance(graph, GraphHash), "a hash is a name already"
        data = self._encoder.carrying(graph, job, inputs)
        carried = graph.fingerprint if is_kept(graph) else ""
        return Request(data, known, carried, passed)

    def arrived(self, request: Request) -> None:
        """Note that the service understood a request: the graph it carried is known there."""
        if request.carries:
            self._sending.sent.note(request.carries, request.carries)
        self._passing.arrived(request.passing)

    def forget(self, request: Request) -> bool:
        """Note that the service lacks something a request named; whether sending it can help."""
        for entry in request.entries:
            self._sending.sent.forget(entry)
        return bool(request.entries)

    def has_travelled(self, graph: Graph | Tape | GraphHash) -> bool:
        """Whether a job with this graph has been asked about before; notes that it is now."""
        if isinstance(graph, GraphHash):
            return True
        if not is_kept(graph):
            return False
        key = graph.fingerprint
        if self._travelled.get(key):
            return True
        self._travelled.add(key, key)
        return False

    # --- inside -----------------------------------------------------------------------------------

    def _at_hand(self, job: Job) -> Request | None:
        """The bytes of a job that only names its graph, sent before, and holds small arrays.

        None for any other: something goes before it, or is to be looked at.
        """
        graph = job.graph
        entry = self._sending.sent.get(graph.fingerprint) if type(graph) is Graph else None
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


def _laid_out(data: bytes, result: Result) -> tuple[ResultLayout, None] | None:
    layout = ResultLayout.of(data, result)
    return None if layout is None else (layout, None)
