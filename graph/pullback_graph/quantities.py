"""Quantities as people read them: three digits, and the unit they are read best in.

Reports of a plan, on the server and on the command line, and `pullback top` say theirs alike.
"""

from __future__ import annotations

from math import isfinite

_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))
_ROUNDED_UP = 0.9995
"""From this share of the next unit on, three digits round to one of it."""


def si(value: float) -> str:
    """A number with the prefix it needs, such as `1.5G`; `-` where there is none."""
    digits, prefix = _scaled(value)
    return digits + prefix


def in_bytes(size: float) -> str:
    """A size, such as `17.7 MB`."""
    digits, prefix = _scaled(size)
    return f"{digits} {prefix}B"


def in_flops(flops: float) -> str:
    """An amount of arithmetic, such as `95.5 GFLOP`."""
    digits, prefix = _scaled(flops)
    return f"{digits} {prefix}FLOP"


def duration(seconds: float) -> str:
    """A time, such as `85.9 ms`; `-` where there is none."""
    if not isfinite(seconds):
        return "-"
    for scale, unit in _TIMES:
        if seconds >= scale * _ROUNDED_UP or unit == "us":
            return f"{_digits(seconds / scale)} {unit}"
    raise AssertionError("the last unit takes what is left")


def counted(number: int, noun: str) -> str:
    """A number of things, such as `1 task` or `3 tasks`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _scaled(value: float) -> tuple[str, str]:
    if not isfinite(value):
        return "-", ""
    for scale, prefix in _PREFIXES:
        if abs(value) >= scale * _ROUNDED_UP:
            return _digits(value / scale), prefix
    return _digits(value), ""


def _digits(value: float) -> str:
    """Three digits; more before the point are written out."""
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:.0f}"
