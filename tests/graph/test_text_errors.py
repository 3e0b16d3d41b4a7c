"""Faults in a text: typed, with line and column, the line shown and the next action."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback_graph.errors import (
    ArityError,
    AttributeFault,
    DTypeError,
    GraphError,
    ParseError,
    PullbackError,
    ShapeError,
    UnknownOp,
)
from pullback_graph.text import parse, to_text
from tests.graph.random_graphs import random_graph

HEAD = "graph(x: float64[3], y: float64[4]) {\n"
BODIES: dict[str, tuple[str, type[PullbackError], str]] = {
    "unknown op": ("%2 = mutiply(x, x)", UnknownOp, "did you mean multiply"),
    "shapes": ("%2 = add(x, y)", ShapeError, "do not broadcast"),
    "dtypes": ("%2 = logical_and(x, x)", DTypeError, "bool"),
    "arity": ("%2 = exp(x, x)", ArityError, "takes 1 operand"),
    "attribute": ("%2 = sum(x, axis=0)", AttributeFault, "'axes' .* is missing"),
    "attribute's kind": ("%2 = sum(x, axes=0.5)", AttributeFault, "must be axes"),
    "attribute called name": ("%2 = exp(x, name=1)", AttributeFault, "unknown attribute name"),
    "doubled attribute": ("%2 = sum(x, axes=(), axes=())", ParseError, "given twice"),
    "forward reference": ("%2 = exp(%3)", ParseError, "cycle or forward reference"),
    "own result": ("%2 = exp(%2)", ParseError, "cycle or forward reference"),
    "unknown input": ("%2 = exp(z)", ParseError, "z is not defined"),
    "defined twice": ("%0 = exp(x)", ParseError, "%0 is defined already"),
    "wrong type": ("%2 = exp(x) : float64[4]", ParseError, r"float64\[4\] is stated"),
    "too many results": ("%2, %3 = exp(x)", ParseError, "gives 1 result"),
    "too many types": ("%2 = exp(x) : float64[3], float64[3]", ParseError, "expected 'return'"),
    "no parenthesis": ("%2 = exp x", ParseError, r"expected '\(', got 'x'"),
    "no operator": ("%2 = (x)", ParseError, "expected an operator"),
    "unknown dtype": ("%2 = constant float16[] 0", ParseError, "float16 is no dtype"),
    "negative size": ("%2 = constant float64[-1] []", ParseError, "expected a size"),
    "too many entries": ("%2 = constant int8[1] [1, 2]", ParseError, "expected 1 entries"),
    "too few entries": ("%2 = constant int8[2] [1]", ParseError, "expected 2 entries, got 1"),
    "too deep": ("%2 = constant int8[1] [[1]]", ParseError, "expected a number"),
    "too flat": ("%2 = constant int8[1,1] [1]", ParseError, r"expected '\['"),
    "a fraction": ("%2 = constant int8[] 1.5", ParseError, "1.5 is no int8"),
    "a truth value": ("%2 = constant float64[] true", ParseError, "True is no float64"),
    "out of range": ("%2 = constant int8[] 300", ParseError, "int8"),
    "a long number": (f"%2 = constant float64[] {'9' * 5000}", ParseError, "too long"),
    "no base64": ('%2 = constant int8[2] base64 "!"', ParseError, "not base64"),
    "short base64": ('%2 = constant int8[2] base64 "AA=="', ParseError, "takes 2 bytes, got 1"),
    "vast base64": (
        f'%2 = constant int8[{10**17}, {10**17}, 0] base64 ""',
        ParseError,
        "cannot reshape",
    ),
    "bool base64": ('%2 = constant bool[1] base64 "Ag=="', ParseError, "neither 0 nor 1"),
    "huge constant": (f"%2 = constant int8[{10**17}] []", ParseError, "expected .* entries"),
    "huge empty one": (f"%2 = constant int8[0,{10**17},{10**17}] []", ParseError, "int8"),
    "too many axes": (f"%2 = constant int8[{'1,' * 40}1] 0", ParseError, "more than 32 axes"),
    "a number alone": ("%2 = add(1, 2)", ParseError, "needs an operand beside it"),
    "a fitting number": (
        "%2 = argmax(x, axis=0, keepdims=false) %3 = add(%2, 0.5)",
        ParseError,
        "0.5 is no int64",
    ),
    "a character": ("%2 = exp(x) ;", ParseError, "unexpected ';'"),
    "an open string": ('%2 = exp("x', ParseError, "does not end"),
    "a bad escape": (r'%2 = exp("\q")', ParseError, "not a string"),
}
HEADS = {
    "empty": ("", ParseError, "expected 'graph', got the end"),
    "another word": ("grph() {", ParseError, "expected 'graph', got 'grph'"),
    "doubled input": ("graph(x: int8[], x: int8[]) { return x }", GraphError, "taken"),
    "no output": ("graph() { return }", ParseError, "expected a value"),
    "doubled output": ("graph(x: int8[]) { return a = x, a = x }", GraphError, "distinct"),
    "two graphs": ("graph(x: int8[]) { return x } graph", ParseError, "nothing after the graph"),
    "a missing brace": ("graph(x: int8[]) { return x", ParseError, "expected '}', got the end"),
}


@pytest.mark.parametrize("fault", BODIES)
def test_a_fault_in_a_statement_is_typed_and_placed(fault: str) -> None:
    """The error is of its kind, names line and column, and shows the line with a mark below."""
    statement, kind, words = BODIES[fault]
    with pytest.raises(kind, match=words) as caught:
        parse(f"{HEAD} {statement}\n return %2\n}}")
    assert type(caught.value) is kind
    place, mark = caught.value.message.splitlines()[-2:]
    assert place.startswith("line ")
    assert mark.strip() == "^"


@pytest.mark.parametrize("fault", HEADS)
def test_a_fault_around_the_statements_is_typed(fault: str) -> None:
    """Head, return and end are checked as well."""
    text, kind, words = HEADS[fault]
    with pytest.raises(kind, match=words):
        parse(text)


def test_the_place_is_marked() -> None:
    """The mark stands under the token at fault; line and column are the error's field."""
    with pytest.raises(ParseError) as caught:
        parse(f"{HEAD}  %2 = exp(%9)\n  return %2\n}}")
    *_, line, mark = caught.value.message.splitlines()
    assert line == "line 2, column 12:   %2 = exp(%9)"
    assert line[mark.index("^") :] == "%9)"
    assert caught.value.field == "line 2, column 12"


def test_a_long_line_is_shown_around_the_fault() -> None:
    """Of a line of thousands of characters, the part at fault is shown."""
    with pytest.raises(ParseError) as caught:
        parse(f"graph(x: float64[]) {{ return {'x, ' * 5000} %1 }}")
    *_, line, mark = caught.value.message.splitlines()
    assert len(line) < 150
    assert line[mark.index("^") :].startswith("%1")


@given(st.text(alphabet='graph(){}[]:=,%"#x01.-e\n nconstalfb64/\\', max_size=120))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """Whatever the characters, only errors of the tree come out."""
    try:
        parse(text)
    except PullbackError:
        return


@given(st.integers(0, 60), st.randoms(use_true_random=False))
def test_changed_texts_are_parsed_or_refused(seed: int, random: Random) -> None:
    """Valid texts with parts cut out, doubled or swapped parse or are refused."""
    text = to_text(random_graph(seed, special=True))
    for _ in range(3):
        start = random.randrange(len(text))
        stop = start + random.randint(0, 6)
        place = random.randrange(len(text))
        text = text[:place] + text[start:stop] + text[place + random.randint(0, 4) :]
    try:
        graph = parse(text)
    except PullbackError:
        return
    assert parse(to_text(graph)) == graph
