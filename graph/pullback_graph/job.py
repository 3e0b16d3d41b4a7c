"""A job and its result as plain data, for the clients, the codec and the server alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from pullback_graph.bad_node import BadNode
from pullback_graph.graph import Graph
from pullback_graph.named_results import NamedResults
from pullback_graph.tape import Tape
from pullback_graph.timeline import FRONT_END, TaskSpan
from pullback_graph.want import DerivativeKey, Value, Want

NDArray: TypeAlias = "np.ndarray[Any, Any]"


class TensorHash(NamedTuple):
    """A tensor sent before, named by the SHA-256 of its canonical bytes (64 hex digits)."""

    sha256: str


class GraphHash(NamedTuple):
    """A graph sent before, named by its fingerprint (64 hex digits)."""

    fingerprint: str


Tensor: TypeAlias = "NDArray | TensorHash"


@dataclass(frozen=True, slots=True)
class Split:
    """A way to split: `auto`, `none`, `shard`, `branch` or `stage`; count 0 is the planner's."""

    kind: str = "auto"
    count: int = 0

    def __str__(self) -> str:
        return f"{self.kind}({self.count})" if self.count else self.kind


@dataclass(frozen=True, slots=True)
class Options:
    """How to run a job; the defaults let the service decide."""

    deadline_s: float | None = None
    priority: int = 0
    executor: str = "auto"
    device: str = "auto"
    """`gpu` has every task on a worker with one, compiled by XLA; `auto` asks for none."""
    split: Split = Split()
    reproducible: bool = False
    memory_cap_bytes: int | None = None
    check: str = "none"
    """What a NaN or an infinity in a result does: `none`, `finite` (the job fails, naming the first
    node that made one) or `report` (the metrics name it)."""
    certificate: bool = False
    """Compare forward and reverse mode on one direction; the metrics have the relative error."""
    timeline: bool = False
    """The metrics say which worker ran each task, and when."""


@dataclass(frozen=True, slots=True)
class Job:
    """One request: a graph or tape, its inputs, what is wanted of it, and how."""

    graph: Graph | Tape | GraphHash
    inputs: Mapping[str, Tensor]
    want: Want = field(default_factory=Value)
    seeds: tuple[Mapping[str, Tensor], ...] = ()
    options: Options = field(default_factory=Options)
    id: str = ""


@dataclass(slots=True)
class Metrics:
    """What a job cost. Seconds by phase; `fused_s` where forward and backward were one program."""

    queued_s: float = 0.0
    planning_s: float = 0.0
    compiling_s: float = 0.0
    forward_s: float = 0.0
    backward_s: float = 0.0
    fused_s: float = 0.0
    reducing_s: float = 0.0
    transferring_s: float = 0.0
    total_s: float = 0.0
    nodes: int = 0
    adjoint_evaluations: int = 0
    flops: float = 0.0
    peak_bytes: int = 0
    moved_bytes: int = 0
    """Inputs and values that workers were given to read, and results they handed back."""
    network_bytes: int = 0
    """Of these, what went from one machine to another."""
    tasks: int = 1
    workers: int = 0
    """Ray workers that ran a task; 0 where the front end ran the job itself."""
    retries: int = 0
    executor: str = ""
    executor_reason: str = ""
    split: str = ""
    split_reason: str = ""
    mode: str = ""
    """How a derivative is computed: `forward`, `reverse`, `sparse forward`, ..."""
    mode_reason: str = ""
    program_cache_hit: bool = False
    graph_cache_hit: bool = False
    tensor_cache_hits: int = 0
    digest: str = ""
    recompute_factor: float = 0.0
    """Work over that without a memory cap; 0 where nothing is computed again."""
    timeline_omitted: int = 0
    """Tasks that `timeline` has no room for."""
    independent_inputs: tuple[str, ...] = ()
    non_finite: Mapping[str, int] = field(default_factory=dict)
    """Count of NaN and infinities per input or output that held any."""
    bad_node: BadNode | None = None
    """Where they came from, where a check asked for it."""
    certificate_error: float | None = None
    """Relative difference of <v, J u> and <J' v, u>, where the job asked for it."""
    timeline: tuple[TaskSpan, ...] = ()
    """When and where each task ran, where the job asked for it."""

    def note_run(self, spent_s: float, *, is_derivative: bool) -> None:
        """Note the seconds of one program that did all there was to do."""
        if is_derivative:
            self.fused_s = spent_s
        else:
            self.forward_s = spent_s

    def note_one_task(self, start_s: float) -> None:
        """The timeline of a job that was one task here, whose seconds are noted."""
        phase, spent_s = "fused" if self.fused_s else "forward", self.fused_s + self.forward_s
        end_s = start_s + spent_s
        span = TaskSpan(0, phase, FRONT_END, start_s, end_s, executor=self.executor)
        self.timeline = (span,)


@dataclass(frozen=True, slots=True)
class Result:
    """Values, derivatives and metrics of one job.

    A look-up by a name that there is not raises UnknownResult, which says what there is.
    Sparse derivatives are a `SparseArray` here, and what the clients make of it in their results.
    """

    outputs: dict[str, NDArray]
    derivatives: dict[DerivativeKey, Any]
    metrics: Metrics
    id: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "outputs", NamedResults("output", self.outputs))
        object.__setattr__(self, "derivatives", NamedResults("derivative", self.derivatives))

    @property
    def gradients(self) -> dict[str, Any]:
        """Arrays by input name: the gradient, or the first seed's vjp or hvp."""
        first = {k: v for k, v in self.derivatives.items() if k.seed == 0 and not k.second_input}
        return NamedResults("gradient", {k.input: v for k, v in first.items() if k.input})

    @property
    def jacobians(self) -> dict[tuple[str, str], Any]:
        """Arrays of shape output.shape + input.shape by (output, input), or sparse matrices."""
        found = {k: v for k, v in self.derivatives.items() if not k.second_input}
        return NamedResults("jacobian", {(k.output, k.input): v for k, v in found.items()})

    @property
    def hessians(self) -> dict[tuple[str, str], Any]:
        """Arrays of shape first.shape + second.shape by (first input, second input), or sparse."""
        pairs = {k: v for k, v in self.derivatives.items() if k.second_input}
        return NamedResults("hessian", {(k.input, k.second_input): v for k, v in pairs.items()})

    def seed(self, number: int) -> dict[str, Any]:
        """One seed's arrays: by input name (vjp, hvp) or output name (jvp)."""
        chosen = {k: v for k, v in self.derivatives.items() if k.seed == number}
        title = f"derivative of seed {number} for"
        return NamedResults(title, {k.input or k.output: v for k, v in chosen.items()})
