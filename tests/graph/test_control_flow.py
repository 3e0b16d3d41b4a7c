"""Loops and branches as graphs: their derivatives, what those cost, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pullback_graph.attributes import MAX_DEPTH
from pullback_graph.builder import Builder, copy_values
from pullback_graph.derivative import lower
from pullback_graph.errors import (
    AttributeFault,
    DTypeError,
    GraphError,
    NotDifferentiable,
    PullbackError,
    ShapeError,
)
from pullback_graph.graph import Graph
from pullback_graph.memory import peak_bytes
from pullback_graph.recompute.loops import lower_within
from pullback_graph.ref import do
from pullback_graph.rewrite import simplify
from pullback_graph.table import OPS
from pullback_graph.text import parse
from pullback_graph.types import BOOL, FLOAT32, FLOAT64, INT64, ArrayType
from pullback_graph.want import Gradient, Hvp, Jvp, Vjp
from pullback_worker.numpy_executor import NumpyExecutor, fold
from tests.graph.loops import bodies, point, scanned, unrolled

NAMES = ("a", "h", "c", "x")


def run(graph: Graph, arrays: list[Any]) -> list[Any]:
    """The outputs of a graph."""
    return NumpyExecutor().compile(graph).values(arrays)


def derivatives(graph: Graph, want: Any, arrays: list[Any]) -> list[Any]:
    """What is wanted, on a simplified graph."""
    return run(lower(graph, want, fold=fold).graph, arrays)


def cell(width: int) -> Graph:
    """A recurrent step: h' = tanh(w h + x)."""
    return parse(f"""graph(w: float64[{width},{width}], h: float64[{width}], x: float64[{width}]) {{
      %3 = matmul(w, h)
      %4 = add(%3, x)
      %5 = tanh(%4)
      return h = %5
    }}""")


def recurrent(steps: int, width: int = 16, **attributes: Any) -> Graph:
    """The sum of the last state of such steps; one input moves each of them."""
    b = Builder()
    w = b.input("w", ArrayType(FLOAT64, (width, width)))
    h = b.input("h", ArrayType(FLOAT64, (width,)))
    x = b.input("x", ArrayType(FLOAT64, (width,)))
    xs = do.broadcast_to(x, shape=(steps, width))
    last = b.add("scan", w, h, xs, body=cell(width), consts=1, carries=1, **attributes)
    return b.build({"s": do.sum(last, axes=(0,), keepdims=False)})


def state(width: int = 16) -> list[Any]:
    """Arrays for its inputs."""
    rng = np.random.default_rng(1)
    return [rng.normal(size=(width, width)) / width, *rng.normal(size=(2, width))]


# --- derivatives ----------------------------------------------------------------------------------

WAYS: tuple[dict[str, Any], ...] = (
    {},
    {"reverse": True},
    {"segment": 1},
    {"segment": 2},
    {"segment": 3, "reverse": True},
    {"segment": 1, "slots": 1},
    {"segment": 2, "slots": 2, "reverse": True},
)


@settings(max_examples=25)
@given(bodies(), st.integers(1, 7), st.sampled_from(WAYS))
def test_a_loop_and_its_derivatives_are_those_of_its_steps(
    body: Graph, steps: int, way: dict[str, Any]
) -> None:
    """Value, gradient, tangent, Hessian product: a random body looped and written out agree."""
    arrays = point(steps)
    loop, flat = scanned(body, steps, **way), unrolled(body, steps, reverse="reverse" in way)
    direction = point(steps, 1)
    wants: tuple[tuple[Any, list[Any]], ...] = (
        (Gradient(NAMES), []),
        (Jvp((NAMES,)), direction),
        (Hvp(NAMES, (NAMES,)), direction),
        (Hvp(("h",), (("h",),)), direction[1:2]),
    )
    for want, seeds in wants:
        ours = derivatives(loop, want, [*arrays, *seeds])
        theirs = derivatives(flat, want, [*arrays, *seeds])
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(
                one, other, rtol=1e-9, atol=1e-9 * np.max(np.abs(other), initial=1.0)
            )


