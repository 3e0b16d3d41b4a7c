"""Text to a graph: recursive descent, a method per construct; every node is checked by its row.

    graph     = "graph" "(" [input {"," input}] ")" "{" {statement} return "}"
    input     = name ":" type
    statement = value {"," value} "=" (constant | node)
    constant  = "constant" type (literal | "base64" string)
    node      = name "(" [argument {"," argument}] ")" [":" type {"," type}]
    argument  = operand | name "=" attribute
    return    = "return" [name "="] operand {"," [name "="] operand}

A number may stand for an operand; it becomes a 0-d constant of the dtype of the operands beside it.
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import numpy as np

from pullback_graph.builder import Builder, unknown_op
from pullback_graph.errors import PullbackError, UnknownOp
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref
from pullback_graph.table import OPS
from pullback_graph.text.tokens import Token, fault, shown, tokens_of
from pullback_graph.types import DTYPES, MAX_RANK, ArrayType, DType, Shape

T = TypeVar("T")

_WORDS: dict[str, Any] = {
    "true": True,
    "false": False,
    "nan": float("nan"),
    "inf": float("inf"),
    **DTYPES,
}
_DEFAULT_OUTPUT = "result"


def parse(text: str) -> Graph:
    """The graph that a text describes; result types may be left out.

    Raises:
        ParseError: the text is not of the form; the message shows the line.
        GraphError, ShapeError, DTypeError: a node is refused by its row; likewise.
    """
    return _Parser(text).graph()


class _Parser:
    """One text on its way to a graph. `names` maps what was defined so far to values."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokens_of(text)
        self.next = 0
        self.builder = Builder()
        self.names: dict[str, Ref] = {}

    # --- constructs -------------------------------------------------------------------------------

    def graph(self) -> Graph:
        self.expect_name("graph")
        self.expect("(")
        self.listed(self.input, ")")
        self.expect("{")
        while self.peek().kind == "value":
            self.statement()
        start = self.expect_name("return")
        outputs = [self.output()]
        while self.take(","):
            outputs.append(self.output())
        self.expect("}")
        if self.peek().kind != "end":
            self.fail("expected nothing after the graph")
        return self.located(start, lambda: self.builder.build(outputs, prune=False))

    def input(self) -> None:
        token = self.peek()
        name = self.name("an input's name")
        self.expect(":")
        type = self.type()
        ref = self.located(token, lambda: self.builder.input(name, type))
        self.names[f"%{ref.index}"] = ref
        self.names[f"={name}"] = ref

    def statement(self) -> None:
        targets = [self.target()]
        while self.take(","):
            targets.append(self.target())
        self.expect("=")
        start = self.peek()
        self.name("an operator or `constant`", quoted=False)
        results = [self.constant()] if start.text == "constant" else self.node(start)
        if len(results) != len(targets):
            self.fail(f"{start.text} gives {len(results)} result(s), not {len(targets)}", start)
        for target, ref in zip(targets, results, strict=True):
            if target.text in self.names:
                self.fail(f"{target.text} is defined already", target)
            self.names[target.text] = ref

    def constant(self) -> Ref:
        dtype, shape = self.type()
        start = self.peek()
        if start.text == "base64":
            self.next += 1
            array = self.packed(dtype, shape)
        else:
            array = self.listed_array(dtype, shape)
        return self.located(start, lambda: self.builder.constant(array))

    def node(self, start: Token) -> list[Ref]:
        operands: list[Ref | Token] = []
        attributes: dict[str, Any] = {}
        self.expect("(")
        self.listed(lambda: self.argument(operands, attributes), ")")
        refs = self.with_literals(operands)
        results = self.located(start, lambda: self.added(start.text, refs, attributes))
        if self.take(":"):
            self.stated_types(results)
        return results

    def added(self, name: str, operands: list[Ref], attributes: dict[str, Any]) -> list[Ref]:
        op = OPS.get(name)
        if op is None:
            raise UnknownOp(unknown_op(name))
        numbers = self.builder.append(op, tuple([ref.index for ref in operands]), attributes)
        return [Ref(self.builder, number) for number in numbers]

    def argument(self, operands: list[Ref | Token], attributes: dict[str, Any]) -> None:
        token = self.peek()
        if token.kind != "name" or self.tokens[self.next + 1].text != "=":
            operands.append(self.operand())
            return
        self.next += 2
        if token.text in attributes:
            self.fail(f"attribute {token.text} is given twice", token)
        attributes[token.text] = self.attribute()

    def operand(self) -> Ref | Token:
        token = self.advance()
        if token.kind == "number" or token.text in ("true", "false"):
            return token
        return self.value(token)

    def output(self) -> tuple[str, Ref]:
        name, token = _DEFAULT_OUTPUT, self.peek()
        if token.kind in ("name", "string") and self.tokens[self.next + 1].text == "=":
            name = self.name("an output's name")
            self.expect("=")
        return name, self.value(self.advance())

    def value(self, token: Token) -> Ref:
        """What a token refers to: a number, or an input's name."""
        if token.kind == "value":
            key = token.text
        elif token.kind in ("name", "string"):
            key = f"={self.unquoted(token)}"
        else:
            self.fail("expected a value: `%` and a number, or an input's name", token)
        ref = self.names.get(key)
        if ref is None:
            self.fail(
                f"{token.text} is not defined before this line: a cycle or forward reference, or a "
                "wrong name",
                token,
            )
        return ref

    def type(self) -> ArrayType:
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
        token = self.advance()
        if token.kind != "number" or not token.text.isdigit() or len(token.text) > 18:
            self.fail("expected a size", token)
        return int(token.text)

    def stated_types(self, results: list[Ref]) -> None:
        for position, ref in enumerate(results):
            if position:
                self.expect(",")
            token = self.peek()
            stated = self.type()
            if stated != ref.type:
                self.fail(f"{stated} is stated, the operator gives {ref.type}", token)

    # --- literals ---------------------------------------------------------------------------------

    def attribute(self) -> Any:
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
        token = self.advance()
        if token.kind == "string":
            return self.unquoted(token)
        if token.kind == "name" and token.text in _WORDS:
            return _WORDS[token.text]
        if token.kind != "number":
            self.fail("expected a number, a string, true, false or a dtype", token)
        return self.number(token)

    def number(self, token: Token) -> int | float:
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
        wrong = [item for item in items if not _fits(item, dtype)]
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
        return array.reshape(shape)

    def with_literals(self, operands: list[Ref | Token]) -> list[Ref]:
        """The operands, numbers among them made constants of the others' dtype."""
        dtype = next((item.dtype for item in operands if isinstance(item, Ref)), None)
        refs = []
        for item in operands:
            if isinstance(item, Token):
                if dtype is None:
                    self.fail("a number needs an operand beside it to take its dtype from", item)
                value = _WORDS[item.text] if item.kind == "name" else self.number(item)
                if not _fits(value, dtype):
                    self.fail(f"{item.text} is no {dtype.name}", item)
                item = self.located_number(item, value, dtype)
            refs.append(item)
        return refs

    def located_number(self, token: Token, value: Any, dtype: DType) -> Ref:
        try:
            with np.errstate(over="ignore"):
                return self.builder.constant(np.array(value, dtype))
        except OverflowError as error:
            self.fail(f"not of type {dtype.name}: {error}", token)

    # --- tokens -----------------------------------------------------------------------------------

    def peek(self) -> Token:
        return self.tokens[self.next]

    def advance(self) -> Token:
        token = self.tokens[self.next]
        if token.kind != "end":
            self.next += 1
        return token

    def take(self, mark: str) -> bool:
        token = self.tokens[self.next]
        found = token.kind == "mark" and token.text == mark
        self.next += found
        return found

    def expect(self, mark: str) -> Token:
        token = self.tokens[self.next]
        if not self.take(mark):
            self.fail(f"expected {mark!r}, got {_quoted(token)}", token)
        return token

    def expect_name(self, word: str) -> Token:
        token = self.advance()
        if token.kind != "name" or token.text != word:
            self.fail(f"expected {word!r}, got {_quoted(token)}", token)
        return token

    def name(self, what: str, *, quoted: bool = True) -> str:
        token = self.advance()
        if token.kind != "name" and not (quoted and token.kind == "string"):
            self.fail(f"expected {what}, got {_quoted(token)}", token)
        return self.unquoted(token)

    def target(self) -> Token:
        token = self.advance()
        if token.kind != "value":
            self.fail(f"expected a value such as %3, got {_quoted(token)}", token)
        return token

    def unquoted(self, token: Token) -> str:
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

    # --- faults -----------------------------------------------------------------------------------

    def located(self, token: Token, build: Callable[[], T]) -> T:
        """What `build` gives; its error, if any, shows the token's line."""
        try:
            return build()
        except PullbackError as error:
            message = f"{error.message}\n{shown(self.text, token.position)}"
            raise type(error)(message, field=error.field) from None

    def fail(self, message: str, token: Token | None = None) -> NoReturn:
        raise fault(self.text, (token or self.peek()).position, message)


def _fits(value: Any, dtype: DType) -> bool:
    """Whether a literal can be an element of that dtype: no fraction or truth value is cast."""
    if isinstance(value, bool) or dtype.kind == "b":
        return isinstance(value, bool) and dtype.kind == "b"
    return isinstance(value, int) or (isinstance(value, float) and dtype.kind == "f")


def _quoted(token: Token) -> str:
    return token.text if token.kind == "end" else repr(token.text[:40])
