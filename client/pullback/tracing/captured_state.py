"""What a function takes from around itself, to notice when that is another thing than it was.

A trace holds the values that captured names had when it was made. Rebinding such a name (a global,
a variable of the enclosing function, a default) makes a new trace; changing an object in place does
not show, so what changes should be an argument.
"""

from __future__ import annotations

import dis
import weakref
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import CellType, CodeType, FunctionType
from typing import Any

_BY_VALUE = (bool, int, float, complex, str, bytes, type(None))


def captured_state(function: Callable[..., Any]) -> tuple[Any, ...]:
    """A key that stays equal while the function's captured names stay bound to the same things.

    It looks into functions of the same module that the function names, but no further.
    """
    function = getattr(function, "__func__", function)
    if not isinstance(function, FunctionType):
        return ()
    seen: set[FunctionType] = set()
    return tuple(_tokens(function, function.__module__, seen))


class StateGuard:
    """Tells quickly whether a function's captured names are bound to the very objects they were.

    Stricter than `captured_state`, which takes equal numbers for the same.
    """

    __slots__ = ("_cells", "_defaults", "_names")

    def __init__(self) -> None:
        self._cells: list[tuple[CellType, Any]] = []
        self._defaults: list[tuple[FunctionType, Any]] = []
        self._names: list[tuple[dict[str, Any], str, Any]] = []

    @classmethod
    def of(cls, function: Callable[..., Any]) -> StateGuard | None:
        """The guard of a function as it is; None where it would have to look deeper."""
        if not isinstance(function, FunctionType):
            return None
        guard = cls()
        seen: set[FunctionType] = set()
        return guard if guard._add(function, function.__module__, seen) else None

    def holds(self) -> bool:
        """Whether all of it is as it was."""
        try:
            for cell, value in self._cells:
                if cell.cell_contents is not value:
                    return False
        except ValueError:  # no longer bound
            return False
        for names, name, value in self._names:
            if names.get(name, _MISSING) is not value:
                return False
        return not any([f.__defaults__ is not value for f, value in self._defaults])

    def _add(self, function: FunctionType, module: str, seen: set[FunctionType]) -> bool:
        seen.add(function)
        if function.__kwdefaults__:
            return False
        try:
            cells = [(cell, cell.cell_contents) for cell in function.__closure__ or ()]
        except ValueError:  # not bound yet
            return False
        names = function.__globals__
        bound = [(names, k, names.get(k, _MISSING)) for k in _global_names(function.__code__)]
        self._cells += cells
        self._names += bound
        if function.__defaults__:
            self._defaults.append((function, function.__defaults__))
        held = [value for _, value in cells] + [value for _, _, value in bound]
        inner = [v for v in (*held, *(function.__defaults__ or ())) if type(v) is FunctionType]
        return all(
            [self._add(v, module, seen) for v in inner if v.__module__ == module and v not in seen]
        )


_MISSING: Any = object()


class _Same:
    """Equal to another while both are the same living object."""

    __slots__ = ("_hash", "_held")

    def __init__(self, value: Any) -> None:
        self._hash = id(value)
        try:
            self._held: Callable[[], Any] = weakref.ref(value)
        except TypeError:  # lists, tuples, dicts
            self._held = lambda: value

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Same):
            return NotImplemented
        value = self._held()
        return value is not None and value is other._held()


def _tokens(function: FunctionType, module: str, seen: set[FunctionType]) -> Iterator[Any]:
    seen.add(function)
    for value in _captured(function):
        if type(value) in _BY_VALUE:
            yield type(value), repr(value) if value != value else value
            continue
        yield _Same(value)
        if type(value) is FunctionType and value.__module__ == module and value not in seen:
            yield from _tokens(value, module, seen)


def _captured(function: FunctionType) -> Iterator[Any]:
    """The values of the names that the function takes from around itself."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not bound yet
            yield None
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    names = function.__globals__
    for name in _global_names(function.__code__):
        if name in names:
            yield names[name]


@lru_cache(maxsize=4096)
def _global_names(code: CodeType) -> tuple[str, ...]:
    """The global names that a function, and those defined inside it, may use."""
    loads = ("LOAD_GLOBAL", "LOAD_NAME")
    names = {step.argval for step in dis.get_instructions(code) if step.opname in loads}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names.update(_global_names(constant))
    return tuple(sorted(names))
