"""NumPy with its floating-point warnings off: NaN and infinities are results like others here.

`numpy.errstate` does the same in a microsecond, which a small program notices. So each thread keeps
a context in which they are off, and runs what it is given inside.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import Context
from typing import ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")


class _Quiet(threading.local):
    """A thread's context, and whether the thread is inside."""

    def __init__(self) -> None:
        self.context = Context()
        self.context.run(lambda: np.seterr(all="ignore"))
        self.is_inside = False


_quiet = _Quiet()


def quietly(function: Callable[P, R], *args: P.args, **keywords: P.kwargs) -> R:
    """What the function returns, run with NumPy's warnings off; it sees no other context variable.

    It may call this again.
    """
    own = _quiet
    if own.is_inside:
        return function(*args, **keywords)
    own.is_inside = True
    try:
        return own.context.run(function, *args, **keywords)
    finally:
        own.is_inside = False
