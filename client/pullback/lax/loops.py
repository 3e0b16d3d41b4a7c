"""Loops: `scan`, `map`, `fori_loop` and `while_loop`. A body is traced once, however often it runs.

On plain arrays a loop runs at once, as the graph would; on traced ones it is a node of the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isqrt
from typing import Any

import numpy as np

from pullback.lax.bodies import (
    Body,
    Leaf,
    is_array,
    is_weak,
    leaves_of,
    like,
    named,
    result_of,
    sharing_captures,
    trace_body,
    type_text,
)
from pullback.structure import LEAF, Structure
from pullback.tracing.apply import Value, apply, as_value, cast
from pullback.tracing.promotion import common, weak_kind
from pullback_graph.errors import DTypeError, InputError, ShapeError, TraceError
from pullback_graph.types import BOOL, FLOAT64, ArrayType, DType

_MOST_PROMOTIONS = 8


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    *,
    reverse: bool = False,
    checkpoint: bool | int | tuple[int, int] | None = None,
) -> tuple[Any, Any]:
    """The loop over the leading axis of `xs`: `carry, y = f(carry, x)` for each of its entries.

    Args:
        f: gives the next carry, structured and typed as the one before, and an entry of the result.
        init: the first carry: arrays and numbers, nested in tuples, lists, dicts and dataclasses.
            Numbers of Python take the dtype that the loop gives them.
        xs: arrays of one leading length, nested likewise; None where `length` says it.
        reverse: take the entries from last to first; results stay in the entries' order.
        checkpoint: how a reverse pass saves memory. It keeps the insides of so many steps at a time
            and computes the others again (True: about the square root of the length), holding the
            carries of all such segments; with `(steps, slots)` of at most so many.

    Returns:
        The last carry, and the y stacked.

    Raises:
        TraceError: the carry is structured otherwise after a step than before.
        ShapeError, DTypeError: its types are; the message names the leaf.
        InputError: leading lengths differ, or there is none.
    """
    stacked, arrays, structure = leaves_of(xs, "x")
    steps = _steps(stacked, length)
    entries = [
        leaf if leaf.type is None else leaf._replace(type=_entry(leaf.type)) for leaf in stacked
    ]
    carried = _Carried(init, "carry")
    body = carried.trace(f, [(entries, structure)], _check_pair)
    arrays = [x for x in arrays if x is not None]
    operands = [*body.captures, *carried.operands, *arrays]
    results = _applied(
        "scan",
        operands,
        body=body.graph,
        consts=len(body.captures),
        carries=len(carried.operands),
        length=-1 if arrays else steps,
        reverse=reverse,
        **_checkpoint(checkpoint, steps),
    )
    carry, y = result_of(body, results)
    return carry, y


def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """`f` of each entry along the leading axis of `xs`, stacked. The entries are independent.

    Args:
        xs: arrays of one leading length, nested as in `scan`.

    Raises:
        InputError: leading lengths differ, or there is none.
    """
    return scan(lambda _, x: (None, f(x)), None, xs)[1]


def fori_loop(
    lower: Any,
    upper: Any,
    body: Callable[[Any, Any], Any],
    init: Any,
    *,
    max_steps: int | None = None,
    checkpoint: bool | int | tuple[int, int] | None = None,
) -> Any:
    """`carry = body(i, carry)` for each integer from `lower` to `upper`, which is left out.

    With bounds that are numbers it is a `scan`; where one is traced, a `while_loop`, whose gradient
    needs `max_steps`.

    Raises:
        TraceError, ShapeError, DTypeError: as `scan`.
    """
    if isinstance(lower, int | np.integer) and isinstance(upper, int | np.integer):
        indices = np.arange(int(lower), int(upper), dtype=np.int64)
        step = lambda carry, i: (body(i, carry), None)  # noqa: E731  (it has no name of its own)
        return scan(step, init, indices, checkpoint=checkpoint)[0]
    first, last = (cast(as_value(x), np.dtype(np.int64)) for x in (lower, upper))
    return while_loop(
        lambda state: state[0] < last,
        lambda state: (state[0] + 1, body(state[0], state[1])),
        (first, init),
        max_steps=max_steps,
    )[1]


def while_loop(
    cond: Callable[[Any], Any],
    body: Callable[[Any], Any],
    init: Any,
    max_steps: int | None = None,
) -> Any:
    """`carry = body(carry)` as long as `cond(carry)` is true; the last carry.

    Args:
        cond: gives one truth value.
        init: the first carry, as in `scan`.
        max_steps: where it ends at the latest. A gradient needs it (tangents do not), and takes the
            memory of so many carries.

    Raises:
        TraceError, ShapeError, DTypeError: as `scan`; or `cond` gives something else.
    """
    carried = _Carried(init, "carry")
    traced = carried.trace(body, [], _check_carry)
    test = trace_body(cond, [carried.given], _check_truth)
    graphs, captures = sharing_captures([test, traced])
    results = _applied(
        "while_loop",
        [*captures, *carried.operands],
        cond=graphs[0],
        body=graphs[1],
        consts=len(captures),
        max_steps=_bound(max_steps),
    )
    return result_of(traced, results)


# --- carries --------------------------------------------------------------------------------------


class _Carried:
    """What a loop carries: its leaves, and their first values once a body has settled their types.

    Attributes:
        operands: the arrays among the leaves.
    """

    def __init__(self, init: Any, what: str) -> None:
        self.what = what
        self.leaves, self._arrays, self.structure = leaves_of(init, what)

    @property
    def given(self) -> tuple[list[Leaf], Structure]:
        """The argument that a body gets."""
        return self.leaves, self.structure

    @property
    def operands(self) -> list[Any]:
        """The first values of what is carried."""
        return [x for x in self._arrays if x is not None]

    def trace(
        self,
        function: Callable[..., Any],
        others: Sequence[tuple[Sequence[Leaf], Structure]],
        check: Callable[[_Carried, str, list[Any], Structure], list[Any]],
    ) -> Body:
        """The body on the carry and the others; numbers of Python take the dtype it gives them."""
        for _ in range(_MOST_PROMOTIONS):
            wider: dict[int, DType] = {}

            def finish(
                leaves: list[Any], structure: Structure, wider: dict[int, DType] = wider
            ) -> list[Any]:
                carried = check(self, named(function), leaves, structure)
                made, found = self._matched(carried, named(function))
                wider.update(found)
                return [*made, *leaves[len(made) :]]

            body = trace_body(function, [self.given, *others], finish)
            if not wider:
                return body
            self._widen(wider)
        raise DTypeError(
            f"{named(function)} gives a wider dtype each time around; make the first carry an array"
        )

    def _matched(self, after: Sequence[Any], name: str) -> tuple[list[Any], dict[int, DType]]:
        """The carry after a step in the types before it; where those must widen, to what."""
        made: list[Any] = []
        wider: dict[int, DType] = {}
        for k, (leaf, value) in enumerate(zip(self.leaves, after, strict=True)):
            if leaf.type is None or not is_array(value):
                if leaf.type is not None or is_array(value) or value is not leaf.value:
                    raise TraceError(
                        f"{leaf.path!r} is {_before(leaf)} before a step of {name} and "
                        f"{type_text(value)} after it; carry arrays and numbers alone"
                    )
                made.append(value)
                continue
            fitted = like(value, leaf.dtype) if _fits(value, leaf.dtype) else as_value(value)
            if leaf.weak and fitted.dtype != leaf.dtype:
                wider[k] = common(weak_kind(leaf.dtype), fitted.dtype)
            elif (fitted.dtype, tuple(fitted.shape)) != leaf.type:
                raise _changed(leaf, ArrayType(fitted.dtype, tuple(fitted.shape)), name)
            made.append(fitted)
        return made, wider

    def _widen(self, wider: dict[int, DType]) -> None:
        for k, dtype in wider.items():
            leaf = self.leaves[k]
            assert leaf.type is not None, "only arrays widen"
            from_whole = leaf.dtype.kind in "iu" and dtype.kind == "f"
            dtype = FLOAT64 if from_whole else dtype  # a number that is a float now, and weak yet
            self.leaves[k] = leaf._replace(type=leaf.type._replace(dtype=dtype), weak=from_whole)
            self._arrays[k] = cast(self._arrays[k], dtype)


def _fits(value: Any, dtype: DType) -> bool:
    """Whether a weak value can take a dtype: a Python float stays out of integers."""
    if not is_weak(value):
        return False
    kind = np.asarray(value).dtype.kind if not hasattr(value, "dtype") else value.dtype.kind
    return "biufc".index(kind) <= "biufc".index(dtype.kind)


def _changed(leaf: Leaf, after: ArrayType, name: str) -> DTypeError | ShapeError:
    message = f"{leaf.path!r} is {leaf.type} before a step of {name} and {after} after it"
    if after.dtype != leaf.dtype:
        return DTypeError(f"{message}; cast one of the two with astype")
    return ShapeError(f"{message}; start from an array of the shape that the step gives")


def _before(leaf: Leaf) -> str:
    return repr(leaf.value) if leaf.type is None else str(leaf.type)


# --- checks ---------------------------------------------------------------------------------------


def _check_pair(carried: _Carried, name: str, leaves: list[Any], structure: Structure) -> list[Any]:
    """The leaves of the carry in what the body of a scan returned."""
    if structure.kind is not tuple or len(structure.children) != 2:
        raise TraceError(
            f"{name} must return (carry, y); for a loop without y return (carry, None)"
        )
    own = structure.children[0]
    _check_structure(carried, name, own)
    return leaves[: own.leaf_count]


def _check_carry(
    carried: _Carried, name: str, leaves: list[Any], structure: Structure
) -> list[Any]:
    _check_structure(carried, name, structure)
    return leaves


def _check_structure(carried: _Carried, name: str, after: Structure) -> None:
    if after == carried.structure:
        return
    before, now = (", ".join(own.paths) for own in (carried.structure, after))
    kinds = [own.kind.__name__ if own.kind else "a leaf" for own in (carried.structure, after)]
    raise TraceError(
        f"{name} returns a carry structured as {kinds[1]} ({now}), it was given {kinds[0]} "
        f"({before}); return it as it came"
    )


def _check_truth(leaves: list[Any], structure: Structure) -> list[Any]:
    if structure != LEAF or not is_array(leaves[0]):
        raise TraceError("the condition of a while_loop must return one truth value")
    value = as_value(leaves[0])
    if value.dtype != BOOL or value.shape != ():
        raise TraceError(
            f"the condition of a while_loop gives {type_text(leaves[0])}; it must give one truth "
            "value (bool[]): compare, or use pullback.numpy.all"
        )
    return leaves


def _steps(stacked: Sequence[Leaf], length: int | None) -> int:
    """How many steps there are, of the arrays' leading axes or the argument."""
    lengths: dict[str, int] = {} if length is None else {"length": int(length)}
    for leaf in stacked:
        if leaf.type is None:
            continue
        if not leaf.type.shape:
            raise InputError(f"{leaf.path!r} is 0-d; a loop runs over the leading axis", field="xs")
        lengths[leaf.path] = leaf.type.shape[0]
    if not lengths:
        raise InputError("a loop without arrays to run over needs length=", field="length")
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} has {size}" for name, size in lengths.items())
        raise InputError(f"a loop runs over one length: {listed}", field="xs")
    return next(iter(lengths.values()))


def _entry(type: ArrayType) -> ArrayType:
    return type._replace(shape=type.shape[1:])


def _checkpoint(given: bool | int | tuple[int, int] | None, steps: int) -> dict[str, int]:
    """The row's attributes for what the user says."""
    if given is None or given is False:
        return {}
    if given is True:
        return {"segment": max(1, isqrt(steps))}
    segment, slots = given if isinstance(given, tuple) else (given, 0)
    if segment < 1 or slots < 0:
        raise InputError(
            f"checkpoint is {given!r}; give True, a number of steps, or (steps, slots)",
            field="checkpoint",
        )
    return {"segment": int(segment), "slots": int(slots)}


def _bound(max_steps: int | None) -> int:
    if max_steps is None:
        return 0
    if max_steps < 1:
        raise InputError(f"max_steps is {max_steps}; give one or more", field="max_steps")
    return int(max_steps)


def _applied(name: str, operands: Sequence[Value], **attributes: Any) -> list[Any]:
    results = apply(name, *operands, **attributes)
    return list(results) if isinstance(results, tuple) else [results]
