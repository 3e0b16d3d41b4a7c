"""A job as it arrives, serialised, and as it is answered: what the front end's parts pass about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from time import perf_counter

from pullback_graph.codec.messages import fields_within
from pullback_graph.job import Job, Metrics, NDArray
from pullback_graph.want import want_name
from pullback_proto.v1 import job_pb2
from pullback_server.front_end.job_flag import JobFlag
from pullback_worker.executor import CancelFlag

_ID_TAG = job_pb2.Job.ID_FIELD_NUMBER << 3 | 2
ID_FIELDS = 64
"""Fields that are looked through for a job's id."""
_GRAPH_TAG, _TAPE_TAG = bytes([0x12]), bytes([0x1A])


@dataclass(slots=True, eq=False)
class Arrival:
    """A serialised job, when it came, and what is known of it so far.

    Attributes:
        received_s: `perf_counter()` when its bytes arrived.
        want: the want's name once decoded, for counting; `unknown` before.
        client: whose it is: workers are shared evenly between clients.
        apart: arrays that came beside the job.
        in_parts: whether large arrays of its result may leave beside the result.
        state: `queued`, `planning` or `running`, for counting.
        on_cluster: whether the dispatcher has it, which says how it ended.
        is_answered: whether its reply is on its way; there is one.
        size_bytes: what it takes to hold the request.
    """

    data: bytes
    deadline_s: float | None = None
    caller: CancelFlag | None = None
    position: int = 0
    received_s: float = field(default_factory=perf_counter)
    id: str = ""
    want: str = "unknown"
    state: str = "queued"
    client: str = ""
    priority: int = 0
    apart: Sequence[NDArray] = ()
    in_parts: bool = False
    on_cluster: bool = False
    is_answered: bool = False
    flag: JobFlag = field(init=False)
    size_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.flag = JobFlag(self.deadline_s, self.caller)
        self.size_bytes = len(self.data) + sum([array.nbytes for array in self.apart])

    def is_of(self, job: Job) -> None:
        """Note what the decoded job says of itself."""
        self.id, self.want = job.id, want_name(job.want)
        self.priority = job.options.priority
        if job.options.deadline_s is not None:
            spent_s = perf_counter() - self.received_s
            self.flag.end_within(job.options.deadline_s - spent_s)


def unanswered(arrivals: Iterable[Arrival]) -> list[Arrival]:
    """Those that have no reply yet."""
    return [arrival for arrival in arrivals if not arrival.is_answered]


def bytes_of(arrivals: Sequence[Arrival]) -> int:
    """What it takes to hold several."""
    return sum([arrival.size_bytes for arrival in arrivals])


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished job: its metrics, its serialised JobResult, and its graph's fingerprint.

    Attributes:
        apart: arrays whose elements are not in the JobResult.
    """

    metrics: Metrics
    data: bytes
    fingerprint: str = ""
    apart: Sequence[NDArray] = ()


def brings_graph(data: bytes) -> bool:
    """Whether a serialised job has its graph in it, judged by its first fields.

    A guess, so that the event loop need not parse: a wrong one costs a visit to a process, which
    hands back what it can't do.
    """
    return _after_id(data) == _GRAPH_TAG


def brings_tape(data: bytes) -> bool:
    """Whether a serialised job has a tape in it; a guess, as `brings_graph` is."""
    return _after_id(data) == _TAPE_TAG


def id_in(data: bytes) -> str:
    """The id in a serialised job that nobody has parsed; empty where it is not among the first."""
    id = b""
    try:
        for tag, start, end in islice(fields_within(data, 0, len(data)), ID_FIELDS):
            if tag == _ID_TAG:
                id = data[start:end]
        return id.decode()
    except (LookupError, UnicodeDecodeError):  # it does not parse: nobody knows whose it is
        return ""


def _after_id(data: bytes) -> bytes:
    """The tag of a serialised job's first field after its id."""
    if data[:1] == bytes([_ID_TAG]) and len(data) > 1 and data[1] < 0x80:
        return data[2 + data[1] : 3 + data[1]]
    return data[:1]
