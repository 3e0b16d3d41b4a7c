"""numba: loops written by hand, compiled to native code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from benchmarks.contest import Call, Rival

FAMILY = "numba"


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """The function as native code, which lets go of the interpreter's lock."""
    return import_module("numba").njit(nogil=True, **options)(function)


def rival(
    function: Callable[..., Any], arguments: Sequence[Any], name: str = "numba by hand"
) -> Rival:
    """A function written by hand, compiled."""

    def make() -> Call:
        native = compiled(function)
        held = tuple(arguments)
        return lambda: native(*held)

    return Rival(name, FAMILY, make)
