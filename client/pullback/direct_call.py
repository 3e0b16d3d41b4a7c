"""The short way of a call made before: no job, no names, only the arguments checked and run.

What the long way worked out for one kind of arguments is kept: what each argument was, what the
function's captured names were bound to, the program, and where each result goes. A call that
differs in any of it is a miss, and goes the long way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from pullback.call import Call
from pullback.sparse_matrix import as_users_matrix
from pullback.structure import LEAF, flatten
from pullback.tracing.captured_state import StateGuard
from pullback_graph.derivative import Lowered
from pullback_graph.graph import Input
from pullback_graph.job import NDArray
from pullback_graph.types import ArrayType
from pullback_graph.want import DerivativeKey, seed_name

Run: TypeAlias = Callable[[list[NDArray]], Sequence[NDArray]]
"""A program: arrays in the order of its inputs -> values, then derivatives."""
Named: TypeAlias = Callable[[Sequence[NDArray]], Mapping[DerivativeKey, Any]]
Answer: TypeAlias = Callable[[Sequence[NDArray]], Any]

MISS: Any = object()
"""What a direct call gives when it is not for these arguments."""


_SCALARS = (float, np.float64, np.float32)


class Signature(NamedTuple):
    """What a program takes and gives.

    Attributes:
        inputs: the arrays it takes, seeds last.
        values: names of the values it gives; derivatives follow.
        scalars: which of its results are 0-d.
        named: makes sparse derivatives, by key, of what follows the values; None: all are dense.
    """

    inputs: tuple[Input, ...]
    values: tuple[str, ...]
    derivatives: tuple[DerivativeKey, ...]
    scalars: tuple[bool, ...]
    named: Named | None = None


def signature_of(lowered: Lowered) -> Signature:
    """The signature of a lowered graph's program."""
    graph = lowered.graph
    types = [graph.output_type(position) for position in range(len(graph.outputs))]
    return Signature(
        graph.inputs,
        graph.output_names[: lowered.value_count],
        lowered.derivatives,
        tuple([type.shape == () for type in types]),
        lowered.named if lowered.patterns else None,
    )


class _Kind(NamedTuple):
    """What an argument must be: an array of a type, a float, a static value, a container.

    Attributes:
        dtype: of an array; the keys of a dict.
        inside: a shape, a static value, or the kinds of a container's items.
    """

    cls: Any
    dtype: Any
    inside: Any


class DirectCall:
    """One derivative of one function, for arguments of one kind, by one program."""

    __slots__ = ("_answer", "_guard", "_kinds", "_run")

    def __init__(
        self, guard: StateGuard, kinds: tuple[_Kind, ...], run: Run, answer: Answer
    ) -> None:
        self._guard = guard
        self._kinds = kinds
        self._run = run
        self._answer = answer

    def __call__(self, given: Sequence[Any]) -> Any:
        """What the user's call returns for arguments, then seeds; or MISS."""
        arrays: list[NDArray] = []
        if _take(given, self._kinds, arrays) and self._guard.holds():
            return self._answer(self._run(arrays))
        return MISS


def direct_call(
    function: Callable[..., Any], given: Sequence[Any], call: Call, signature: Signature, run: Run
) -> DirectCall | None:
    """The short way for calls like this one, or None where it can't be told that they are alike.

    Args:
        given: the call's arguments, then its seeds.
    """
    guard = StateGuard.of(function)
    kinds = [_kind(value) for value in given]
    if guard is None or None in kinds:
        return None
    arrays: list[NDArray] = []
    known = tuple([kind for kind in kinds if kind is not None])
    if not _take(given, known, arrays) or not _are_inputs(arrays, call, signature.inputs):
        return None  # an argument that only the long way takes, or values from around the function
    return DirectCall(guard, known, run, _answer(call, signature))


