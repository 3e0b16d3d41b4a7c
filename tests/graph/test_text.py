"""The text form: exact both ways, readable, and stable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pullback_graph.builder import Builder
from pullback_graph.errors import ParseError
from pullback_graph.graph import Graph
from pullback_graph.ref import do
from pullback_graph.text import excerpt, parse, to_text
from pullback_graph.types import DTYPE_NAMES, FLOAT64, ArrayType, real_dtype
from tests.graph.drawing import Case
from tests.graph.random_graphs import graphs
from tests.graph.row_graphs import ROW_CASES, graph_of

GOLDEN = Path(__file__).parent / "golden"
FINGERPRINTS = dict(
    line.split() for line in (GOLDEN / "fingerprints.txt").read_text().splitlines() if line
)
ARRAYS = hnp.arrays(
    st.sampled_from([np.dtype(name) for name in DTYPE_NAMES]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5),
)


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_golden_texts_read_and_print_as_ever(name: str) -> None:
    """What was printed once still parses, prints alike, and has the fingerprint it had."""
    text = (GOLDEN / f"{name}.txt").read_text()
    graph = parse(text)
    assert to_text(graph) == text
    assert graph.fingerprint == FINGERPRINTS[name]


def test_every_golden_text_has_a_fingerprint() -> None:
    """The list of fingerprints names just the golden texts there are."""
    texts = {path.stem for path in GOLDEN.glob("*.txt")} - {"fingerprints"}
    assert texts == set(FINGERPRINTS)


@pytest.mark.parametrize("case", ROW_CASES, ids=str)
def test_every_row_round_trips(case: Case) -> None:
    """A node of every row, with attributes of every kind, parses back from its text."""
    graph = graph_of(case)
    assert parse(to_text(graph)) == graph


@given(graphs(special=True))
def test_random_graphs_round_trip(graph: Graph) -> None:
    """Inputs, constants, nodes and outputs come back, numbers kept, and print alike."""
    text = to_text(graph)
    found = parse(text)
    assert (found.inputs, found.nodes, found.outputs) == (graph.inputs, graph.nodes, graph.outputs)
    assert to_text(found) == text


def parts(array: np.ndarray) -> np.ndarray:
    """The elements one after the other, both parts of complex ones."""
    return array.reshape(-1).view(real_dtype(array.dtype))


@given(ARRAYS)
def test_constants_are_exact(array: np.ndarray) -> None:
    """Every element of every dtype comes back bit for bit, a NaN as a NaN."""
    builder = Builder()
    (found,) = parse(to_text(builder.build({"z": builder.constant(array)}))).constants
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    if array.dtype.kind in "fc":
        found, array = parts(found), parts(array)
        number = ~np.isnan(array)
        assert np.array_equal(np.isnan(found), ~number)
        found, array = found[number], array[number]
    assert found.tobytes() == array.tobytes()


@given(st.floats(width=32), st.floats())
def test_floats_are_written_in_their_shortest_form(single: float, double: float) -> None:
    """A number reads back to the same bits from no more digits than it needs."""
    builder = Builder()
    refs = [builder.constant(np.float32(single)), builder.constant(np.float64(double))]
    text = to_text(builder.build({"a": refs[0], "b": refs[1]}))
    found = parse(text)
    assert np.array_equal(found.constants[0], np.float32(single), equal_nan=True)
    assert np.array_equal(found.constants[1], np.float64(double), equal_nan=True)
    assert f"constant float64[] {double!r}\n" in text


@given(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8))
def test_any_name_round_trips(name: str, output: str) -> None:
    """Names of any characters, quotes and line ends included, come back."""
    builder = Builder()
    x = builder.input(name, ArrayType(FLOAT64, ()))
    found = parse(to_text(builder.build({output: do.exp(x)})))
    assert (found.input_names, found.output_names) == ((name,), (output,))


def test_shorthand() -> None:
    """By hand: types left out, labels, comments, numbers as operands, one unnamed output."""
    short = parse("""
        graph(x: float64[3]) {  # a comment
          %doubled = multiply(2, x)
          %b = add(%doubled, -1.5)
          return %b
        }
    """)
    exact = parse("""graph(x: float64[3]) {
      %1 = constant float64[] 2.0
      %2 = constant float64[] -1.5
      %3 = multiply(%1, x) : float64[3]
      %4 = add(%3, %2) : float64[3]
      return result = %4
    }""")
    assert short == exact


@pytest.mark.parametrize("name", ["true", "nan", "float64", "constant", "graph", "return"])
def test_words_of_the_form_may_be_names(name: str) -> None:
    """An input or output called like a word of the text form round-trips."""
    builder = Builder()
    x = builder.input(name, ArrayType(FLOAT64, ()))
    graph = builder.build({name: do.sum(do.add(x, x), axes=(), keepdims=True), "x": x})
    assert parse(to_text(graph)) == graph


def test_inputs_go_by_name_or_number() -> None:
    """An input may be named, quoted, or numbered like any value."""
    text = "graph(x: float64[], y: float64[]) { %2 = add(x, y) return %2 }"
    graphs = {parse(text.replace("(x,", f"({name},")) for name in ("x", '"x"', "%0")}
    assert len(graphs) == 1


def test_abbreviated_text_is_for_reading() -> None:
    """Large constants shrink to their size; parsing that says how to print what parses."""
    builder = Builder()
    graph = builder.build({"z": builder.constant(np.arange(9.0))})
    text = to_text(graph, abbreviate=True)
    assert "constant float64[9] <9 elements>" in text
    with pytest.raises(ParseError, match="print the graph without abbreviation"):
        parse(text)


def test_a_graph_prints_as_its_text() -> None:
    """`str(graph)` is the text form."""
    graph = parse("graph(x: float64[]) {\n return x\n}")
    assert str(graph) == "graph(x: float64[]) {\n  return result = x\n}\n"


@pytest.mark.parametrize(("index", "shown"), [(0, [1, 2, 3]), (3, [2, 3, 4, 5, 6]), (6, [5, 6, 7])])
def test_an_excerpt_marks_the_fault_among_its_neighbours(index: int, shown: list[int]) -> None:
    """Up to five nodes: two before, the one at fault with a mark, two after."""
    builder = Builder()
    value = builder.input("x", ArrayType(FLOAT64, ()))
    for _ in range(7):
        value = do.sin(value)
    lines = excerpt(builder.build({"z": value}), index).splitlines()
    assert [line[2:].split(" = ")[0] for line in lines] == [f"%{number}" for number in shown]
    assert [number for number, line in zip(shown, lines, strict=True) if line[0] == ">"] == [
        index + 1
    ]


COMPLEX = """graph(z: complex64[]) {
  %1 = constant complex128[3] [-0.0+0.0j, nan-infj, 1e-310+0.1j]
  %2 = constant complex64[] 0.1+3.0j
  %3 = multiply(z, %2) : complex64[]
  return a = %1, b = %3
}
"""


def test_complex_literals_are_both_parts() -> None:
    """Signs of zero, NaN and infinities of each part are read and printed as they stand."""
    graph = parse(COMPLEX)
    assert to_text(graph) == COMPLEX
    first = graph.constants[0]
    assert np.signbit(first.real[0])
    assert not np.signbit(first.imag[0])
    assert graph.constants[1] == np.complex64(0.1 + 3j)
    short = parse(
        "graph(z: complex64[]) { %a = multiply(z, 1-2.5j)  return add(%a, 2) }".replace(
            "return add(%a, 2)", "%b = add(%a, 2)  return %b"
        )
    )
    assert [array.item() for array in short.constants] == [1 - 2.5j, 2 + 0j]


@pytest.mark.parametrize(
    ("literal", "message"),
    [
        ("1+2", "unexpected|expected"),
        ("2j", "expected"),
        ("1+2jj", "expected"),
        ("1+-2j", "expected"),
    ],
)
def test_what_is_no_complex_literal_is_refused(literal: str, message: str) -> None:
    """A ParseError shows where; a complex number in a real constant is one too."""
    with pytest.raises(ParseError, match=message):
        parse(f"graph() {{ %0 = constant complex128[] {literal}  return %0 }}")
    with pytest.raises(ParseError, match="is no float64"):
        parse("graph() { %0 = constant float64[] 1+2j  return %0 }")
