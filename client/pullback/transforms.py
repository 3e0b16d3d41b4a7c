"""Derivatives of functions, over any service: `service.value_and_grad(loss, wrt="w")(w, x, y)`.

A transform makes, of each call, a `Call`; the service runs it. One service answers at once, another
with a coroutine, and nothing else differs. Where a name is a verb on graphs too, the first argument
says which is meant.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial, wraps
from typing import Any, TypeAlias

from pullback.call import Arrays, Call, Derivatives, Point, Wrt, at_point, seed_arrays
from pullback.direct_call import MISS, DirectCall
from pullback.job_arguments import GRAPHS
from pullback.tracing.arguments import Parameters
from pullback.verbs import Reply, Verbs
from pullback_graph.errors import InputError
from pullback_graph.job import Result
from pullback_graph.want import Gradient, Hessian, Hvp, Jacobian, Jvp, Value, Vjp

Function: TypeAlias = Callable[..., Any]
DIRECT_KEPT = 4
"""Kinds of arguments that a derivative keeps a short way for."""
Transform: TypeAlias = Callable[[Point, Mapping[str, Any]], Call]
"""A point, and the seeds given with the call -> the job."""


class Transforms(Verbs[Reply]):
    """Derivatives of functions. `wrt`: argument names or positions, one or several, else the first.

    `wrt` names a parameter (`"w"`) or something in it (`"params.layers.0.w"`); a result has the
    structure of the arguments it is for, or is a tuple of them where several are asked for.
    Options (`deadline_s`, `split`, ...) are those of `evaluate`.
    """

    def value_and_grad(
        self, function: Function, wrt: Wrt = None, *, has_aux: bool = False, **options: Any
    ) -> Function:
        """A function that gives `(value, gradient)`; `((value, aux), gradient)` with `has_aux`."""

        def transform(point: Point, seeds: Arrays) -> Call:
            return _gradient(point, has_aux, lambda result, gradient: (result, gradient))

        return self._wrap(function, transform, wrt, options)

    def grad(
        self, function: Function, wrt: Wrt = None, *, has_aux: bool = False, **options: Any
    ) -> Function:
        """A function that gives the gradient; `(gradient, aux)` with `has_aux`."""

        def transform(point: Point, seeds: Arrays) -> Call:
            return _gradient(
                point,
                has_aux,
                lambda result, gradient: (gradient, result[1]) if has_aux else gradient,
            )

        return self._wrap(function, transform, wrt, options)

    def value(self, graph: Any, *args: Any, **keywords: Any) -> Any:
        """Of a function, a function that gives its result, computed by the service.

        Of a graph: as `Verbs.value`.
        """
        if isinstance(graph, GRAPHS):
            return super().value(graph, *args, **keywords)
        return self._wrap(graph, _value, (), keywords)

    def jacobian(self, graph: Any, *args: Any, sparse: bool = False, **keywords: Any) -> Any:
        """Of a function (`wrt` as above), a function that gives its Jacobian.

        Per array of the result: by the arguments, of shape result.shape + argument.shape; with
        `sparse`, a `scipy.sparse.csr_array` of result.size rows and argument.size columns.

        Of a graph: as `Verbs.jacobian`.
        """
        if isinstance(graph, GRAPHS):
            return super().jacobian(graph, *args, sparse=sparse, **keywords)
        transform = partial(_jacobian, sparse=sparse)
        return self._transformed(transform, (), graph, *args, **keywords)

    def hessian(self, graph: Any, *args: Any, sparse: bool = False, **keywords: Any) -> Any:
        """Of a function (`wrt` as above), a function that gives its Hessian.

        Per pair of arguments: an array of shape first.shape + second.shape; with `sparse`, a
        `scipy.sparse.csr_array` of first.size rows and second.size columns.

        Of a graph: as `Verbs.hessian`.
        """
        if isinstance(graph, GRAPHS):
            return super().hessian(graph, *args, sparse=sparse, **keywords)
        transform = partial(_hessian, sparse=sparse)
        return self._transformed(transform, (), graph, *args, **keywords)

    def vjp(self, graph: Any, *args: Any, **keywords: Any) -> Any:
        """Of a function (`wrt` as above), a function that takes `cotangent=` too.

        It is structured as the result; what comes is `(result, cotangents of the arguments)`.

        Of a graph: as `Verbs.vjp`.
        """
        if isinstance(graph, GRAPHS):
            return super().vjp(graph, *args, **keywords)
        return self._transformed(_vjp, ("cotangent",), graph, *args, **keywords)

    def jvp(self, graph: Any, *args: Any, **keywords: Any) -> Any:
        """Of a function (`wrt` as above), a function that takes `tangent=` too.

        It is structured as the arguments; what comes is `(result, tangents of the result)`.

        Of a graph: as `Verbs.jvp`.
        """
        if isinstance(graph, GRAPHS):
            return super().jvp(graph, *args, **keywords)
        return self._transformed(_jvp, ("tangent",), graph, *args, **keywords)

    def hvp(self, graph: Any, *args: Any, **keywords: Any) -> Any:
        """Of a function (`wrt` as above), a function that takes `tangent=` too.

        It is structured as the arguments; what comes is the Hessian times it.

        Of a graph: as `Verbs.hvp`.
        """
        if isinstance(graph, GRAPHS):
            return super().hvp(graph, *args, **keywords)
        return self._transformed(_hvp, ("tangent",), graph, *args, **keywords)

    # --- inside -----------------------------------------------------------------------------------

    def _transformed(
        self,
        transform: Transform,
        seeds: tuple[str, ...],
        function: Function,
        wrt: Wrt = None,
        **options: Any,
    ) -> Function:
        return self._wrap(function, transform, wrt, options, seeds)

    def _wrap(
        self,
        function: Function,
        transform: Transform,
        wrt: Wrt,
        options: Mapping[str, Any],
        seed_names: tuple[str, ...] = (),
    ) -> Function:
        """The function whose calls become jobs; it takes the seeds as keywords besides."""
        if not callable(function):
            raise InputError(f"{function!r} is neither a function nor a graph", field="function")
        parameters = Parameters(function)
        direct: list[DirectCall] = []

        @wraps(function)
        def transformed(*args: Any, **keywords: Any) -> Any:
            given = args
            if keywords and direct:
                given = (*args, *[keywords.get(name, MISS) for name in seed_names])
            if len(keywords) == len(seed_names):
                for short in direct:
                    answer = short(given)
                    if answer is not MISS:
                        return answer
            seeds = {name: _popped(keywords, name) for name in seed_names}
            named = bool(keywords)
            given = (*args, *seeds.values())
            point = at_point(function, parameters, args, keywords, wrt)
            call = transform(point, seeds)
            answer = self._answer(call, options)
            found = None if named else self._direct(function, given, call, options)
            if found is not None:
                direct[:] = [found, *direct[: DIRECT_KEPT - 1]]
            return answer

        return transformed

    def _direct(
        self, function: Function, given: Sequence[Any], call: Call, options: Mapping[str, Any]
    ) -> DirectCall | None:
        """The short way for calls like one that was just answered, where there is one.

        Args:
            given: its arguments, then its seeds.
        """
        return None

    def _answer(self, call: Call, options: Mapping[str, Any]) -> Any:
        if call.is_traced:
            return call.inline()
        reply: Any = self.evaluate(
            call.graph, call.inputs, want=call.want, seeds=call.seeds, **options
        )
        return call.answer(reply)


class AsyncTransforms(Transforms[Awaitable[Result]]):
    """The same with coroutines: `await service.value_and_grad(loss)(w, x, y)`."""

    async def _answer(self, call: Call, options: Mapping[str, Any]) -> Any:
        if call.is_traced:
            return call.inline()
        return call.answer(
            await self.evaluate(
                call.graph, call.inputs, want=call.want, seeds=call.seeds, **options
            )
        )


# --- transforms -----------------------------------------------------------------------------------


def _value(point: Point, seeds: Arrays) -> Call:
    return point.call(Value(), lambda outputs, _: point.result(outputs))


def _gradient(point: Point, has_aux: bool, give: Callable[[Any, Any], Any]) -> Call:
    want = Gradient(point.names, point.scalar_output(has_aux))

    def finish(outputs: Arrays, derivatives: Derivatives) -> Any:
        by_input = {key.input: array for key, array in derivatives.items()}
        return give(point.result(outputs), point.like_wrt(by_input))

    return point.call(want, finish)


def _jacobian(point: Point, seeds: Arrays, *, sparse: bool) -> Call:
    def finish(outputs: Arrays, derivatives: Derivatives) -> Any:
        def rows(output: str) -> Any:
            own = {key.input: x for key, x in derivatives.items() if key.output == output}
            return point.like_wrt(own)

        return point.like_result(rows)

    return point.call(Jacobian(point.names, sparse=sparse), finish)


def _hessian(point: Point, seeds: Arrays, *, sparse: bool) -> Call:
    def finish(outputs: Arrays, derivatives: Derivatives) -> Any:
        rows: dict[str, dict[str, Any]] = {}
        for key, block in derivatives.items():
            rows.setdefault(key.input, {})[key.second_input] = block
        return point.like_wrt({first: point.like_wrt(row) for first, row in rows.items()})

    want = Hessian(point.names, point.scalar_output(False), sparse)
    return point.call(want, finish)


def _vjp(point: Point, seeds: Arrays) -> Call:
    results = point.traced.results
    seed = seed_arrays("cotangent", seeds["cotangent"], results, point.result_types)

    def finish(outputs: Arrays, derivatives: Derivatives) -> Any:
        by_input = {key.input: array for key, array in derivatives.items()}
        return point.result(outputs), point.like_wrt(by_input)

    return point.call(Vjp(point.names, (tuple(seed),)), finish, (seed,))


def _jvp(point: Point, seeds: Arrays) -> Call:
    seed = _tangent(point, seeds)

    def finish(outputs: Arrays, derivatives: Derivatives) -> Any:
        by_output = {key.output: array for key, array in derivatives.items()}
        return point.result(outputs), point.like_result(by_output.__getitem__)

    return point.call(Jvp((tuple(seed),)), finish, (seed,))


def _hvp(point: Point, seeds: Arrays) -> Call:
    seed = _tangent(point, seeds)
    want = Hvp(point.names, (tuple(seed),), point.scalar_output(False))

    def finish(outputs: Arrays, derivatives: Derivatives) -> Any:
        return point.like_wrt({key.input: array for key, array in derivatives.items()})

    return point.call(want, finish, (seed,))


def _tangent(point: Point, seeds: Arrays) -> dict[str, Any]:
    return seed_arrays("tangent", seeds["tangent"], point.wrt, point.wrt_types)


def _popped(keywords: dict[str, Any], name: str) -> Any:
    if name not in keywords:
        raise InputError(f"the call needs {name}=, structured as what it belongs to", field=name)
    return keywords.pop(name)
