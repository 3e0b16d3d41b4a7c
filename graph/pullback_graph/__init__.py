"""The graph language: typed graphs of arrays, their operators, and what a job is.

What stands here is the room's surface; derivatives, rewriting, the text form and the wire codec are
modules of their own, imported where they are needed.
"""

from __future__ import annotations

from pullback_graph.builder import Builder
from pullback_graph.errors import (
    ArityError,
    AttributeFault,
    Cancelled,
    DeadlineExceeded,
    DTypeError,
    ExecutionError,
    GraphError,
    InputError,
    LimitExceeded,
    NonFiniteError,
    NotDifferentiable,
    NotFoundError,
    OutOfMemory,
    ParseError,
    PullbackError,
    RequestError,
    ServiceError,
    ShapeError,
    TraceError,
    UnknownOp,
    UnknownResult,
    UnsupportedError,
    WireError,
)
from pullback_graph.graph import Graph, Input, Node, Output
from pullback_graph.job import (
    GraphHash,
    Job,
    Metrics,
    Options,
    Result,
    Split,
    TensorHash,
)
from pullback_graph.limits import Limits
from pullback_graph.op import Op
from pullback_graph.ref import Ref, do
from pullback_graph.table import OP_TABLE_VERSION, OPS
from pullback_graph.types import DTYPES, ArrayType
from pullback_graph.want import (
    DerivativeKey,
    Gradient,
    Hessian,
    Hvp,
    Jacobian,
    Jvp,
    Value,
    Vjp,
    Want,
)

__all__ = [
    "DTYPES",
    "OPS",
    "OP_TABLE_VERSION",
    "ArityError",
    "ArrayType",
    "AttributeFault",
    "Builder",
    "Cancelled",
    "DTypeError",
    "DeadlineExceeded",
    "DerivativeKey",
    "ExecutionError",
    "Gradient",
    "Graph",
    "GraphError",
    "GraphHash",
    "Hessian",
    "Hvp",
    "Input",
    "InputError",
    "Jacobian",
    "Job",
    "Jvp",
    "LimitExceeded",
    "Limits",
    "Metrics",
    "Node",
    "NonFiniteError",
    "NotDifferentiable",
    "NotFoundError",
    "Op",
    "Options",
    "OutOfMemory",
    "Output",
    "ParseError",
    "PullbackError",
    "Ref",
    "RequestError",
    "Result",
    "ServiceError",
    "ShapeError",
    "Split",
    "TensorHash",
    "TraceError",
    "UnknownOp",
    "UnknownResult",
    "UnsupportedError",
    "Value",
    "Vjp",
    "Want",
    "WireError",
    "do",
]
