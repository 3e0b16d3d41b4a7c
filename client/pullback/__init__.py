"""Pullback's client: trace functions, and have their derivatives computed here or by a service.

In short:

    import pullback as pb
    import pullback.numpy as np

    def loss(w, x, y):
        return np.mean((x @ w - y) ** 2)

    value, gradient = pb.value_and_grad(loss, wrt="w")(w, x, y)     # in this process
    with pb.connect("localhost:50051") as service:                  # or far away
        value, gradient = service.value_and_grad(loss, wrt="w")(w, x, y)
"""

from pullback import fft, lax, linalg, nn, numpy, random, special
from pullback.connection import aconnect, connect
from pullback.functions import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from pullback.gradient_check import GradientMismatch, GradientReport, check_gradient
from pullback.local_service import LocalService, local
from pullback.remote.retry import RetryPolicy
from pullback.tape import Tape
from pullback.tracing import TracedArray, trace
from pullback.vectorized import vmap
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
from pullback_graph.graph import Graph
from pullback_graph.job import GraphHash, Job, Metrics, Options, Result, Split, TensorHash
from pullback_graph.text import parse
from pullback_graph.want import (
    DerivativeKey,
    Gradient,
    Hessian,
    Hvp,
    Jacobian,
    Jvp,
    Value,
    Vjp,
)

__all__ = [
    "ArityError",
    "AttributeFault",
    "Cancelled",
    "DTypeError",
    "DeadlineExceeded",
    "DerivativeKey",
    "ExecutionError",
    "Gradient",
    "GradientMismatch",
    "GradientReport",
    "Graph",
    "GraphError",
    "GraphHash",
    "Hessian",
    "Hvp",
    "InputError",
    "Jacobian",
    "Job",
    "Jvp",
    "LimitExceeded",
    "LocalService",
    "Metrics",
    "NonFiniteError",
    "NotDifferentiable",
    "NotFoundError",
    "Options",
    "OutOfMemory",
    "ParseError",
    "PullbackError",
    "RequestError",
    "Result",
    "RetryPolicy",
    "ServiceError",
    "ShapeError",
    "Split",
    "Tape",
    "TensorHash",
    "TraceError",
    "TracedArray",
    "UnknownOp",
    "UnknownResult",
    "UnsupportedError",
    "Value",
    "Vjp",
    "WireError",
    "aconnect",
    "check_gradient",
    "connect",
    "fft",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "lax",
    "linalg",
    "local",
    "nn",
    "numpy",
    "parse",
    "random",
    "special",
    "trace",
    "value_and_grad",
    "vjp",
    "vmap",
]
