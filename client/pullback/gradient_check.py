"""Tests derivatives against numbers: central differences, and the dot product of the two modes.

For a random direction v and random cotangents u, J v must be the slope of the function along v, and
<u, J v> = <J' u, v>. Order 2 does the same to the function that gives J' u.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from pullback.call import Wrt, at_point
from pullback.local_service import local
from pullback.tracing.arguments import Parameters
from pullback_graph.derivative import vjp
from pullback_graph.errors import NonFiniteError, PullbackError
from pullback_graph.graph import Graph
from pullback_graph.job import NDArray
from pullback_graph.types import real_dtype
from pullback_graph.want import Jvp, Vjp, seed_name

Arrays: TypeAlias = Mapping[str, NDArray]

TOLERANCES = {"float64": 1e-6, "float32": 1e-2}
"""Relative difference allowed, by the least precise dtype of (parts of) the inputs."""
STEPS = {"float64": 1e-3, "float32": 3e-2}
"""Step of the differences, relative to the size of the inputs: the fifth root of the precision."""


class GradientMismatch(PullbackError):
    """A derivative and its check differ by more than the tolerance."""


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison.

    Attributes:
        what: `central difference` or `dot product`.
        order: 1 for the function, 2 for its gradient.
        input: the input whose direction was taken; empty for all together.
        expected: what the check gives; `found`: what the derivative gives.
    """

    what: str
    order: int
    input: str
    expected: float
    found: float
    scale: float

    @property
    def error(self) -> float:
        """The difference, relative to the size of the numbers it was made of."""
        return abs(self.expected - self.found) / self.scale if self.scale else 0.0


@dataclass(frozen=True, slots=True)
class GradientReport:
    """What was compared, and how far apart it was."""

    checks: tuple[Check, ...]
    tolerance: float

    @property
    def worst(self) -> Check:
        """The comparison with the largest error."""
        return max(self.checks, key=lambda check: check.error)

    def __str__(self) -> str:
        worst = self.worst
        return (
            f"{len(self.checks)} comparisons within {self.tolerance:g}; the worst is "
            f"{worst.error:.2g} ({worst.what}, order {worst.order})"
        )


def check_gradient(
    function: Callable[..., Any],
    /,
    *args: Any,
    wrt: Wrt = None,
    order: int = 2,
    seed: int = 0,
    tolerance: float | None = None,
    service: Any = None,
    **keywords: Any,
) -> GradientReport:
    """Check the derivatives of a function at its arguments.

    Args:
        wrt: the arguments to check, as in `grad`; the first where None.
        order: 1 for the first derivatives alone, 2 for the second ones too.
        seed: of the random directions.
        tolerance: relative; from the dtype where None.
        service: what computes the derivatives; this process where None.

    Raises:
        GradientMismatch: a derivative is wrong, or the function is not smooth there; the message
            names the input and both numbers.
        NonFiniteError: a value or a derivative is not finite.
        NotDifferentiable: an argument is not floating, or something has no derivative.
    """
    point = at_point(function, Parameters(function), args, keywords, wrt)
    inputs = {name: np.asarray(array) for name, array in point.inputs.items()}
    names = [real_dtype(inputs[name].dtype).name for name in point.names]
    coarsest = "float32" if "float32" in names else "float64"
    checker = _Checker(
        evaluate=(service or local()).evaluate,
        names=point.names,
        random=np.random.default_rng(seed),
        step=STEPS[coarsest],
        tolerance=TOLERANCES[coarsest] if tolerance is None else tolerance,
    )
    outputs = [name for name, _ in filter(None, point.result_types)]
    checks = checker.check(point.traced.graph, inputs, outputs, order=1, last=order)
    return GradientReport(tuple(checks), checker.tolerance)


@dataclass(frozen=True, slots=True)
class _Place:
    """A graph at its inputs: what it gives there, and the random cotangents of that."""

    graph: Graph
    inputs: Arrays
    values: Arrays
    cotangents: Arrays
    order: int

    def scale(self, tangents: Arrays) -> float:
        """The size that errors are relative to: of |u| |J v|, but not less than rounding allows."""
        pairs = [
            (_norm(u), _norm(tangents[n]), _norm(self.values[n]))
            for n, u in self.cotangents.items()
        ]
        return max(sum([u * max(t, 1e-3 * f) for u, t, f in pairs]), 1e-12)


