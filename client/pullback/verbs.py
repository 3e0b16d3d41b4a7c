"""A verb per want, over whatever offers `evaluate`: a service far away, an async one, this process.

A verb builds the want and hands it on; what comes back is what `evaluate` gives, a result or a
coroutine of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar, Unpack

from pullback.job_arguments import AnyGraph, Arrays, Asked, Names, OptionFields, as_names, asked_job
from pullback.many_points import ManyPoints
from pullback_graph.want import Gradient, Hessian, Hvp, Jacobian, Jvp, Value, Vjp

Reply = TypeVar("Reply", covariant=True)


class Verbs(Generic[Reply]):
    """The derivative verbs on graphs. Names are of the graph's inputs (`wrt`) and outputs."""

    def evaluate(
        self,
        graph: AnyGraph,
        inputs: Arrays,
        **asked: Unpack[Asked],
    ) -> Reply:
        """Run one job."""
        raise NotImplementedError

    def evaluate_many(
        self,
        graph: AnyGraph,
        inputs: Arrays,
        *,
        points_at_once: int | None = None,
        **asked: Unpack[Asked],
    ) -> Reply:
        """Run a graph at many points in a few jobs; results have a leading axis of points.

        The differentiated graph is mapped over the points once, and runs on blocks of them: much
        faster than a job for each. `map` is for different graphs, and for errors point by point.

        Args:
            inputs: as for `evaluate`, common to all points; or with a leading axis of points in
                front of what the graph takes. So are `seeds`.
            points_at_once: the most in one block; by default as many as fit in 64 MiB (or in
                `memory_cap_bytes`, where that is less).
            **asked: as for `evaluate`; the deadline is for all points, `certificate` for none.
                With `check`, the first bad point is run again by itself, and the node named.

        Raises:
            InputError: nothing has an axis of points, or two have different numbers of them.
            PullbackError: a block failed, as in `evaluate`; the message says which points.
        """
        job = asked_job(graph, inputs, asked)
        return self._run_many(ManyPoints(job, points_at_once))

    def _run_many(self, many: ManyPoints) -> Reply:
        raise NotImplementedError

    def value(
        self,
        graph: AnyGraph,
        inputs: Arrays,
        outputs: Names = (),
        **options: Unpack[OptionFields],
    ) -> Reply:
        """The outputs named, or all of them: `result.outputs[name]`."""
        return self.evaluate(graph, inputs, want=Value(as_names(outputs)), **options)

    def gradient(
        self,
        graph: AnyGraph,
        inputs: Arrays,
        wrt: Names,
        output: str = "",
        **options: Unpack[OptionFields],
    ) -> Reply:
        """The gradient of one scalar output (the only one, if not named): `result.gradients`."""
        return self.evaluate(graph, inputs, want=Gradient(as_names(wrt), output), **options)

    def vjp(
        self,
        graph: AnyGraph,
        inputs: Arrays,
        wrt: Names,
        *seeds: Arrays,
        **options: Unpack[OptionFields],
    ) -> Reply:
        """Cotangents of `wrt`, for each seed of cotangents by output: `result.seed(0)[name]`."""
        want = Vjp(as_names(wrt), _names_of(seeds))
        return self.evaluate(graph, inputs, want=want, seeds=seeds, **options)

    def jvp(
        self,
        graph: AnyGraph,
        inputs: Arrays,
        *seeds: Arrays,
        **options: Unpack[OptionFields],
    ) -> Reply:
        """Tangents of all outputs, for each seed of tangents by input: `result.seed(0)[name]`."""
        return self.evaluate(graph, inputs, want=Jvp(_names_of(seeds)), seeds=seeds, **options)

    def hvp(
        self,
        graph: AnyGraph,
        inputs: Arrays,
        wrt: Names,
        *seeds: Arrays,
        output: str = "",
        **options: Unpack[OptionFields],
    ) -> Reply:
        """The Hessian of a scalar output times each seed, directions by input: `result.seed(0)`."""
        want = Hvp(as_names(wrt), _names_of(seeds), output)
        return self.evaluate(graph, inputs, want=want, seeds=seeds, **options)

    def jacobian(
        self,
        graph: AnyGraph,
        inputs: Arrays,
        wrt: Names,
        outputs: Names = (),
        *,
        sparse: bool = False,
        **options: Unpack[OptionFields],
    ) -> Reply:
        """Arrays of shape output.shape + input.shape: `result.jacobians[output, input]`.

        With `sparse`, each a `scipy.sparse.csr_array` of output.size rows, input.size columns.
        """
        want = Jacobian(as_names(wrt), as_names(outputs), sparse)
        return self.evaluate(graph, inputs, want=want, **options)

    def hessian(
        self,
        graph: AnyGraph,
        inputs: Arrays,
        wrt: Names,
        output: str = "",
        *,
        sparse: bool = False,
        **options: Unpack[OptionFields],
    ) -> Reply:
        """Arrays of shape first.shape + second.shape: `result.hessians[first, second]`.

        With `sparse`, each a `scipy.sparse.csr_array` of first.size rows, second.size columns.
        """
        want = Hessian(as_names(wrt), output, sparse)
        return self.evaluate(graph, inputs, want=want, **options)


def _names_of(seeds: Sequence[Any]) -> tuple[tuple[str, ...], ...]:
    return tuple([tuple(seed) for seed in seeds])