def test_reverse_over_reverse() -> None:
    """The gradient of a gradient's square, pulled twice, is the written-out loop's."""
    body = parse("""graph(a: float64[], h: float64[3], c: float64[], x: float64[3]) {
      %4 = multiply(h, a)
      %5 = add(%4, x)
      %6 = sin(%5)
      %7 = sum(%6, axes=(0,), keepdims=false)
      %8 = multiply(%7, c)
      return r0 = %6, r1 = %8, r2 = %5, r3 = %6
    }""")
    arrays = point(4)

    def squared(graph: Graph) -> Graph:
        first = lower(graph, Gradient(NAMES)).graph
        b = Builder()
        refs = [b.input(item.name, item.type) for item in first.inputs]
        values = copy_values(b, first, refs)
        parts = [do.square(values[item.value]) for item in first.outputs[1:]]
        sums = [do.sum(p, axes=tuple(range(len(p.shape))), keepdims=False) for p in parts]
        return b.build({"s": sums[0] + sums[1] + sums[2] + sums[3]})

    ours = derivatives(squared(scanned(body, 4)), Gradient(NAMES), arrays)
    theirs = derivatives(squared(unrolled(body, 4)), Gradient(NAMES), arrays)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


def loops_in(graph: Graph) -> int:
    """How many loops run on the outermost level."""
    return sum(node.op.name in ("scan", "while_loop") for node in graph.nodes)


def test_no_loop_runs_twice() -> None:
    """A gradient is a loop forward and a loop back; a tangent is one loop."""
    graph = recurrent(10)
    assert loops_in(lower(graph, Gradient(("w", "h"))).graph) == 2
    assert loops_in(lower(graph, Jvp((("w",),))).graph) == 1
    assert loops_in(lower(graph, Hvp(("w",), (("w",),))).graph) == 2


def test_what_is_not_asked_is_not_computed() -> None:
    """Without a cotangent for the entries, none is stacked for them."""
    b = Builder()
    w, h = b.input("w", ArrayType(FLOAT64, (4, 4))), b.input("h", ArrayType(FLOAT64, (4,)))
    xs = b.input("xs", ArrayType(FLOAT64, (6, 4)))
    last = b.add("scan", w, h, xs, body=cell(4), consts=1, carries=1)
    graph = b.build({"s": do.sum(last, axes=(0,), keepdims=False)})
    back = lower(graph, Gradient(("w",))).graph.nodes
    (loop,) = [n for n in back if n.op.name == "scan" and n.attributes["reverse"]]
    assert [type.shape for type in loop.types] == [(4,), (4, 4)]


def test_the_gradient_of_a_loop_stays_linear() -> None:
    """FLOPs and bytes of value and gradient are within five forward runs, for 10 and 10⁴ steps."""
    for steps in (10, 10_000):
        graph = recurrent(steps)
        lowered = lower(graph, Gradient(("w", "h", "x")), fold=fold).graph
        assert lowered.cost.flops <= 5 * graph.cost.flops
        assert lowered.cost.size_bytes <= 5 * graph.cost.size_bytes
        assert lowered.cost.calls <= 5 * graph.cost.calls


def test_a_tangent_keeps_nothing() -> None:
    """A loop's JVP needs no memory that grows with its steps."""
    peaks = [peak_bytes(lower(recurrent(n), Jvp((("w",),))).graph) for n in (1000, 10_000)]
    widened = 8 * 16 * 9000  # the broadcast input, which counts as if it were a copy
    assert peaks[1] - peaks[0] == widened


# --- memory ---------------------------------------------------------------------------------------


