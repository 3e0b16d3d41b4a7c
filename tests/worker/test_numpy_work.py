"""The work of a graph: amounts by unit, as NumPy's chains, loops and buffers make them."""

from __future__ import annotations

from math import isfinite

import pytest

from pullback_graph.builder import Builder
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref, do
from pullback_graph.types import FLOAT32, FLOAT64, ArrayType, DType
from pullback_worker.numpy_work import (
    FRESH,
    HELD,
    LEAST_FRESH_BYTES,
    LEAST_MEMORY_BYTES,
    MEMORY,
    MOST_HELD_BYTES,
    STEPS,
    THIN_MEMORY,
    work_of,
)
from tests.graph.drawing import Case
from tests.graph.row_graphs import ROW_CASES, graph_of

LARGE = 4 * LEAST_MEMORY_BYTES // 8
"""Elements of an array from memory."""


def chain(elements: int, dtype: DType = FLOAT64, nodes: int = 3) -> Graph:
    """Exponentials of each other's, of an array."""
    b = Builder()
    z: Ref = b.input("x", ArrayType(dtype, (elements,)))
    for _ in range(nodes):
        z = do.exp(do.negative(z))
    return b.build({"z": z})


def counted(steps: int) -> Graph:
    """A loop that adds a vector to another, so many times."""
    b = Builder()
    inner = b.inner()
    y, c = (inner.input(name, ArrayType(FLOAT64, (4,))) for name in "yc")
    body = inner.build({"c": do.add(c, y)})
    x, start = (b.input(name, ArrayType(FLOAT64, (4,))) for name in ("x", "start"))
    return b.build({"c": do.scan(x, start, body=body, consts=1, carries=1, length=steps)})


def test_an_elementwise_row_does_an_element_at_a_time() -> None:
    """Elements by row and dtype, and a call a node; small arrays cause no traffic."""
    expected = {"exp calls": 3, "negative calls": 3}
    for dtype in (FLOAT64, FLOAT32):
        named = {f"exp {dtype}": 300.0, f"negative {dtype}": 300.0}
        assert work_of(chain(100, dtype)) == expected | named


def test_what_passes_inside_a_chain_causes_no_traffic() -> None:
    """An operand is read and a result written, however many nodes stand between them."""
    for nodes in (1, 3, 10):
        work = work_of(chain(LARGE, nodes=nodes))
        assert work[MEMORY] == work[HELD] == 8 * LARGE


def test_what_a_small_graph_made_is_held_by_a_cache() -> None:
    """Its inputs come from memory; so does everything in a graph that works on more."""
    few, many = MOST_HELD_BYTES // 24, MOST_HELD_BYTES // 24 + 1
    assert work_of(chain(few, nodes=1))[HELD] == 8 * few
    assert HELD not in work_of(chain(many, nodes=1))
    assert work_of(chain(many, nodes=1))[MEMORY] == 2 * 8 * many


def test_only_memory_that_is_not_there_is_fresh() -> None:
    """A result of a chain needs an array of its own; what is written over a dead one does not."""
    elements = LEAST_FRESH_BYTES // 8
    assert work_of(chain(elements))[FRESH] == LEAST_FRESH_BYTES
    assert work_of(chain(elements - 1))[FRESH] == 0
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, (2, elements)))
    z = do.sum(x, axes=(0,), keepdims=False)
    assert work_of(b.build({"z": do.exp(z)}))[FRESH] == LEAST_FRESH_BYTES


def test_a_loop_does_its_bodys_work_as_often_as_it_steps() -> None:
    """Amounts are proportional to the steps, calls included."""
    few, many = work_of(counted(10)), work_of(counted(1000))
    assert few["scan calls"] == many["scan calls"] == 1
    assert (few[STEPS], many[STEPS]) == pytest.approx((10, 1000))
    assert (few["add calls"], few["add float64"]) == pytest.approx((10, 40))
    assert (many["add calls"], many["add float64"]) == pytest.approx((1000, 4000))


def test_scalars_of_a_loop_are_no_arrays() -> None:
    """Their calls have a unit of their own; outside a loop they are calls as any."""
    b = Builder()
    inner = b.inner()
    c = inner.input("c", ArrayType(FLOAT64, ()))
    body = inner.build({"c": do.multiply(c, c)})
    start = b.input("start", ArrayType(FLOAT64, ()))
    z = do.scan(start, body=body, consts=0, carries=1, length=7)
    work = work_of(b.build({"c": do.multiply(z, z)}))
    assert work["multiply scalar calls"] == pytest.approx(7)
    assert work["multiply calls"] == 1


def test_a_choice_is_priced_by_what_it_chooses_from() -> None:
    """Not by its condition, whose dtype says nothing of the elements' size."""
    b = Builder()
    x = b.input("x", ArrayType(FLOAT32, (100,)))
    work = work_of(b.build({"z": do.where(do.greater(x, x), x, x)}))
    assert work["where float32"] == 100


def test_what_only_moves_elements_is_priced_by_bytes() -> None:
    """Its unit is that of the bytes of rows that compute as well."""
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, (100,)))
    work = work_of(b.build({"z": do.concat(x, x, axis=0)}))
    assert work["concat float64 bytes"] == 3200
    assert "concat float64" not in work


def test_a_product_has_flops_and_bytes() -> None:
    """Both matter: products of small matrices are not as fast as their FLOPs say."""
    b = Builder()
    x, y = (b.input(name, ArrayType(FLOAT64, (10, 10))) for name in "xy")
    work = work_of(b.build({"z": do.matmul(x, y)}))
    assert work == {"matmul calls": 1, "matmul float64": 2000.0, "matmul float64 bytes": 2400.0}


def test_bytes_from_memory_are_a_products_work_as_well() -> None:
    """What memory adds is measured over what they take where they are near."""
    b = Builder()
    x, y = (b.input(n, ArrayType(FLOAT64, s)) for n, s in (("x", (LARGE // 8, 8)), ("y", (8, 8))))
    work = work_of(b.build({"z": do.matmul(x, y)}))
    assert work["matmul float64 bytes"] == 8 * (2 * LARGE + 64)
    assert work[MEMORY] == 8 * LARGE


def test_a_product_with_a_vector_is_priced_by_what_it_reads() -> None:
    """Not by FLOPs, of which there are two for each element; from memory at a price of its own."""
    b = Builder()
    x, y = (b.input(n, ArrayType(FLOAT64, s)) for n, s in (("x", (LARGE // 8, 8)), ("y", (8,))))
    work = work_of(b.build({"z": do.matmul(x, y)}))
    size_bytes = 8 * (LARGE + 8 + LARGE // 8)
    expected = {"matmul calls": 1, "matmul float64 thin": size_bytes, THIN_MEMORY: 8 * LARGE}
    assert {unit: amount for unit, amount in work.items() if amount} == expected


@pytest.mark.parametrize("case", ROW_CASES, ids=str)
def test_every_row_has_work(case: Case) -> None:
    """On every example: its calls, and amounts that are numbers of zero or more."""
    work = work_of(graph_of(case))
    assert work[f"{case.op.name} calls"] >= 1
    assert all(isfinite(amount) and amount >= 0 for amount in work.values())
