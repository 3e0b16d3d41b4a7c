"""Batches on their way to a worker and reports on their way back, as bytes that Ray passes on.

Ray's own pickler asks Python about every object it meets, which for a small batch takes longer than
all else that a call of an actor does. `pickle` asks about none, and writes what several batches
share once. Large arrays are left to Ray, which does not copy them.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from pullback_worker.batch import Batch, Report
from pullback_worker.executor import NDArray

MOST_BYTES = 80 << 10
"""Of arrays in a parcel: Ray sends arguments and answers of up to 100 KB with the call itself."""
PROTOCOL = 5
"""The first that writes an array's elements without a copy of them."""

Sent: TypeAlias = "tuple[Batch, Sequence[NDArray]]"
"""A batch, and an array for each input that comes along."""
Answered: TypeAlias = "bytes | Sequence[Report]"


def packed(batches: Sequence[Sent]) -> bytes:
    """The parcel of some batches."""
    return pickle.dumps(batches, PROTOCOL)


def unpacked(parcel: bytes) -> Sequence[Sent]:
    """The batches of a parcel, which comes from the dispatcher."""
    batches: Sequence[Sent] = pickle.loads(parcel)
    return batches


def answered(reports: Sequence[Report]) -> Answered:
    """The reports of a parcel's batches; left as they are where their arrays are large."""
    if is_small([array for report in reports for array in report.sent.values()]):
        return pickle.dumps(reports, PROTOCOL)
    return reports


def reports_in(answer: Answered) -> Sequence[Report]:
    """The reports in an answer, which comes from a worker."""
    if not isinstance(answer, bytes):
        return answer
    reports: Sequence[Report] = pickle.loads(answer)
    return reports


def is_small(arrays: Iterable[NDArray]) -> bool:
    """Whether arrays may travel in a parcel, by their size."""
    return sum([array.nbytes for array in arrays]) <= MOST_BYTES
