"""Text to a graph: recursive descent, a method per construct; every node is checked by its row.

    text      = {subgraph "=" graph} graph
    graph     = "graph" "(" [input {"," input}] ")" "{" {statement} return "}"
    input     = name ":" type
    statement = value {"," value} "=" (constant | node)
    constant  = "constant" type (literal | "base64" string)
    node      = name "(" [argument {"," argument}] ")" [":" type {"," type}]
    argument  = operand | name "=" attribute
    subgraph  = "@" and a name; an attribute may be one that stands before, or a tuple of them
    return    = "return" [name "="] operand {"," [name "="] operand}

A number may stand for an operand; it becomes a 0-d constant of the dtype of the operands beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback_graph.builder import Builder, unknown_op
from pullback_graph.errors import UnknownOp
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref
from pullback_graph.table import OPS
from pullback_graph.text.reader import NUMBERS, WORDS, Reader, fits
from pullback_graph.text.tokens import Token
from pullback_graph.types import DType

_DEFAULT_OUTPUT = "result"


def parse(text: str) -> Graph:
    """The graph that a text describes; result types may be left out.

    Raises:
        ParseError: the text is not of the form; the message shows the line.
        GraphError, ShapeError, DTypeError: a node is refused by its row; likewise.
    """
    return _Parser(text).whole()


class _Parser(Reader):
    """One text on its way to a graph. `names` maps what was defined so far to values."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.builder = Builder()
        self.names: dict[str, Ref] = {}

    def whole(self) -> Graph:
        while self.peek().kind == "graph":
            token = self.advance()
            if token.text in self.graphs:
                self.fail(f"{token.text} is defined already", token)
            self.expect("=")
            self.graphs[token.text] = self.graph()
        graph = self.graph()
        if self.peek().kind != "end":
            self.fail("expected nothing after the graph")
        return graph

    def graph(self) -> Graph:
        self.builder, self.names = Builder(), {}
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
        truth = token.text in ("true", "false") and f"={token.text}" not in self.names
        if token.kind in NUMBERS or truth:
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

    def stated_types(self, results: list[Ref]) -> None:
        for position, ref in enumerate(results):
            if position:
                self.expect(",")
            token = self.peek()
            stated = self.type()
            if stated != ref.type:
                self.fail(f"{stated} is stated, the operator gives {ref.type}", token)

    def with_literals(self, operands: list[Ref | Token]) -> list[Ref]:
        """The operands, numbers among them made constants of the others' dtype."""
        dtype = next((item.dtype for item in operands if isinstance(item, Ref)), None)
        refs = []
        for item in operands:
            if isinstance(item, Token):
                if dtype is None:
                    self.fail("a number needs an operand beside it to take its dtype from", item)
                value = WORDS[item.text] if item.kind == "name" else self.number(item)
                if not fits(value, dtype):
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
