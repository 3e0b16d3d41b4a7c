"""Simplification: what it removes, and that it never changes an IEEE value."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pullback_graph.builder import Builder
from pullback_graph.derivative import lower
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref, do
from pullback_graph.rewrite import simplify
from pullback_graph.rewrite.rewriter import MAX_FOLDED_BYTES
from pullback_graph.rewrite.rules import RULES
from pullback_graph.table import OPS
from pullback_graph.types import BOOL, COMPLEX128, FLOAT64, INT64, ArrayType, Shape
from pullback_graph.want import Gradient, Hvp
from pullback_worker.numpy_executor import NumpyExecutor, fold

SPECIAL = np.array([0.0, -0.0, 1.0, -1.5, np.inf, -np.inf, np.nan, 5e-324, 1e308])


def _vector() -> tuple[Builder, Ref]:
    builder = Builder()
    return builder, builder.input("x", ArrayType(FLOAT64, SPECIAL.shape))


def _bits(graph: Graph, *arrays: object) -> bytes:
    (result,) = NumpyExecutor().compile(graph)([np.asarray(a) for a in arrays])
    canonical = np.where(np.isnan(result), np.nan, result)
    return bytes(canonical.tobytes())


EXACT = {
    "x + (-0.0)": lambda x: x + -0.0,
    "x - 0": lambda x: x - 0.0,
    "1 * x": lambda x: 1.0 * x,
    "-1 * x": lambda x: -1.0 * x,
    "x / 1": lambda x: x / 1.0,
    "x / 1024": lambda x: x / 1024.0,
    "x ** 1": lambda x: x**1.0,
    "x ** 2": lambda x: x**2.0,
    "-(-x)": lambda x: do.negative(-x),
    "where(c, x, x)": lambda x: do.where(x > 0.0, x, x),
    "maximum(x, x)": lambda x: do.maximum(x, x),
    "reshape twice": lambda x: do.reshape(do.reshape(x, shape=(3, 3)), shape=(9,)),
    "flip twice": lambda x: do.flip(do.flip(x, axes=(0,)), axes=(0,)),
    "whole slice": lambda x: do.slice(x, starts=(0,), stops=(9,), steps=(1,)),
    "astype itself": lambda x: do.astype(x, dtype="float64"),
}


@pytest.mark.parametrize("name", EXACT)
def test_a_rule_fires_and_keeps_every_bit(name: str) -> None:
    """Each rule leaves fewer or cheaper nodes and the same bits for NaN, infinities and -0."""
    builder, x = _vector()
    graph = builder.build({"y": EXACT[name](x)})
    simpler = simplify(graph, fold)
    assert simpler.fingerprint != graph.fingerprint
    assert simpler.cost.flops <= graph.cost.flops
    assert _bits(simpler, SPECIAL) == _bits(graph, SPECIAL)


@pytest.mark.parametrize("make", [lambda x: x + 0.0, lambda x: x * 0.0, lambda x: x - x])
def test_what_is_not_exact_stays(make: object) -> None:
    """x + 0 (for -0), x * 0 and x - x (for NaN and infinity) are left alone."""
    builder, x = _vector()
    graph = builder.build({"y": make(x)})  # type: ignore[operator]
    assert simplify(graph, fold).fingerprint == graph.fingerprint


def test_integer_zero_is_neutral() -> None:
    """An integer has no negative zero: x + 0 is x."""
    builder = Builder()
    x = builder.input("x", ArrayType(INT64, (3,)))
    assert len(simplify(builder.build({"y": x + 0})).nodes) == 0


def test_a_broadcast_scalar_rule_does_not_change_the_shape() -> None:
    """1-element constants that widen the result are not dropped."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, ()))
    y = x * builder.constant(np.ones((1, 1)))
    assert simplify(builder.build({"y": y}), fold).types[-1].shape == (1, 1)


def test_common_subexpressions_and_dead_code_go() -> None:
    """Equal nodes become one, and what no output needs is dropped; inputs stay."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (4,)))
    builder.input("unused", ArrayType(FLOAT64, ()))
    do.cos(x)
    graph = builder.build({"y": do.sin(x) * do.sin(x)}, prune=False)
    simpler = simplify(graph)
    assert [node.op.name for node in simpler.nodes] == ["sin", "multiply"]
    assert simpler.input_names == graph.input_names


def test_constants_fold() -> None:
    """Nodes on constants alone become constants, in cascades."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, ()))
    two = builder.constant(2.0)
    graph = builder.build({"y": x * do.exp(do.sin(two) + two)})
    simpler = simplify(graph, fold)
    assert len(simpler.nodes) == 1
    assert simpler.constants[0] == np.exp(np.sin(2.0) + 2.0)


