"""Reads the parts of a text: tokens, names, types, literals. What they add up to is the parser's.

Whatever does not fit is a ParseError at its token.
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import numpy as np

from pullback_graph.errors import PullbackError
from pullback_graph.graph import Graph
from pullback_graph.text.tokens import Token, fault, shown, tokens_of
from pullback_graph.types import DTYPES, MAX_RANK, ArrayType, DType, Shape

T = TypeVar("T")

WORDS: dict[str, Any] = {
    "true": True,
    "false": False,
    "nan": float("nan"),
    "inf": float("inf"),
    **DTYPES,
}
"""Words that are values."""
NUMBERS = ("number", "complex")
"""Kinds of tokens that are numbers."""


class Reader:
    """A text and the position reached in its tokens."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokens_of(text)
        self.next = 0
        self.graphs: dict[str, Graph] = {}

    # --- tokens -----------------------------------------------------------------------------------

    def peek(self) -> Token:
        """The next token, left where it is."""
        return self.tokens[self.next]

    def advance(self) -> Token:
        """The next token, taken; the end is never passed."""
        token = self.tokens[self.next]
        if token.kind != "end":
            self.next += 1
        return token

    def take(self, mark: str) -> bool:
        """Take the next token if it is this mark; whether it was."""
        token = self.tokens[self.next]
        found = token.kind == "mark" and token.text == mark
        self.next += found
        return found

    def expect(self, mark: str) -> Token:
        """Take this mark, or fail."""
        token = self.tokens[self.next]
        if not self.take(mark):
            self.fail(f"expected {mark!r}, got {_quoted(token)}", token)
        return token

    def expect_name(self, word: str) -> Token:
        """Take this word, or fail."""
        token = self.advance()
        if token.kind != "name" or token.text != word:
            self.fail(f"expected {word!r}, got {_quoted(token)}", token)
        return token

    def name(self, what: str, *, quoted: bool = True) -> str:
        """Take a name, plain or quoted; `what` says in an error what was looked for."""
        token = self.advance()
        if token.kind != "name" and not (quoted and token.kind == "string"):
            self.fail(f"expected {what}, got {_quoted(token)}", token)
        return self.unquoted(token)

    def target(self) -> Token:
        """Take the name of a value being defined."""
        token = self.advance()
        if token.kind != "value":
            self.fail(f"expected a value such as %3, got {_quoted(token)}", token)
        return token

    def unquoted(self, token: Token) -> str:
        """The name or string that a token stands for."""
        if token.kind != "string":
            return token.text
        try:
            text: str = json.loads(token.text)
        except ValueError as error:
            self.fail(f"not a string: {error}", token)
        return text

    def listed(self, item: Callable[[], None], end: str) -> None:
        """Items with commas between, up to the mark that ends them."""
        if self.take(end):
            return
        item()
        while self.take(","):
            item()
        self.expect(end)

    # --- types and literals -----------------------------------------------------------------------

    def type(self) -> ArrayType:
        """A type, such as `float64[2,3]`."""
        token = self.peek()
        dtype = DTYPES.get(self.name("a type such as float64[3]", quoted=False))
        if dtype is None:
            self.fail(f"{token.text} is no dtype; use one of {', '.join(DTYPES)}", token)
        self.expect("[")
        sizes: list[int] = []
        self.listed(lambda: sizes.append(self.size()), "]")
        if len(sizes) > MAX_RANK:
            self.fail(f"more than {MAX_RANK} axes", token)
        return ArrayType(dtype, tuple(sizes))

    def size(self) -> int:
        """A size."""
        token = self.advance()
        if token.kind != "number" or not token.text.isdigit() or len(token.text) > 18:
            self.fail("expected a size", token)
        return int(token.text)

    def attribute(self) -> Any:
        """An attribute's value: a scalar, or a tuple of them."""
        if not self.take("("):
            return self.scalar()
        items: list[Any] = []
        while not self.take(")"):
            items.append(self.scalar())
            if not self.take(","):
                self.expect(")")
                break
        return tuple(items)

    def scalar(self) -> Any:
        """A number, string, truth value, dtype, or a subgraph defined before."""
        token = self.advance()
        if token.kind == "graph":
            return self.subgraph(token)
        if token.kind == "string":
            return self.unquoted(token)
        if token.kind == "name" and token.text in WORDS:
            return WORDS[token.text]
        if token.kind not in NUMBERS:
            self.fail("expected a number, a string, true, false or a dtype", token)
        return self.number(token)

    def subgraph(self, token: Token) -> Graph:
        """The subgraph of a name such as `@0`."""
        graph = self.graphs.get(token.text)
        if graph is None:
            self.fail(
                f"{token.text} is not defined before this line: a cycle or forward reference, or a "
                "wrong name",
                token,
            )
        return graph

    def number(self, token: Token) -> int | float | complex:
        """The value of a number's token."""
        if token.kind == "complex":
            return complex(token.text)
        digits = token.text.lstrip("-")
        try:
            return int(token.text) if digits.isdigit() else float(token.text)
        except ValueError:  # more digits than Python turns into an int
            self.fail("the number is too long", token)

    def listed_array(self, dtype: DType, shape: Shape) -> np.ndarray[Any, Any]:
        """The array of a nested list of elements."""
        start = self.peek()
        items: list[Any] = []
        self.nested(shape, items)
        wrong = [item for item in items if not fits(item, dtype)]
        if wrong:
            self.fail(f"{wrong[0]!r} is no {dtype.name}", start)
        try:
            with np.errstate(over="ignore"):
                return np.array(items, dtype).reshape(shape)
        except (OverflowError, ValueError) as error:
            self.fail(f"not of type {dtype.name}: {error}", start)

    def nested(self, shape: Shape, items: list[Any]) -> None:
        """Append the elements of a nested list that has just that shape."""
        if not shape:
            items.append(self.scalar())
            return
        start = self.expect("[")
        if 0 in shape and self.take("]"):
            return
        count = 0
        while not self.take("]"):
            if count:
                self.expect(",")
            if count == shape[0]:
                self.fail(f"expected {shape[0]} entries", start)
            self.nested(shape[1:], items)
            count += 1
        if count != shape[0]:
            self.fail(f"expected {shape[0]} entries, got {count}", start)

    def packed(self, dtype: DType, shape: Shape) -> np.ndarray[Any, Any]:
        """The array of base64 text."""
        token = self.advance()
        if token.kind != "string":
            self.fail("expected a string of base64", token)
        try:
            data = b64decode(token.text[1:-1], validate=True)
        except (binascii.Error, ValueError):
            self.fail("not base64", token)
        type = ArrayType(dtype, shape)
        if type.size_bytes != len(data):
            self.fail(f"{type} takes {type.size_bytes} bytes, got {len(data)}", token)
        array = np.frombuffer(data, dtype) if data else np.empty(0, dtype)
        if dtype.kind == "b" and array.size and array.view(np.uint8).max() > 1:
            self.fail("a bool element is neither 0 nor 1", token)
        try:
            return array.reshape(shape)
        except ValueError as error:  # empty, its other sizes more than an array can have
            self.fail(str(error), token)

    # --- faults -----------------------------------------------------------------------------------

    def located(self, token: Token, build: Callable[[], T]) -> T:
        """What `build` gives; its error, if any, shows the token's line."""
        try:
            return build()
        except PullbackError as error:
            message = f"{error.message}\n{shown(self.text, token.position)}"
            raise type(error)(message, field=error.field) from None

    def fail(self, message: str, token: Token | None = None) -> NoReturn:
        """Raise a ParseError at a token, by default the next one."""
        raise fault(self.text, (token or self.peek()).position, message)


def fits(value: Any, dtype: DType) -> bool:
    """Whether a literal can be an element of that dtype: no fraction or truth value is cast."""
    if isinstance(value, bool) or dtype.kind == "b":
        return isinstance(value, bool) and dtype.kind == "b"
    if isinstance(value, complex):
        return dtype.kind == "c"
    return isinstance(value, int) or (isinstance(value, float) and dtype.kind in "fc")


def _quoted(token: Token) -> str:
    return token.text if token.kind == "end" else repr(token.text[:40])
