"""Text to tokens, and errors that show where in the text they are."""

from __future__ import annotations

import re
from typing import NamedTuple

from pullback_graph.errors import ParseError

SHOWN_CHARACTERS = 100

_UNSIGNED = r"(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf\b|nan\b)"
_PART = r"(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf|nan)"
_PATTERN = re.compile(
    rf"""(?P<skip>[ \t\r\n]+|\#[^\n]*)
      | (?P<complex>-?{_PART}[+-]{_PART}j\b)
      | (?P<name>[A-Za-z_]\w*(?:\.\w+)*)
      | (?P<value>%\w+)
      | (?P<graph>@\w+)
      | (?P<number>-?{_UNSIGNED})
      | (?P<string>"(?:[^"\\\n]|\\.)*")
      | (?P<mark>[(){{}}\[\],:=])
      | (?P<other>.)""",
    re.ASCII | re.VERBOSE,
)


class Token(NamedTuple):
    """A piece of the text, and where it is.

    Of kind `name`, `value`, `graph`, `number`, `complex`, `string`, `mark` or `end`.
    """

    kind: str
    text: str
    position: int


def tokens_of(text: str) -> list[Token]:
    """The tokens of a text, closed by one of kind `end`; comments run from `#` to the line's end.

    Raises:
        ParseError: a character starts no token.
    """
    tokens = []
    for match in _PATTERN.finditer(text):
        kind = match.lastgroup or "other"
        if kind == "other":
            raise fault(
                text, match.start(), f"unexpected {match.group()!r}{_advice(match.group())}"
            )
        if kind != "skip":
            tokens.append(Token(kind, match.group(), match.start()))
    tokens.append(Token("end", "the end of the text", len(text)))
    return tokens


def fault(text: str, position: int, message: str) -> ParseError:
    """The error at a position of the text, with its line shown and the place marked."""
    line, column = line_and_column(text, position)
    return ParseError(f"{message}\n{shown(text, position)}", field=f"line {line}, column {column}")


def line_and_column(text: str, position: int) -> tuple[int, int]:
    """Line and column of a position, counted from 1."""
    start = text.rfind("\n", 0, position) + 1
    return text.count("\n", 0, position) + 1, position - start + 1


def shown(text: str, position: int) -> str:
    """The line of a position, or the part of it around there, with a mark below."""
    line, column = line_and_column(text, position)
    start = position - column + 1
    end = text.find("\n", start)
    source = text[start : end if end >= 0 else len(text)]
    left = max(0, column - 1 - SHOWN_CHARACTERS // 2)
    source = source[left : left + SHOWN_CHARACTERS].replace("\t", " ")
    label = f"line {line}, column {column}: "
    return f"{label}{source}\n{' ' * (len(label) + column - 1 - left)}^"


def _advice(character: str) -> str:
    if character == "<":
        return ": an abbreviated constant; print the graph without abbreviation"
    if character == '"':
        return ": a string that does not end on its line"
    return ""