def test_folding_makes_no_large_constant() -> None:
    """A result over 64 KiB is left to be computed."""
    builder = Builder()
    count = MAX_FOLDED_BYTES // 8 + 1
    range_ = builder.add("iota", shape=(count,), axis=0, dtype="float64")
    simpler = simplify(builder.build({"y": range_}), fold)
    assert len(simpler.nodes) == 1
    assert not simpler.constants


def test_a_broadcast_that_the_other_operand_makes_is_dropped() -> None:
    """broadcast(s) * x is s * x: the full array is never written."""
    builder = Builder()
    s = builder.input("s", ArrayType(FLOAT64, ()))
    x = builder.input("x", ArrayType(FLOAT64, (5, 7)))
    graph = builder.build({"y": do.broadcast_to(s, shape=(5, 7)) * x})
    assert [node.op.name for node in simplify(graph).nodes] == ["multiply"]


def test_size_folds_to_the_number_of_elements() -> None:
    """The count behind a mean is a constant once the shapes are known."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (5, 7)))
    simpler = simplify(builder.build({"y": do.size(x, axes=(0,), dtype="float64")}))
    assert not simpler.nodes
    assert simpler.constants[0] == 5.0


def test_where_takes_the_branch_a_constant_chooses() -> None:
    """A constant condition of the result's shape leaves one branch."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, ()))
    true = builder.constant(np.asarray(True, BOOL))
    assert not simplify(builder.build({"y": do.where(true, x, x + 1.0)})).nodes


def test_simplifying_again_changes_nothing() -> None:
    """One sweep reaches what a second would."""
    builder, x = _vector()
    graph = builder.build({"y": do.sum(do.negative(-(x * 1.0)) / 4.0, axes=(0,), keepdims=False)})
    once = simplify(graph, fold)
    assert simplify(once, fold) == once


def test_every_rule_names_a_row() -> None:
    """The table of rules and the table of operators agree on names."""
    assert set(RULES) <= set(OPS)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1), ()])
def test_a_logsumexp_is_written_out_and_keeps_every_bit(axes: Shape, keepdims: bool) -> None:
    """Its row and its smaller nodes give the same bits, for rows of infinities and NaN too."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (5, 9)))
    graph = builder.build({"y": do.logsumexp(x, axes=axes, keepdims=keepdims)})
    rows = np.stack([SPECIAL, SPECIAL[::-1], np.full(9, -np.inf), np.arange(9.0), -SPECIAL])
    simpler = simplify(graph, fold)
    assert [node.op.name for node in simpler.nodes].count("logsumexp") == 0
    assert _bits(simpler, rows) == _bits(graph, rows)


def test_a_logsumexp_and_its_derivatives_share_their_exponentials() -> None:
    """One exp does for the value, the gradient and the product with the Hessian."""
    builder = Builder()
    x = builder.input("x", ArrayType(FLOAT64, (5, 9)))
    total = do.sum(do.logsumexp(x, axes=(1,), keepdims=False), axes=(0,), keepdims=False)
    graph = builder.build({"y": total})
    for want in (Gradient(("x",)), Hvp(("x",), (("x",),))):
        names = [node.op.name for node in lower(graph, want, fold=fold).graph.nodes]
        assert names.count("exp") == 1


COMPLEX = np.array([complex(a, b) for a in SPECIAL for b in SPECIAL])


@pytest.mark.parametrize(
    ("make", "fires"),
    [
        (lambda x: x + complex(-0.0, -0.0), True),
        (lambda x: x - 0.0, True),
        (lambda x: do.conj(do.conj(x)), True),
        (lambda x: do.negative(-x), True),
        (lambda x: x + complex(-0.0, 0.0), False),
        (lambda x: x * 1.0, False),
        (lambda x: x / 1.0, False),
        (lambda x: x**1.0, False),
    ],
)
def test_rules_are_exact_in_both_parts(make: Callable[[Ref], Ref], fires: bool) -> None:
    """What is exact for reals and mixes the parts of complex numbers is left alone."""
    builder = Builder()
    x = builder.input("x", ArrayType(COMPLEX128, COMPLEX.shape))
    graph = builder.build({"y": make(x)})
    simpler = simplify(graph, fold)
    assert (len(simpler.nodes) < len(graph.nodes)) is fires
    (expected,) = NumpyExecutor().compile(graph)([COMPLEX])
    (found,) = NumpyExecutor().compile(simpler)([COMPLEX])
    for part in ("real", "imag"):
        ours, theirs = getattr(found, part), getattr(expected, part)
        np.testing.assert_array_equal(ours, theirs)
        number = ~np.isnan(theirs)
        np.testing.assert_array_equal(np.signbit(ours[number]), np.signbit(theirs[number]))
