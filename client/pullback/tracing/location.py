"""Where in the user's own code a fault arose: the deepest frame outside Pullback and NumPy."""

from __future__ import annotations

import linecache
import os
import traceback
from pathlib import Path
from types import TracebackType

import numpy as np

import pullback_graph
from pullback_graph.errors import PullbackError

_OWN = tuple(
    f"{folder}{os.sep}"
    for folder in (
        Path(__file__).parent.parent,
        *[Path(package.__path__[0]) for package in (pullback_graph, np)],
    )
)


def located(error: PullbackError, trace: TracebackType | None) -> PullbackError:
    """The same error, its message followed by the line of the user's code where it arose."""
    place = user_line(trace)
    if place is None:
        return error
    return type(error)(f"{error.message}\n  {place}", field=error.field)


def user_line(trace: TracebackType | None) -> str | None:
    """`in loss, at model.py:12: h = x @ w`, of the deepest frame that is the user's."""
    deepest = None
    for frame, line in traceback.walk_tb(trace):
        name = frame.f_code.co_filename
        if not name.startswith(_OWN):
            deepest = (frame.f_code.co_qualname, name, line)
    if deepest is None:
        return None
    function, file, line = deepest
    source = linecache.getline(file, line).strip()
    return f"in {function}, at {file}:{line}: {source}".rstrip(": ")