def test_checkpoints_take_a_tenth_of_the_memory() -> None:
    """10⁴ steps: the same gradient in less than a tenth of the bytes, as estimated and as asked."""
    steps, width = 10_000, 16
    b = Builder()
    w = b.input("w", ArrayType(FLOAT64, (width, width)))
    h = b.input("h", ArrayType(FLOAT64, (width,)))
    body = parse(f"""graph(w: float64[{width},{width}], h: float64[{width}]) {{
      %2 = matmul(w, h)
      %3 = tanh(%2)
      return h = %3
    }}""")
    last = b.add("scan", w, h, body=body, consts=1, carries=1, length=steps)
    graph = b.build({"s": do.sum(last, axes=(0,), keepdims=False)})
    want = Gradient(("w", "h"))
    plain = lower(graph, want).graph
    capped, factor = lower_within(graph, peak_bytes(plain) // 10, lambda g: lower(g, want))
    assert peak_bytes(capped.graph) <= peak_bytes(plain) // 10
    assert 1.0 < factor < 2.0
    tight, more = lower_within(graph, peak_bytes(plain) // 100, lambda g: lower(g, want))
    assert peak_bytes(tight.graph) <= peak_bytes(plain) // 100
    assert factor < more < 5.0
    arrays = state(width)[:2]
    for one in (capped.graph, tight.graph):
        for ours, theirs in zip(run(one, arrays), run(plain, arrays), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_a_loop_that_says_how_it_is_cut_stays_so() -> None:
    """A memory cap changes no segments that the user chose."""
    graph = recurrent(100, segment=50)
    lowered, factor = lower_within(graph, 1, lambda g: lower(g, Gradient(("w",))))
    assert factor == 0.0
    assert lowered.graph == lower(graph, Gradient(("w",))).graph


# --- resizing, simplifying ------------------------------------------------------------------------


def test_bodies_follow_other_sizes() -> None:
    """Another batch and another length: the body is retyped, what starts the carry follows."""
    body = parse("""graph(w: float64[2,2], h: float64[5,2], x: float64[5,2]) {
      %3 = matmul(h, w)
      %4 = add(%3, x)
      return h = %4, y = %4
    }""")
    b = Builder()
    w, x = b.input("w", ArrayType(FLOAT64, (2, 2))), b.input("x", ArrayType(FLOAT64, (7, 5, 2)))
    h = do.broadcast_to(b.constant(np.asarray(0.0)), shape=(5, 2))
    out = b.add("scan", w, h, x, body=body, consts=1, carries=1)
    graph = b.build({"last": out[0], "all": out[1]})
    wider = graph.with_shapes({"x": (9, 4, 2)})
    assert [wider.output_type(i).shape for i in (0, 1)] == [(4, 2), (9, 4, 2)]
    rng = np.random.default_rng(0)
    w_, x_ = rng.normal(size=(2, 2)), rng.normal(size=(9, 4, 2))
    alone = [run(graph.with_shapes({"x": (9, 1, 2)}), [w_, x_[:, i : i + 1]]) for i in range(4)]
    together = run(wider, [w_, x_])
    np.testing.assert_allclose(together[0], np.concatenate([a[0] for a in alone]))
    np.testing.assert_allclose(together[1], np.concatenate([a[1] for a in alone], axis=1))


def test_bodies_are_simplified_and_equal_loops_shared() -> None:
    """x * 1 goes from a body too; two nodes with equal bodies become one."""
    body = parse("""graph(h: float64[], x: float64[]) {
      %2 = constant float64[] 1.0
      %3 = multiply(h, %2)
      %4 = add(%3, x)
      return h = %4
    }""")
    b = Builder()
    h, x = b.input("h", ArrayType(FLOAT64, ())), b.input("x", ArrayType(FLOAT64, (3,)))
    loops = [b.add("scan", h, x, body=body, consts=0, carries=1) for _ in range(2)]
    graph = simplify(b.build({"s": loops[0] + loops[1]}))
    assert loops_in(graph) == 1
    (inner,) = graph.bodies
    assert [node.op.name for node in inner.nodes] == ["add"]


# --- what is refused ------------------------------------------------------------------------------

F64 = ArrayType(FLOAT64, ())
STEP = parse("graph(h: float64[], x: float64[]) {\n%2 = add(h, x)\nreturn h = %2\n}")
NARROWED = parse(
    "graph(h: float64[], x: float64[]) {\n%2 = astype(h, dtype=float32)\nreturn h = %2\n}"
)
WIDENED = parse(
    "graph(h: float64[], x: float64[]) {\n%2 = broadcast_to(h, shape=(3,))\nreturn h = %2\n}"
)
TRUE = parse("graph(h: float64[], x: float64[]) {\n%2 = less(h, x)\nreturn r = %2\n}")
PAIR = {"consts": 1, "carries": 1}
BAD: tuple[tuple[str, list[ArrayType], dict[str, Any], type[PullbackError], str], ...] = (
    ("scan", [F64, F64], {"body": STEP, "consts": 0, "carries": 1}, ShapeError, "operand 0 is 0-d"),
    (
        "scan",
        [F64, ArrayType(FLOAT64, (3,))],
        {"body": NARROWED, "consts": 0, "carries": 1},
        DTypeError,
        r"carry 0 \('h'\) is float64\[\] before a step and float32\[\] after it",
    ),
    (
        "scan",
        [F64, ArrayType(FLOAT64, (3,))],
        {"body": WIDENED, "consts": 0, "carries": 1},
        ShapeError,
        r"carry 0 \('h'\) is float64\[\] before a step and float64\[3\] after it",
    ),
    (
        "scan",
        [F64, ArrayType(FLOAT32, (3,))],
        {"body": STEP, "consts": 0, "carries": 1},
        DTypeError,
        r"an entry of stacked operand 0 is float32\[\], 'body' takes float64\[\] for 'x'",
    ),
    (
        "scan",
        [F64, ArrayType(FLOAT64, (3,))],
        {"body": STEP, "consts": 0, "carries": 1, "length": 4},
        ShapeError,
        "3 steps, attribute 'length' has 4",
    ),
    ("scan", [F64, F64], {"body": STEP, **PAIR}, ShapeError, "needs a length"),
    ("scan", [F64], {"body": STEP, **PAIR}, AttributeFault, "more than 1 operand"),
    ("scan", [F64], {"body": 3, **PAIR}, AttributeFault, "'body' must be graph, got 3"),
    ("while_loop", [F64, F64], {"cond": STEP, "body": STEP, "consts": 1}, DTypeError, "bool"),
    (
        "while_loop",
        [F64, F64],
        {"cond": TRUE, "body": STEP, "consts": 0},
        AttributeFault,
        "gives 1 value",
    ),
    ("while_loop", [F64, F64], {"cond": TRUE, "body": STEP, "consts": 2}, AttributeFault, "never"),
    ("cond", [F64, F64, F64], {"branches": (STEP, STEP)}, DTypeError, "truth value or an integer"),
    (
        "cond",
        [ArrayType(BOOL, ()), F64, F64],
        {"branches": (STEP,)},
        AttributeFault,
        "between 2 branches",
    ),
    (
        "cond",
        [ArrayType(INT64, ()), F64, F64],
        {"branches": (STEP, TRUE)},
        DTypeError,
        "branch 0 gives float64",
    ),
    ("cond", [ArrayType(INT64, ())], {"branches": ()}, AttributeFault, "'branches' must be graphs"),
    ("custom", [F64, F64], {"forward": STEP}, AttributeFault, "neither 'jvp' nor 'vjp'"),
)


@pytest.mark.parametrize(("name", "types", "attributes", "error", "message"), BAD)
def test_what_does_not_fit_is_refused(
    name: str,
    types: list[ArrayType],
    attributes: dict[str, Any],
    error: type[PullbackError],
    message: str,
) -> None:
    """The error is typed, names the node, the operand and both types."""
    b = Builder()
    refs = [b.input(f"x{i}", type) for i, type in enumerate(types)]
    with pytest.raises(error, match=f"node 0 {name}.*{message}"):
        b.add(name, *refs, **attributes)


def looped(body: Graph) -> Graph:
    """A loop of two steps around a body like STEP, as a graph like STEP."""
    b = Builder()
    h, x = b.input("h", F64), b.input("x", F64)
    xs = do.broadcast_to(x, shape=(2,))
    return b.build({"h": b.add("scan", h, xs, body=body, consts=0, carries=1)}, prune=False)


def test_graphs_nest_no_deeper_than_is_safe() -> None:
    """A tower of bodies is refused long before Python's own limit."""
    graph = STEP
    for _ in range(MAX_DEPTH):
        graph = looped(graph)
    with pytest.raises(GraphError, match="nest deeper than"):
        looped(graph)


def test_an_unbounded_while_has_tangents_alone() -> None:
    """Pulling through it is an error that says what to give; pushing is not."""
    case = OPS["while_loop"].domain.examples[0].attributes
    b = Builder()
    x = [b.input(name, ArrayType(FLOAT64, (2,))) for name in "axy"]
    out = b.add("while_loop", *x, cond=parse(case["cond"]), body=parse(case["body"]), consts=1)
    graph = b.build({"x": out[0], "y": out[1]})
    with pytest.raises(NotDifferentiable, match="give max_steps"):
        lower(graph, Vjp(("a",), (("x",),)))
    assert loops_in(lower(graph, Jvp((("a",),))).graph) == 1


def test_zero_and_missing_derivatives_in_a_body() -> None:
    """A step function in a body cuts its derivative; the error of a row without one shows it."""
    lines = "graph(h: float64[], x: float64[]) {\n%2 = floor(h)\n%3 = add(%2, x)\nreturn h = %3\n}"
    arrays = [np.asarray(0.5), np.asarray(1.0)]
    assert derivatives(looped(STEP), Gradient(("h",)), arrays)[1] == 1.0
    assert derivatives(looped(parse(lines)), Gradient(("h",)), arrays)[1] == 0.0
    endless = looped(parse(str(looped(STEP))))
    assert derivatives(endless, Gradient(("x",)), arrays)[1] == 4.0
