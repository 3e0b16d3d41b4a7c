"""From what a job wants to the one graph that computes it: differentiated and simplified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pullback_graph.builder import Builder, Check, copy_inputs, copy_values
from pullback_graph.derivative import transforms
from pullback_graph.derivative.certificate import certified
from pullback_graph.derivative.draft import VALUES, Differentiated, MakeBuilder, Mode
from pullback_graph.derivative.hessian import hessian
from pullback_graph.derivative.jacobian import Search, jacobian
from pullback_graph.graph import Graph, Input
from pullback_graph.pattern import Pattern, SparseArray
from pullback_graph.rewrite import Fold, rewriter
from pullback_graph.rewrite.factor_sharing import with_shared_factors
from pullback_graph.sparsity import Evaluate
from pullback_graph.want import (
    DerivativeKey,
    Gradient,
    Hessian,
    Hvp,
    Jacobian,
    Jvp,
    Names,
    Value,
    Vjp,
    Want,
)

MAX_LOWERED_NODES = 4_000_000
"""Nodes of the graph that computes a job: the largest graph taken, with its gradient, has fewer."""


@dataclass(frozen=True, slots=True)
class Lowered:
    """A graph ready to plan and run.

    Attributes:
        graph: inputs are the job's, then seeds; outputs are `value_count` values, then derivatives.
        derivatives: what each further output is.
        independent: names in `wrt` that nothing wanted depends on; their derivatives are zeros.
        adjoints: how many adjoints the reverse pass finished.
        directions: names of the inputs that take a certificate's directions, after all others.
        certified: whether the last outputs are those of a certificate.
        mode: how the derivatives are computed, and why so.
        patterns: of sparse derivatives, whose outputs are the values at their places; else empty.
    """

    graph: Graph
    value_count: int
    derivatives: tuple[DerivativeKey, ...]
    independent: Names = ()
    adjoints: int = 0
    directions: Names = ()
    certified: bool = False
    mode: Mode = VALUES
    patterns: tuple[Pattern, ...] = ()

    @property
    def job_inputs(self) -> tuple[Input, ...]:
        """The inputs that the job brings: all but a certificate's directions."""
        inputs = self.graph.inputs
        return inputs[: len(inputs) - len(self.directions)]

    def named(self, arrays: Sequence[Any]) -> dict[DerivativeKey, Any]:
        """Derivatives by key, from the arrays behind the values; sparse ones with their pattern."""
        if self.patterns:
            arrays = [SparseArray(p, x) for p, x in zip(self.patterns, arrays, strict=True)]
        return dict(zip(self.derivatives, arrays, strict=True))


def lower(
    graph: Graph,
    want: Want,
    *,
    fold: Fold | None = None,
    check: Check | None = None,
    certificate: bool = False,
) -> Lowered:
    """Differentiate `graph` for `want` and simplify, in one sweep through a rewriting builder.

    Args:
        fold: evaluates nodes whose operands are constants, and those that move elements where a
            Jacobian's zeros are looked for; None leaves them.
        check: called now and then; what it raises ends the work.
        certificate: whether to compare the two modes on one direction besides.

    Raises:
        NotDifferentiable: a derivative was asked for where there is none.
        InputError: a name in the want is not in the graph, or a certificate has no derivative.
        LimitExceeded: it would take too many nodes or passes.
    """

    def make_builder() -> Builder:
        return Builder(reuse=True, rewrite=rewriter(fold), max_nodes=MAX_LOWERED_NODES, check=check)

    made = differentiated(graph, want, make_builder, fold)
    directions: Names = ()
    if certificate:
        made, directions = certified(graph, want, made, make_builder)
    return Lowered(
        with_shared_factors(made.graph),
        made.value_count,
        made.keys,
        made.independent,
        made.adjoints,
        directions,
        certified=certificate,
        mode=made.mode,
        patterns=made.patterns,
    )


def differentiated(
    graph: Graph, want: Want, make_builder: MakeBuilder, evaluate: Evaluate | None = None
) -> Differentiated:
    """What is wanted of `graph`, through builders made by `make_builder`.

    Args:
        evaluate: runs a node, where a Jacobian's zeros are looked for.
    """
    search = Search(evaluate)
    match want:
        case Value(outputs):
            return _values(graph, outputs, make_builder)
        case Gradient(wrt, output):
            return transforms.gradient(graph, wrt, output, make_builder)
        case Vjp(wrt, seeds):
            return transforms.vjp(graph, wrt, seeds, make_builder)
        case Jvp(seeds):
            return transforms.jvp(graph, seeds, make_builder)
        case Hvp(wrt, seeds, output):
            return transforms.hvp(graph, wrt, seeds, output, make_builder)
        case Jacobian(wrt, outputs, sparse):
            return jacobian(graph, wrt, outputs, make_builder, sparse=sparse, search=search)
        case Hessian(wrt, output, sparse):
            return hessian(graph, wrt, output, make_builder, sparse=sparse, search=search)


def _values(graph: Graph, names: Names, make_builder: MakeBuilder) -> Differentiated:
    positions = [graph.output_index(name) for name in names or graph.output_names]
    builder = make_builder()
    values = copy_values(builder, graph, copy_inputs(builder, graph))
    chosen = [graph.outputs[i] for i in positions]
    built = builder.build([(item.name, values[item.value]) for item in chosen])
    return Differentiated(built, len(chosen), ())
