"""A call's arguments taken apart: which are arrays, their names, and what the trace depends on.

Arrays, NumPy scalars and Python floats become inputs, named after the parameters (`w`,
`params.layers.0.w`). Everything else (integers, strings, None, functions) is part of the program:
it keeps its value, and another value means another trace.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Any, NamedTuple

import numpy as np

from pullback.structure import Structure, flatten
from pullback.tracing.traced_array import TracedArray
from pullback_graph.errors import DTypeError, TraceError
from pullback_graph.job import TensorHash
from pullback_graph.types import COMPLEX128, FLOAT64, ArrayType, as_dtype


class ArrayLeaf(NamedTuple):
    """What the trace depends on of an array: its type, and whether it is weak."""

    type: ArrayType
    weak: bool


class StaticLeaf(NamedTuple):
    """What the trace depends on of any other argument: its value (and class: 1 is not True)."""

    kind: type
    value: Hashable


@dataclass(frozen=True, slots=True)
class Arguments:
    """One call's arguments.

    Attributes:
        structure: a dict of the parameters by name, with what is nested in them.
        values: the leaves: arrays (plain, traced, or sent before) and static values.
        leaves: what the trace depends on, leaf by leaf.
    """

    structure: Structure
    values: list[Any]
    leaves: tuple[ArrayLeaf | StaticLeaf, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The dotted path of each leaf."""
        return self.structure.paths

    @property
    def inputs(self) -> dict[str, Any]:
        """The arrays by name."""
        return {
            name: value
            for name, value, leaf in zip(self.names, self.values, self.leaves, strict=True)
            if type(leaf) is ArrayLeaf
        }


class Parameters:
    """The parameters of a function: names for the arguments of its calls."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._signature: inspect.Signature | None = None
        self._plain: tuple[str, ...] = ()
        try:
            self._signature = inspect.signature(function)
        except (TypeError, ValueError):  # a builtin, which has none
            return
        self._plain = _plain_names(self._signature)

    def bind(self, args: Sequence[Any], keywords: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by parameter: `*args` as a tuple, `**keywords` each by its own name.

        Raises:
            TypeError: they do not fit the signature.
        """
        if not keywords and args and len(args) == len(self._plain):
            return dict(zip(self._plain, args, strict=True))
        if self._signature is None:
            return {**{f"x{i}": value for i, value in enumerate(args)}, **keywords}
        bound: dict[str, Any] = {}
        for name, value in self._signature.bind(*args, **keywords).arguments.items():
            if self._signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
                bound.update(value)
            else:
                bound[name] = value
        return bound

    def call(self, function: Callable[..., Any], bound: Mapping[str, Any]) -> Any:
        """The function called with bound arguments."""
        if self._signature is None:
            names = list(takewhile(bound.__contains__, map("x{}".format, count())))
            rest = {name: value for name, value in bound.items() if name not in names}
            return function(*[bound[name] for name in names], **rest)
        known = self._signature.parameters
        arguments = {name: value for name, value in bound.items() if name in known}
        rest = {name: value for name, value in bound.items() if name not in known}
        if rest:
            kinds = {parameter.kind: name for name, parameter in known.items()}
            arguments[kinds[inspect.Parameter.VAR_KEYWORD]] = rest
        call = inspect.BoundArguments(self._signature, arguments)
        return function(*call.args, **call.kwargs)

    def name_at(self, position: int, bound: Mapping[str, Any]) -> str:
        """The dotted name of the argument at a position.

        Raises:
            TraceError: the call has fewer.
        """
        names: list[str] = []
        for name, value in bound.items():
            parameter = None if self._signature is None else self._signature.parameters.get(name)
            if parameter is not None and parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                names += [f"{name}.{i}" for i in range(len(value))]
            else:
                names.append(name)
        if not -len(names) <= position < len(names):
            raise TraceError(f"there is no argument {position}; the call has {', '.join(names)}")
        return names[position]


def _plain_names(signature: inspect.Signature) -> tuple[str, ...]:
    """The parameters, where a call with one positional argument for each is all there is to it."""
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = signature.parameters.values()
    return tuple(signature.parameters) if all([p.kind in plain for p in parameters]) else ()


def take_apart(bound: Mapping[str, Any]) -> Arguments:
    """The leaves of bound arguments.

    Raises:
        DTypeError: an array is of a dtype the language lacks.
        TraceError: a value is neither an array nor hashable.
    """
    leaves, structure = flatten(dict(bound))
    values, known = [], []
    for place, leaf in enumerate(leaves):
        try:
            value, about = _classified(leaf)
        except DTypeError as error:
            raise DTypeError(f"argument {structure.paths[place]!r}: {error.message}") from None
        except TypeError:
            raise TraceError(
                f"argument {structure.paths[place]!r} is a {type(leaf).__name__}: neither an array "
                "nor hashable; pass an array, or a value that cannot change"
            ) from None
        values.append(value)
        known.append(about)
    return Arguments(structure, values, tuple(known))


def _classified(leaf: Any) -> tuple[Any, ArrayLeaf | StaticLeaf]:
    kind = type(leaf)
    if kind is np.ndarray:
        dtype = as_dtype(leaf.dtype)
        array = leaf if leaf.dtype is dtype else leaf.astype(dtype)
        return array, ArrayLeaf(ArrayType(dtype, leaf.shape), weak=False)
    if kind is float:
        return np.asarray(leaf), _FLOAT
    if kind is complex:
        return np.asarray(leaf), _COMPLEX
    if kind is TracedArray:
        return leaf, ArrayLeaf(leaf.ref.type, leaf.weak)
    if kind in (int, str, bool, type(None)):
        return leaf, StaticLeaf(kind, leaf)
    if isinstance(getattr(leaf, "hash", None), TensorHash):  # sent before; travels as its name
        return leaf, ArrayLeaf(ArrayType(as_dtype(leaf.dtype), tuple(leaf.shape)), weak=False)
    if hasattr(leaf, "__array__") and not isinstance(leaf, type):
        return _classified(np.asarray(leaf))
    hash(leaf)
    return leaf, StaticLeaf(kind, leaf)


_FLOAT = ArrayLeaf(ArrayType(FLOAT64, ()), weak=True)
_COMPLEX = ArrayLeaf(ArrayType(COMPLEX128, ()), weak=True)
