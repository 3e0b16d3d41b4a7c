"""One vocabulary over array libraries: NumPy's names, and the few they spell in their own ways."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeAlias

Words: TypeAlias = Any
"""A namespace: what a library calls as NumPy does, and `logsumexp`, `erf`, `scan`, `take`."""
Function: TypeAlias = Callable[..., Any]
Write: TypeAlias = Callable[[Words], Function]
"""A library's words -> the function to differentiate, written in them."""


class Vocabulary(SimpleNamespace):
    """A library's own names, with some in addition."""

    def __init__(self, library: Any, **more: Any) -> None:
        super().__init__(**more)
        self._library = library

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)


def python_scan(stack: Callable[[list[Any]], Any]) -> Function:
    """`scan` as a loop of Python, for libraries that have none."""

    def scan(step: Function, carry: Any, xs: Any = None, length: int = 0) -> tuple[Any, Any]:
        results = []
        for x in range(length) if xs is None else xs:
            carry, result = step(carry, None if xs is None else x)
            results.append(result)
        return carry, None if not results or results[0] is None else stack(results)

    return scan