@dataclass(frozen=True, slots=True)
class _Checker:
    """Compares derivatives of graphs by the inputs `names` with their checks."""

    evaluate: Callable[..., Any]
    names: tuple[str, ...]
    random: np.random.Generator
    step: float
    tolerance: float

    def check(
        self, graph: Graph, inputs: Arrays, outputs: Sequence[str], order: int, last: int
    ) -> list[Check]:
        """Every comparison of orders `order` to `last`."""
        values = self.evaluate(graph, inputs).outputs
        cotangents = {name: self._like(values[name]) for name in outputs}
        at = _Place(graph, inputs, values, cotangents, order)
        checks = [self._slope(at, name) for name in self.names if inputs[name].size]
        checks.append(self._dot(at))
        for check in checks:
            self._judge(check)
        if order >= last:
            return checks
        second = _pullback_of(graph, self.names, tuple(outputs))
        seeds = {seed_name(0, name): array for name, array in cotangents.items()}
        return checks + self.check(
            second, {**inputs, **seeds}, second.output_names, order + 1, last
        )

    def _slope(self, at: _Place, name: str) -> Check:
        """<u, J v> for a direction in one input, against differences of <u, f>."""
        origin = at.inputs[name]
        direction = self._like(origin)
        tangents = self._tangents(at, {name: direction})
        step = self.step * float(np.abs(origin).max(initial=1.0))

        def along(distance: float) -> float:
            moved = origin + direction.dtype.type(distance) * direction
            outputs = self.evaluate(at.graph, {**at.inputs, name: moved}).outputs
            return _inner(at.cotangents, outputs)

        # Richardson's extrapolation of two central differences: the error is of fourth order.
        near, far = along(step) - along(-step), along(2 * step) - along(-2 * step)
        expected = (8 * near - far) / (12 * step)
        found = _inner(at.cotangents, tangents)
        return Check("central difference", at.order, name, expected, found, at.scale(tangents))

    def _dot(self, at: _Place) -> Check:
        """<u, J v> by forward mode against <J' u, v> by reverse mode, all inputs together."""
        directions = {name: self._like(at.inputs[name]) for name in self.names}
        tangents = self._tangents(at, directions)
        want = Vjp(self.names, (tuple(at.cotangents),))
        seeds = (at.cotangents,)
        pulled = self.evaluate(at.graph, at.inputs, want=want, seeds=seeds).seed(0)
        forward, reverse = _inner(at.cotangents, tangents), _inner(directions, pulled)
        return Check("dot product", at.order, "", forward, reverse, at.scale(tangents))

    def _tangents(self, at: _Place, directions: Arrays) -> Arrays:
        want = Jvp((tuple(directions),))
        reply = self.evaluate(at.graph, at.inputs, want=want, seeds=(directions,))
        tangents: Arrays = reply.seed(0)
        return {name: tangents[name] for name in at.cotangents}

    def _like(self, array: NDArray) -> NDArray:
        """A random direction of an array's shape and dtype, of entries about one."""
        parts: Any = self.random.standard_normal(array.shape)
        if array.dtype.kind == "c":
            parts = parts + 1j * self.random.standard_normal(array.shape)
        return np.asarray(parts, array.dtype)

    def _judge(self, check: Check) -> None:
        whose = f"input {check.input!r}" if check.input else "the inputs"
        if not np.isfinite([check.expected, check.found]).all():
            raise NonFiniteError(
                f"order {check.order}, {whose}: the {check.what} is {check.expected} and the "
                f"derivative {check.found}; check it where both are finite",
                field=check.input,
            )
        if not check.error <= self.tolerance:
            raise GradientMismatch(
                f"order {check.order}, {whose}: the {check.what} gives {check.expected:.10g}, the "
                f"derivative {check.found:.10g} (error {check.error:.2g}, tolerance "
                f"{self.tolerance:g}); the derivative is wrong, or the function has a kink there",
                field=check.input,
            )


def _pullback_of(graph: Graph, wrt: tuple[str, ...], outputs: tuple[str, ...]) -> Graph:
    """The graph that gives J' u alone, with u as inputs."""
    made = vjp(graph, wrt, (outputs,))
    whole = made.graph
    return Graph(whole.inputs, whole.constants, whole.nodes, whole.outputs[made.value_count :])


def _inner(x: Arrays, y: Arrays) -> float:
    """The sum of products; of complex arrays its real part, without a conjugate."""
    return float(sum([np.dot(_double(x[name]), _double(y[name])).real for name in x]))


def _norm(x: NDArray) -> float:
    return float(np.linalg.norm(_double(x)))


def _double(x: NDArray) -> NDArray:
    return x.astype(np.complex128 if x.dtype.kind == "c" else np.float64).reshape(-1)
