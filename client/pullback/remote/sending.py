"""What goes before a job: graphs and tensors that the service keeps, for jobs to name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

from pullback.remote.calls import Calls
from pullback.remote.passing import LARGE_BYTES, Passing
from pullback.remote.remote_tensor import RemoteTensor, Upload
from pullback.remote.reply import parse_graph_handle
from pullback.remote.request import as_tensor
from pullback.remote.sent import Entry, Sent
from pullback.remote.steps import Compute, Steps
from pullback_graph.codec import encode_graph, tensor_hash
from pullback_graph.codec.tapes import NAMED_BYTES
from pullback_graph.errors import NotFoundError, RequestError
from pullback_graph.graph import Graph
from pullback_graph.job import GraphHash, NDArray, TensorHash
from pullback_graph.tape import Tape


class Sending:
    """Sends what is to be named, once; `sent` is what the service is believed to hold."""

    def __init__(self, calls: Calls, passing: Passing) -> None:
        self.sent = Sent()
        self._calls = calls
        self._passing = passing
        self._graphs: WeakValueDictionary[str, Graph] = WeakValueDictionary()

    def prepared(
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
                entry = yield from self.tensor_sent(tensor, until_s, patient)
            entries.append(entry)
            prepared[name] = TensorHash(entry.name)
        return prepared

    def graph_name(
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
        if not is_kept(graph):
            return ""
        entry = self.sent.get(graph.fingerprint)
        if entry is None and named and isinstance(graph, Graph):
            entry = yield from self.graph_sent(graph, until_s, patient)
        if entry is None:
            return ""
        entries.append(entry)
        return entry.name

    def graph_sent(self, graph: Graph, until_s: float | None, patient: bool) -> Steps[Entry]:
        """The entry of a graph, which is sent where it was not."""
        entry = self.sent.get(graph.fingerprint)
        if entry is None:
            data = encode_graph(graph).SerializeToString()
            reply = yield from self._calls.call("PutGraph", data, until_s, patient=patient)
            name = parse_graph_handle(reply, self._calls.address)
            entry = self.sent.add(graph.fingerprint, name)
        self._graphs[entry.name] = graph
        return entry

    def tensor_sent(self, array: NDArray, until_s: float | None, patient: bool) -> Steps[Entry]:
        """The entry of an array, which is sent where it was not."""
        digits = yield Compute(lambda: tensor_hash(array))
        entry = self.sent.get(digits)
        if entry is None:
            upload = Upload(array, TensorHash(digits))
            is_there = self._passing.has_passed(array) and (
                yield from self._is_there(upload, until_s, patient)
            )
            if not is_there:
                yield from self._calls.call("PutTensor", upload, until_s, patient=patient)
            entry = self.sent.add(digits, digits)
        return entry

    def _is_there(self, upload: Upload, until_s: float | None, patient: bool) -> Steps[bool]:
        """Whether the service has an array that came with a job, and now keeps it as stored."""
        try:
            yield from self._calls.call("PutTensor", [upload.header], until_s, patient=patient)
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
        entry = self.sent.get(tensor.hash.sha256)
        if entry is None:
            entry = yield from self.tensor_sent(tensor.array, until_s, patient)
            if entry.name != tensor.hash.sha256:
                raise NotFoundError(
                    f"the service has dropped {tensor!r}, and its array has been changed since; "
                    "put the array again and use the new handle"
                )
        return entry


def is_kept(graph: Graph | Tape) -> bool:
    """Whether the service keeps a graph that came with a job; of tapes, only the large ones."""
    return isinstance(graph, Graph) or graph.size_bytes >= NAMED_BYTES
