"""Graphs that do the same at every point of an axis: found, and run as the tape of one point."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pullback_graph import ArrayType, Builder, Graph
from pullback_graph.derivative import lower
from pullback_graph.errors import Cancelled, InputError
from pullback_graph.ref import Ref, do
from pullback_graph.tape import Pointwise, Tape, pointwise, tape_of_point, to_graph
from pullback_graph.types import FLOAT32, FLOAT64
from pullback_graph.vmap import vmap
from pullback_graph.want import Gradient, Value
from pullback_worker.executor import CancelFlag
from pullback_worker.numpy_executor import NumpyExecutor
from pullback_worker.tape_loader import Route, TapeLoader, asked_route, route
from pullback_worker.tape_wants import Mode
from tests.worker.tape_samples import tapes

pytest.importorskip("numba")
from pullback_worker.tape_points import PointsProgram

LOADER = TapeLoader()


def points_program(graph: Graph, want: Value | None = None, threads: int = 1) -> PointsProgram:
    """The program of a pointwise graph."""
    wanted = want or Value()
    program = LOADER.compile_graph(graph, wanted, asked_route(graph, wanted), threads)
    assert isinstance(program, PointsProgram)
    return program


@given(tape=tapes(), count=st.sampled_from([4, 64, 67, 200]), shared=st.booleans())
def test_a_mapped_gradient_gives_at_every_point_what_numpy_gives(
    tape: Tape, count: int, shared: bool
) -> None:
    """Any scalar code, differentiated and mapped; an input may be common to all points."""
    lowered = lower(to_graph(tape), Gradient(("x", "y"), "z"))
    names = ("x",) if shared else ("x", "y")
    graph = vmap(lowered.graph, names, count)
    rng = np.random.default_rng(count)
    y = np.array(0.6) if shared else rng.uniform(-2, 2, count)
    arrays = [rng.uniform(-2, 2, (count, 3)), y]
    expected = NumpyExecutor().compile(graph)(arrays)
    points = pointwise(graph)
    assume(points is not None)  # it is None where the outputs depend on nothing
    found = LOADER.compile_graph(graph, Value(), Route(FLOAT64, Mode.POINTS, points=points))(arrays)
    for mine, theirs in zip(found, expected, strict=True):
        assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape)
        assert mine.flags.c_contiguous
        finite = np.isfinite(theirs)
        np.testing.assert_array_equal(np.isfinite(mine), finite)
        np.testing.assert_allclose(mine[finite], theirs[finite], 1e-9, 1e-9)


def built(make: Any, *shapes: tuple[int, ...], dtype: Any = FLOAT64) -> Graph:
    """The graph of `make(do, *inputs)`."""
    builder = Builder()
    inputs = [builder.input(f"x{k}", ArrayType(dtype, shape)) for k, shape in enumerate(shapes)]
    made = make(*inputs)
    outputs = made if isinstance(made, tuple) else (made,)
    return builder.build({f"z{k}": ref for k, ref in enumerate(outputs)})


def ramp(x: Ref) -> Ref:
    """A constant as long as x."""
    return x.builder.constant(np.arange(float(x.shape[0])))


MIXING = {
    "a sum": lambda x: do.divide(x, do.sum(x, axes=(0,), keepdims=False)),
    "a flip": lambda x: do.flip(x, axes=(0,)),
    "a roll": lambda x: do.add(x, do.roll(x, shifts=(1,), axes=(0,))),
    "a reshape": lambda x: do.reshape(x, shape=(4, 2)),
    "a slice": lambda x: do.slice(x, starts=(0,), stops=(4,), steps=(1,)),
    "a concatenation": lambda x: do.concat(x, x, axis=0),
    "a constant as long": lambda x: do.add(x, ramp(x)),
    "an outer product": lambda x: do.einsum(x, x, subscripts="a,b->ab"),
    "only 0-d outputs": lambda x: do.sum(x, axes=(0,), keepdims=False),
}


@pytest.mark.parametrize("name", MIXING)
def test_what_mixes_points_is_not_pointwise(name: str) -> None:
    """The second look says no, and the machine runs it element by element."""
    graph = built(MIXING[name], (8,))
    assert pointwise(graph) is None
    x = np.linspace(0.1, 0.9, 8)
    found = LOADER.compile_graph(graph, Value(), asked_route(graph, Value()))([x])
    (expected,) = NumpyExecutor().compile(graph)([x])
    np.testing.assert_allclose(found[0], expected, 1e-14)


def test_vectors_of_elementwise_code_are_points() -> None:
    """Without vmap too; shared scalars and vectors; several outputs, one not of the points."""

    def make(x: Ref, w: Ref, v: Ref) -> tuple[Ref, ...]:
        inner = do.sum(do.multiply(w, w), axes=(0,), keepdims=False)
        return do.sin(do.multiply(x, inner)), do.add(do.exp(x), v), inner

    graph = built(make, (100,), (2,), ())
    found = pointwise(graph)
    assert found == Pointwise(100, (True, False, False), (True, True, False))
    arrays = [np.linspace(-1, 1, 100), np.array([0.5, 2.0]), np.array(3.0)]
    expected = NumpyExecutor().compile(graph)(arrays)
    for mine, theirs in zip(points_program(graph)(arrays), expected, strict=True):
        assert mine.shape == theirs.shape
        np.testing.assert_allclose(mine, theirs, 1e-14)
    one = points_program(graph, Value(("z1",)))
    assert one.result_names == ["z1"]
    np.testing.assert_allclose(one(arrays)[0], expected[1], 1e-14)


def test_threads_and_blocks_change_no_bit() -> None:
    """Of points enough for several visits; arrays as they come off the wire are read-only."""

    def make(x: Ref, y: Ref) -> Ref:
        z = x
        for _ in range(200):
            z = do.sin(do.add(do.multiply(z, y), x))
        return z

    graph = built(make, (30_001,), (30_001,))
    x, y = np.random.default_rng(0).uniform(-1, 1, (2, 30_001))
    x.flags.writeable = False
    alone, together = (points_program(graph, threads=t)([x, y])[0] for t in (1, 3))
    assert alone.tobytes() == together.tobytes()
    flag = CancelFlag()
    flag.set()
    for threads in (1, 3):
        with pytest.raises(Cancelled):
            points_program(graph, threads=threads)([x, y], flag)


def test_wrong_arrays_are_refused_by_name() -> None:
    """A wrong number, a wrong length."""
    program = points_program(built(lambda x, y: do.add(do.sin(x), y), (50,), (50,)))
    with pytest.raises(InputError, match="takes 2 input"):
        program([np.ones(50)])
    with pytest.raises(InputError, match=r"'x1' is float64\[50\], got 49 elements"):
        program([np.ones(50), np.ones(49)])


def chain(x: Ref) -> Ref:
    """Arithmetic alone, thirty nodes."""
    for _ in range(10):
        x = do.subtract(do.multiply(x, x), do.add(x, x))
    return x


def test_a_graph_goes_by_points_where_that_is_estimated_to_pay() -> None:
    """Arithmetic does at any length; the reason has both numbers, and the number of points."""
    way = route(built(chain, (1000,), dtype=FLOAT32), Value())
    assert way is not None
    assert (way.dtype, way.mode) == (FLOAT32, Mode.POINTS)
    assert "at 1000 points" in way.reason
    wide = route(built(lambda x: do.exp(do.exp(x)), (100_000,)), Value())
    assert wide is not None
    assert not wide.reason
    short = route(built(chain, (3,)), Value())
    assert short is not None
    assert short.points is None


def test_sizes_that_cannot_change_leave_a_graph_to_others() -> None:
    """No tape of one point, and no error: the whole graph is lowered element by element."""
    graph = built(lambda x: do.sort(do.sin(x), axis=0), (8,))
    assert tape_of_point(graph, Pointwise(8, (True,), (True,))) is None
