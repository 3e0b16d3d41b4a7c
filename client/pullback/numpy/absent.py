"""What is said of a name that `pullback.numpy` lacks: where that which it stands for may be."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np


def missing(name: str, offered: Sequence[str]) -> AttributeError:
    """The error for a name that is not among those offered."""
    return AttributeError(f"pullback.numpy has no {name!r}{_advice(name, offered)}", name=name)


def _advice(name: str, offered: Sequence[str]) -> str:
    if name == "random":
        return "; use pullback.random in what is traced, or numpy.random to make what it is given"
    if name in dir(np):
        return f"; numpy.{name} takes plain arrays"
    near = get_close_matches(name, offered, n=3)
    return f"; did you mean {', '.join(near)}?" if near else ""
