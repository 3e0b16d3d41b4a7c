"""Arrays on their way to a worker: waited for in a thread of its own, so that waiting can end.

No Ray here: what gets arrays, and what tells a reference, is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any, NamedTuple, TypeAlias

from pullback_worker.batch import Batch, Freed, InputOperand, Packed, ValueKey
from pullback_worker.executor import NDArray

LOOK_S = 0.05
"""How often it is looked whether arrays are still waited for."""
LEAVE_S = 1.0
"""What a worker had that is gone may still come: its machine may be there, and hand it on."""
THREADS = 4
"""Two batches run at once, and each may have waited before for what does not come any more."""

Found: TypeAlias = "list[NDArray | None]"
"""An array per reference, None for one that is lost."""


class Fetched(NamedTuple):
    """Inputs, or blocks of them, and an array for each, then for each fetched value of a batch."""

    inputs: tuple[InputOperand, ...]
    arrays: Found


class Fetcher:
    """The references a worker was given, until they are fetched.

    Args:
        get: waits for what references name.
        is_reference: tells references from arrays.
    """

    def __init__(
        self, get: Callable[[Sequence[Any]], Found], is_reference: Callable[[Any], bool]
    ) -> None:
        self._get = get
        self._is_reference = is_reference
        self._awaited: dict[int, dict[InputOperand, Any]] = {}
        self._gone: dict[tuple[bool, int], set[ValueKey]] = {}
        self._threads = ThreadPoolExecutor(THREADS, "fetch")

    def fetch(
        self, batch: Batch, carried: Sequence[Any], called_off: Callable[[], bool]
    ) -> Fetched | None:
        """What came along with a batch, and inputs that an earlier one did not wait for.

        Args:
            carried: an array or a reference per input and per fetched value of the batch.

        Returns: None where it was called off: then the next batch of the job waits for the inputs.
        """
        self.free(batch.freed)
        count = len(batch.inputs)
        inputs = self._awaited.setdefault(batch.job, {})
        inputs.update(zip(batch.inputs, carried[:count], strict=True))
        found = self._arrays(batch, [*inputs.values(), *carried[count:]], called_off)
        for express, number in tuple(self._gone):  # which another thread may add to
            if express == batch.express and number <= batch.number:
                del self._gone[express, number]
        if found is None:
            return None
        self._awaited.pop(batch.job, None)
        return Fetched(tuple(inputs), found)

    def free(self, freed: Sequence[Freed]) -> None:
        """Wait no more for the inputs of jobs that are over."""
        for job, values in freed:
            if values is None:
                self._awaited.pop(job, None)

    def leave(self, number: int, express: bool, values: Sequence[ValueKey]) -> None:
        """Take it that values which a batch is to fetch are lost, unless they come shortly.

        The worker that had them is gone. Where its machine is too, it would take long until their
        loss is noticed.
        """
        self._gone.setdefault((express, number), set()).update(values)

    def _arrays(
        self, batch: Batch, carried: Sequence[Any], called_off: Callable[[], bool]
    ) -> Found | None:
        references = [*dict.fromkeys(map(_reference, filter(self._is_awaited, carried)))]
        if not references:
            return list(carried)
        coming, given_up, until_s = self._threads.submit(self._get, references), 0, 0.0
        while not called_off():
            try:
                found = dict(zip(references, coming.result(LOOK_S), strict=True))
            except TimeoutError:
                gone = self._gone.get((batch.express, batch.number), set())
                if len(gone) > given_up and not until_s:
                    until_s = monotonic() + LEAVE_S
                if until_s and monotonic() >= until_s:
                    given_up, until_s = len(gone), 0.0
                    references = self._without(references, batch, carried, gone)
                    coming = self._threads.submit(self._get, references)
                continue
            return [_taken(item, found) if self._is_awaited(item) else item for item in carried]
        coming.cancel()
        return None

    def _without(
        self, references: Sequence[Any], batch: Batch, carried: Sequence[Any], gone: set[ValueKey]
    ) -> list[Any]:
        """The references but those of values that are gone."""
        values = zip(batch.fetched, carried[len(carried) - len(batch.fetched) :], strict=True)
        lost = {_reference(item) for key, item in values if key in gone and self._is_awaited(item)}
        return [reference for reference in references if reference not in lost]

    def _is_awaited(self, item: Any) -> bool:
        return isinstance(item, Packed) or self._is_reference(item)


def _reference(item: Any) -> Any:
    return item.reference if isinstance(item, Packed) else item


def _taken(item: Any, found: Mapping[Any, Any]) -> NDArray | None:
    """What a reference names, or its share of that; None where it is lost."""
    if not isinstance(item, Packed):
        array: NDArray | None = found.get(item)
        return array
    group = found.get(item.reference)
    return None if group is None else group[item.position]
