"""Arrays on their way to a worker: waited for in a thread of its own, so that waiting can end.

No Ray here: what gets arrays, and what tells a reference, is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeAlias

from pullback_worker.batch import Batch, Freed, InputOperand, Packed
from pullback_worker.executor import NDArray

LOOK_S = 0.05
"""How often it is looked whether arrays are still waited for."""
THREADS = 3
"""Two batches run at once, and one may still wait for what nobody wants any more."""

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
        found = self._arrays([*inputs.values(), *carried[count:]], called_off)
        if found is None:
            return None
        self._awaited.pop(batch.job, None)
        return Fetched(tuple(inputs), found)

    def free(self, freed: Sequence[Freed]) -> None:
        """Wait no more for the inputs of jobs that are over."""
        for job, values in freed:
            if values is None:
                self._awaited.pop(job, None)

    def _arrays(self, carried: Sequence[Any], called_off: Callable[[], bool]) -> Found | None:
        references = [*dict.fromkeys(map(_reference, filter(self._is_awaited, carried)))]
        if not references:
            return list(carried)
        coming = self._threads.submit(self._get, references)
        while not called_off():
            try:
                found = dict(zip(references, coming.result(LOOK_S), strict=True))
            except TimeoutError:
                continue
            return [_taken(item, found) if self._is_awaited(item) else item for item in carried]
        coming.cancel()
        return None

    def _is_awaited(self, item: Any) -> bool:
        return isinstance(item, Packed) or self._is_reference(item)


def _reference(item: Any) -> Any:
    return item.reference if isinstance(item, Packed) else item


def _taken(item: Any, found: Mapping[Any, Any]) -> NDArray | None:
    """What a reference names, or its share of that; None where it is lost."""
    if not isinstance(item, Packed):
        array: NDArray | None = found[item]
        return array
    group = found[item.reference]
    return None if group is None else group[item.position]