def _are_inputs(arrays: Sequence[NDArray], call: Call, inputs: Sequence[Input]) -> bool:
    """Whether the arrays, as they are, are the program's inputs: the arguments', then seeds'."""
    seeds = [seed_name(k, name) for k, seed in enumerate(call.seeds) for name in seed]
    return (
        len(arrays) == len(inputs)
        and [item.name for item in inputs[len(inputs) - len(seeds) :]] == seeds
        and all([_is(x, item.type) for x, item in zip(arrays, inputs, strict=True)])
    )


def _is(array: NDArray, type: ArrayType) -> bool:
    """Whether an array is of a type, byte order included."""
    return bool(array.dtype == type.dtype) and array.shape == type.shape


def _kind(value: Any) -> _Kind | None:
    """What a later argument must be to stand for this one; None where only the long way can say."""
    cls = type(value)
    if cls is np.ndarray:
        return _Kind(cls, value.dtype, value.shape)
    if cls in _SCALARS:
        return _Kind(cls, None, None)
    if cls in (int, str, bool, type(None)):
        return _Kind(cls, None, value)
    if cls in (tuple, list):
        kinds = [_kind(item) for item in value]
        return None if None in kinds else _Kind(cls, None, tuple(kinds))
    if cls is dict:
        kinds = [_kind(item) for item in value.values()]
        return None if None in kinds else _Kind(cls, tuple(value), tuple(kinds))
    return None


def _take(values: Sequence[Any], kinds: tuple[_Kind, ...], arrays: list[NDArray]) -> bool:
    """Whether the values are of these kinds; their arrays are added in order."""
    if len(values) != len(kinds):
        return False
    value: Any
    for value, (cls, dtype, inside) in zip(values, kinds, strict=True):
        if type(value) is not cls:
            return False
        if cls is np.ndarray:
            if value.dtype is not dtype or value.shape != inside:
                return False
            arrays.append(value)
        elif cls in _SCALARS:
            arrays.append(np.asarray(value))
        elif not _take_inside(value, cls, dtype, inside, arrays):
            return False
    return True


def _take_inside(value: Any, cls: type, keys: Any, inside: Any, arrays: list[NDArray]) -> bool:
    """The same for a container's items; a static value must be the same value."""
    if cls is dict:
        return tuple(value) == keys and _take(tuple(value.values()), inside, arrays)
    if cls in (tuple, list):
        return _take(value, inside, arrays)
    return bool(value == inside)


class _Slot:
    """Stands for a result while its place in the answer is found."""

    __slots__ = ("position",)

    def __init__(self, position: int) -> None:
        self.position = position


def _sparse_answer(call: Call, signature: Signature, named: Named) -> Answer:
    """The same where derivatives are sparse: they are made into matrices first, as always."""
    names, count = signature.values, len(signature.values)

    def answer(results: Sequence[NDArray]) -> Any:
        values = dict(zip(names, results[:count], strict=True))
        matrices = {key: as_users_matrix(x) for key, x in named(results[count:]).items()}
        return call.finish(values, matrices)

    return answer


def _answer(call: Call, signature: Signature) -> Answer:
    """How results take the structure that the user's call returns: asked once, with slots."""
    if signature.named is not None:
        return _sparse_answer(call, signature, signature.named)
    slots = [_Slot(position) for position in range(len(signature.scalars))]
    values = dict(zip(signature.values, slots, strict=False))
    own = slots[len(signature.values) :]
    derivatives = dict(zip(signature.derivatives, own, strict=True))
    leaves, structure = flatten(call.finish(values, derivatives))
    places = [
        (leaf.position, signature.scalars[leaf.position]) if type(leaf) is _Slot else (-1, leaf)
        for leaf in leaves
    ]
    flat = structure.kind is tuple and all([child == LEAF for child in structure.children])

    def answer(results: Sequence[NDArray]) -> Any:
        made = [other if i < 0 else results[i][()] if other else results[i] for i, other in places]
        return tuple(made) if flat else structure.unflatten(made)

    return answer
