"""What clients sent before: graphs by fingerprint, tensors by hash. Bounded, least used out first.

Used from the event loop and from the job threads; one lock each, held for dictionary work only.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from pullback_graph.errors import LimitExceeded, NotFoundError
from pullback_graph.graph import Graph
from pullback_graph.subgraphs import subgraphs

Value = TypeVar("Value")
NODE_BYTES = 600
"""About what a node, its attributes and its types take in memory."""


class ContentStore(Generic[Value]):
    """A bounded store of values by the hash of their content.

    Args:
        noun: what is kept, for messages: `graph` or `tensor`.
        capacity_bytes: when more is kept, the least recently used go.
        size_bytes: size of one value.
    """

    def __init__(self, noun: str, capacity_bytes: int, size_bytes: Callable[[Value], int]) -> None:
        self.noun = noun
        self.capacity_bytes = capacity_bytes
        self.stored_bytes = 0
        self._size_bytes = size_bytes
        self._values: OrderedDict[str, Value] = OrderedDict()
        self._lock = Lock()

    def put(self, key: str, value: Value) -> bool:
        """Keep a value; whether it was there already.

        Raises:
            LimitExceeded: it is larger than the whole store.
        """
        size = self._size_bytes(value)
        self.check_size(size)
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return True
            self._values[key] = value
            self.stored_bytes += size
            while self.stored_bytes > self.capacity_bytes:
                _, dropped = self._values.popitem(last=False)
                self.stored_bytes -= self._size_bytes(dropped)
        return False

    def check_size(self, size_bytes: int) -> None:
        """Refuse what could never be kept, before it is read.

        Raises:
            LimitExceeded: it is larger than the whole store.
        """
        if size_bytes > self.capacity_bytes:
            raise LimitExceeded(
                f"a {self.noun} of {size_bytes} bytes does not fit the {self.noun} store of "
                f"{self.capacity_bytes} bytes; raise --{self.noun}-store-bytes or send less"
            )

    def get(self, key: str) -> Value:
        """The value kept under `key`.

        Raises:
            NotFoundError: it never came, or gave way to others.
        """
        with self._lock:
            try:
                self._values.move_to_end(key)
                return self._values[key]
            except KeyError:
                pass
        raise NotFoundError(f"no {self.noun} {key} is stored here; send it again", field=key)

    def __contains__(self, key: str) -> bool:
        with self._lock:
            return key in self._values

    def __len__(self) -> int:
        return len(self._values)


def graph_bytes(graph: Graph) -> int:
    """About what a graph takes in memory, each of its subgraphs once."""
    return sum([_flat_bytes(one) for one in (graph, *subgraphs(graph).graphs)])


def _flat_bytes(graph: Graph) -> int:
    named = len(graph.inputs) + len(graph.outputs)
    size_bytes = NODE_BYTES * (1 + len(graph.nodes) + named + len(graph.constants))
    size_bytes += sum(len(name) for name in (*graph.input_names, *graph.output_names))
    size_bytes += 8 * sum(len(node.operands) for node in graph.nodes)
    return size_bytes + sum(array.nbytes for array in graph.constants)
