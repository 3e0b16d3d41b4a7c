"""Rules that stand elsewhere: those of loops and branches differentiate and map their bodies.

The passes that do so are built on the table of rows, so a row can only name them.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def deferred(module: str, name: str) -> Callable[..., Any]:
    """The function `name` of a module of `pullback_graph`, found when it is called."""

    def rule(*args: Any, **attributes: Any) -> Any:
        return getattr(import_module(f"pullback_graph.{module}"), name)(*args, **attributes)

    rule.__name__ = name
    return rule
