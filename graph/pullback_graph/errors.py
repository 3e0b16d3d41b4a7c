"""The error tree every room shares: blame is a type, and a class knows its gRPC status name.

PullbackError
  RequestError            yours to fix            INVALID_ARGUMENT
    GraphError            malformed graph: cycle, bad index, bad name
      ParseError          the text form does not parse
      UnknownOp           an operator the table has not
      ArityError          a wrong number of operands
      AttributeFault      a missing, unknown or ill-typed attribute
    ShapeError            shapes that do not fit
    DTypeError            dtypes that do not fit
    InputError            a missing, unknown or ill-typed input
    NotDifferentiable     an integer input, or a row without a derivative, in the way
    UnknownResult         a name by which a job gave no result; a KeyError too
    TraceError            Python code that cannot be traced
    WireError             bytes that do not decode
    NotFoundError         a fingerprint or hash sent before is not here   NOT_FOUND
    UnsupportedError      valid, but not offered by this server           UNIMPLEMENTED
    LimitExceeded         over a stated limit                             RESOURCE_EXHAUSTED
  ExecutionError          the computation failed  INTERNAL
    NonFiniteError        NaN or infinity where none was allowed
    OutOfMemory           the computation did not fit
  ServiceError            try again               UNAVAILABLE
    DeadlineExceeded      the deadline passed     DEADLINE_EXCEEDED
    Cancelled             the caller went away    CANCELLED   (a CancelledError of futures too)
"""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import ClassVar, NamedTuple


class Stop(NamedTuple):
    """How a job ended on its workers after it was called off, by its caller or its deadline.

    Attributes:
        stopped_s: seconds from then until nothing of it ran any more.
        wasted_s: worker seconds spent in it, of which nothing came.
        workers_killed: workers that had to be ended because a task of it ran on.
    """

    stopped_s: float
    wasted_s: float
    workers_killed: int = 0

    def __str__(self) -> str:
        killed = f", {self.workers_killed} workers had to be killed" if self.workers_killed else ""
        return (
            f"it stopped {self.stopped_s:.3g} s after that, {self.wasted_s:.3g} worker seconds "
            f"were wasted{killed}"
        )


class PullbackError(Exception):
    """Root of the tree; catching it catches everything Pullback raises on purpose."""

    status: ClassVar[str] = "UNKNOWN"
    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str, *, field: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        """Path of the request field or graph node at fault, such as `graph.nodes[17]`."""
        self.retry_after_s = retry_after_s
        """How long to wait before trying again, where whoever raised it can tell."""
        self.stop: Stop | None = None
        """When and how the job ended on its workers, where it was called off and that is known."""


class RequestError(PullbackError):
    """The request is at fault; sending it again unchanged cannot help."""

    status = "INVALID_ARGUMENT"


class GraphError(RequestError):
    """The graph is malformed."""


class ParseError(GraphError):
    """The text form does not parse."""


class UnknownOp(GraphError):
    """The operator table has no such row."""


class ArityError(GraphError):
    """An operator got a wrong number of operands."""


class AttributeFault(GraphError):
    """An attribute is missing, unknown or of the wrong kind."""


class ShapeError(RequestError):
    """Shapes do not fit each other or the operator."""


class DTypeError(RequestError):
    """Dtypes do not fit each other or the operator."""


class InputError(RequestError):
    """An input of the job is missing, unknown or of the wrong type."""


class NotDifferentiable(RequestError):
    """A derivative was asked for where none exists."""


class UnknownResult(RequestError, KeyError):
    """A result was looked up by a name that the job gave none by; the message lists those it did.

    Also a KeyError, as what looks names up in a mapping expects.
    """

    def __str__(self) -> str:
        return self.message  # of a KeyError it would be quoted


class TraceError(RequestError):
    """Python code did something a traced array cannot follow."""


class WireError(RequestError):
    """Bytes do not decode to what the field holds."""


class NotFoundError(RequestError):
    """A graph or tensor named by its hash is not (or no longer) stored here."""

    status = "NOT_FOUND"


class UnsupportedError(RequestError):
    """A valid request that this server does not offer."""

    status = "UNIMPLEMENTED"


class LimitExceeded(RequestError):
    """More was asked than a limit allows."""

    status = "RESOURCE_EXHAUSTED"


class ExecutionError(PullbackError):
    """The computation itself failed."""

    status = "INTERNAL"


class NonFiniteError(ExecutionError):
    """A NaN or an infinity stood where the job allowed none."""


class OutOfMemory(ExecutionError):
    """The computation did not fit in memory."""


class ServiceError(PullbackError):
    """The service could not take or finish the job; trying again can help."""

    status = "UNAVAILABLE"
    retryable = True


class DeadlineExceeded(ServiceError):
    """The job's deadline passed before its result was there."""

    status = "DEADLINE_EXCEEDED"
    retryable = False


class Cancelled(ServiceError, CancelledError):
    """The job was cancelled before its result was there."""

    status = "CANCELLED"
    retryable = False


def _tree(root: type[PullbackError]) -> list[type[PullbackError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in _tree(child))]


ERRORS: dict[str, type[PullbackError]] = {kind.__name__: kind for kind in _tree(PullbackError)}
"""Every class of the tree by name: what the wire carries, and what the client raises again."""
