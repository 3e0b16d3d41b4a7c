"""A graph from a file: its text form, or a serialised pullback.v1.Graph, told apart by content."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from pullback_graph.codec import decode_graph
from pullback_graph.errors import ParseError, RequestError, WireError
from pullback_graph.graph import Graph
from pullback_graph.text import parse

STDIN = "-"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def read_graph(name: str) -> Graph:
    """The graph in the file `name`, or from standard input for `-`.

    Raises:
        RequestError: the file cannot be read.
        ParseError, GraphError: it holds no graph, or a wrong one.
    """
    try:
        data = sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
    except OSError as error:
        raise RequestError(f"{name} cannot be read: {error.strerror or error}") from None
    return graph_of(data, "standard input" if name == STDIN else name)


def graph_of(data: bytes, name: str) -> Graph:
    """The graph in `data`; `name` says where it comes from.

    Raises:
        ParseError, GraphError: it holds no graph, or a wrong one.
    """
    text = _as_text(data)
    if text is not None:
        return parse(text)
    try:
        return decode_graph(data)
    except WireError:
        raise ParseError(
            f"{name} is neither a graph's text form (`graph(x: float64[]) {{...}}`) nor a "
            "serialised pullback.v1.Graph"
        ) from None


def _as_text(data: bytes) -> str | None:
    """The text that the bytes are, or None: every message has control characters in it."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text
