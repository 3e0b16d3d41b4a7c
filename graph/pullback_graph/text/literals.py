"""Literals of the text form: names, attribute values, and the elements of constants.

Numbers are written in the fewest digits that read back to the same bits; what is too long for a
line of text is written as base64 of the little-endian bytes.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import Any

import numpy as np

from pullback_graph.fingerprint import little_endian

PLAIN_NAME = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*", re.ASCII)
"""Names written without quotes; the dots are those of paths such as `layers.0.w`."""
MAX_LISTED = 32
"""Elements up to which a constant is written out."""
MAX_SHOWN = 8
"""The same where the text is for reading only."""

_WORDS = {True: "true", False: "false"}


def name_text(name: str) -> str:
    """A name, quoted unless it is plain."""
    return name if PLAIN_NAME.fullmatch(name) else string_text(name)


def string_text(text: str) -> str:
    """A quoted string."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def value_text(value: Any) -> str:
    """An attribute's value, if it holds no subgraph."""
    if isinstance(value, bool):
        return _WORDS[value]
    if isinstance(value, str):
        return string_text(value)
    if isinstance(value, np.dtype):
        return value.name
    return repr(value)


def number_text(value: Any) -> str:
    """A NumPy scalar as an element of a constant: `1.5`, `true`, `1.0-2.5j`."""
    return _element(value)


def constant_text(array: np.ndarray[Any, Any], *, abbreviate: bool) -> str:
    """The elements of a constant; abbreviated, many of them become a count that does not parse."""
    if abbreviate and array.size > MAX_SHOWN:
        return f"<{array.size} elements>"
    if array.size > MAX_LISTED:
        data = b64encode(little_endian(array).tobytes()).decode()
        return f'base64 "{data}"'
    return _listed(array) if array.size else "[]"


def _listed(array: np.ndarray[Any, Any]) -> str:
    if array.ndim:
        return f"[{', '.join([_listed(part) for part in array])}]"
    return _element(array[()])


def _element(value: Any) -> str:
    if value.dtype.kind == "b":
        return _WORDS[bool(value)]
    if value.dtype.kind == "c":
        real, imag = _element(value.real), _element(value.imag)
        return f"{real}{'' if imag.startswith('-') else '+'}{imag}j"
    if value.dtype.kind != "f" or value != value:
        return str(value)
    text = str(value)
    exact = value.dtype.type(float(text)) == value  # read through float64: float32 rounds twice
    return text if exact else repr(float(value))
