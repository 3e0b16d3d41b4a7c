"""Derivatives as the user says: `stop_gradient`, and `custom_derivative` for a function's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, overload

from pullback.lax.bodies import (
    Body,
    Held,
    Leaf,
    is_array,
    leaves_of,
    named,
    result_of,
    sharing_captures,
    trace_body,
    type_text,
)
from pullback.structure import Structure, flatten, map_leaves
from pullback.tracing.apply import apply, as_value, cast
from pullback_graph.errors import InputError, ShapeError, TraceError
from pullback_graph.types import ArrayType

Function = Callable[..., Any]


def stop_gradient(x: Any) -> Any:
    """The arrays of `x` themselves, which every derivative takes for constants.

    Args:
        x: arrays, nested in tuples, lists, dicts and dataclasses.
    """
    return map_leaves(
        lambda leaf: apply("stop_gradient", as_value(leaf)) if is_array(leaf) else leaf, x
    )


@overload
def custom_derivative(
    function: Function, *, jvp: Function | None = None, vjp: Function | None = None
) -> Function: ...
@overload
def custom_derivative(
    *, jvp: Function | None = None, vjp: Function | None = None
) -> Callable[[Function], Function]: ...
def custom_derivative(
    function: Function | None = None,
    *,
    jvp: Function | None = None,
    vjp: Function | None = None,
) -> Any:
    """A function with a derivative of its own; one of the two rules is enough for both modes.

        @custom_derivative(vjp=lambda primals, result, g: (g * result,))
        def exp(x): ...

    Args:
        function: of positional arguments: arrays, nested. Other arguments are handed on as they are
            and have no derivative.
        jvp: `(primals, tangents) -> tangent`: tuples as the arguments, and structured as the
            result; linear in the tangents. An argument without derivative has tangent None.
        vjp: `(primals, result, cotangent) -> cotangents`: structured as the result, and a tuple as
            the arguments (None where there is no derivative); linear in the cotangent.

    Raises:
        InputError: neither rule is given.
    """
    if jvp is None and vjp is None:
        raise InputError("custom_derivative needs jvp= or vjp=", field="jvp")
    if function is None:
        return lambda own: custom_derivative(own, jvp=jvp, vjp=vjp)

    @wraps(function)
    def derived(*args: Any) -> Any:
        return _Derived(function, args).applied(jvp, vjp)

    return derived


class _Derived:
    """One call of a function with rules of its own."""

    def __init__(self, function: Function, args: tuple[Any, ...]) -> None:
        self.function = function
        leaves, self.arrays, self.structure = leaves_of(args, "argument")
        self.leaves = [
            leaf._replace(type=None, value=value) if isinstance(value, bool | int) else leaf
            for leaf, value in zip(leaves, flatten(args)[0], strict=True)
        ]
        self.body = trace_body(lambda given: function(*given), [(self.leaves, self.structure)])
        types = [self.body.graph.output_type(i) for i in range(len(self.body.graph.outputs))]
        self.results = [
            Leaf(f"result.{i}", types[leaf.output], False, None)
            if isinstance(leaf, Held)
            else Leaf(f"result.{i}", None, False, leaf)
            for i, leaf in enumerate(self.body.leaves)
        ]

    def applied(self, jvp: Function | None, vjp: Function | None) -> Any:
        """The row on the arguments; what the three functions take from around comes first."""
        given = [
            x
            for x, leaf in zip(self.arrays, self.leaves, strict=True)
            if x is not None and leaf.type is not None
        ]
        rules = {"jvp": jvp and self._jvp(jvp), "vjp": vjp and self._vjp(vjp)}
        present = {name: body for name, body in rules.items() if body is not None}
        (forward, *graphs), captures = sharing_captures([self.body, *present.values()])
        results = apply(
            "custom",
            *captures,
            *given,
            forward=forward,
            consts=len(captures),
            **dict(zip(present, graphs, strict=True)),
        )
        return result_of(self.body, list(results) if isinstance(results, tuple) else [results])

    def _jvp(self, rule: Function) -> Body:
        tangents = [_moving(leaf, "tangent of") for leaf in self.leaves]
        return trace_body(
            rule,
            [(self.leaves, self.structure), (tangents, self.structure)],
            self._checked(named(rule), self.results, self.body.results, "the tangent"),
        )

    def _vjp(self, rule: Function) -> Body:
        cotangents = [_moving(leaf, "cotangent of") for leaf in self.results]
        results = self.body.results
        return trace_body(
            rule,
            [(self.leaves, self.structure), (self.results, results), (cotangents, results)],
            self._checked(named(rule), self.leaves, self.structure, "the cotangents"),
        )

    def _checked(
        self, rule: str, wanted: Sequence[Leaf], structure: Structure, what: str
    ) -> Callable[[list[Any], Structure], list[Any]]:
        """What makes a rule's result: a value for each floating leaf, of its type."""

        def finish(leaves: list[Any], found: Structure) -> list[Any]:
            if found.paths != structure.paths:
                raise TraceError(
                    f"{rule} gives {what} structured as {list(found.paths)}, it must be as "
                    f"{list(structure.paths)}"
                )
            pairs = zip(wanted, leaves, strict=True)
            return [_fitted(leaf, value, rule) for leaf, value in pairs if _is_moving(leaf)]

        return finish


def _is_moving(leaf: Leaf) -> bool:
    return leaf.type is not None and leaf.type.is_floating


def _moving(leaf: Leaf, what: str) -> Leaf:
    """The leaf of a tangent or cotangent; None where there is no derivative."""
    path = f"{what} {leaf.path}"
    return leaf._replace(path=path) if _is_moving(leaf) else Leaf(path, None, False, None)


def _fitted(leaf: Leaf, value: Any, rule: str) -> Any:
    """A derivative of a leaf, of its type; None is zero."""
    assert leaf.type is not None, "floating leaves are arrays"
    if value is None:
        value = 0.0
    array = cast(as_value(value), leaf.dtype) if is_array(value) else value
    if is_array(array) and not array.shape and leaf.type.shape:
        array = apply("broadcast_to", array, shape=leaf.type.shape)
    if not is_array(array) or ArrayType(array.dtype, tuple(array.shape)) != leaf.type:
        raise ShapeError(
            f"{rule} gives {type_text(value)} for {leaf.path!r}, which is {leaf.type}; give a "
            "derivative of its shape"
        )
    return array
