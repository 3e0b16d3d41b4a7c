"""Indexing traced arrays: every form of NumPy's whose shape is known gives what NumPy gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pullback as pb
import pullback.numpy as pnp

SHAPE = (3, 4, 2, 5)


@st.composite
def items(draw: st.DrawFn, shape: tuple[int, ...], own: tuple[int, ...]) -> list[Any]:
    """Slices, integers, new axes, and integer arrays of shape `own` (or masks) for some axes."""
    listed: list[Any] = []
    for size in shape:
        kind = draw(st.sampled_from(["slice", "slice", "int", "array", "mask", "none"]))
        bound = st.none() | st.integers(-size - 2, size + 2)
        place = st.integers(-size, size - 1)
        if kind == "none":
            listed.append(None)
        if kind == "array":
            count = int(np.prod(own))
            places = draw(st.lists(place, min_size=count, max_size=count))
            listed.append(np.array(places, np.int64).reshape(own))
        elif kind == "mask" and own == (2,):
            chosen = draw(st.permutations(range(size)))[:2]
            listed.append(np.isin(np.arange(size), chosen))
        elif kind == "int":
            listed.append(draw(place))
        else:
            step = draw(st.none() | st.integers(-3, 3).filter(bool))
            listed.append(slice(draw(bound), draw(bound), step))
    return listed


@st.composite
def indices(draw: st.DrawFn) -> tuple[Any, ...]:
    """An index of SHAPE: some of its first axes, and perhaps an ellipsis and some of its last."""
    own = draw(st.sampled_from([(), (2,), (3, 1), (0,), (1, 2)]))
    first = draw(st.integers(0, len(SHAPE)))
    index = draw(items(SHAPE[:first], own))
    if draw(st.booleans()):
        last = draw(st.integers(first, len(SHAPE)))
        index += [Ellipsis, *draw(items(SHAPE[last:], own))]
    return tuple(index)


def run(function: Any, *arrays: Any) -> Any:
    """The function's result, traced and evaluated."""
    return pb.local().value(function)(*arrays)


@given(index=indices())
def test_plain_indices(index: tuple[Any, ...]):
    """A plain index gives NumPy's elements and shape."""
    x = np.arange(np.prod(SHAPE), dtype=float).reshape(SHAPE)
    np.testing.assert_array_equal(run(lambda x: x[index], x), x[index])


@given(index=indices())
def test_traced_indices(index: tuple[Any, ...]):
    """Integer arrays give the same when they are traced."""
    x = np.arange(np.prod(SHAPE), dtype=float).reshape(SHAPE)
    arrays = [item for item in index if isinstance(item, np.ndarray) and item.dtype != bool]

    def function(x: Any, *traced: Any) -> Any:
        left = iter(traced)
        return x[
            tuple(
                [next(left) if isinstance(i, np.ndarray) and i.dtype != bool else i for i in index]
            )
        ]

    np.testing.assert_array_equal(run(function, x, *arrays), x[index])


@given(index=indices())
def test_updates(index: tuple[Any, ...]):
    """`x.at[index].set(y)` is NumPy's `x[index] = y`, `.add(y)` NumPy's `np.add.at`."""
    x = np.arange(np.prod(SHAPE), dtype=float).reshape(SHAPE)
    y = np.random.default_rng(0).normal(size=x[index].shape[-1:])  # broadcasts
    written, added = x.copy(), x.copy()
    written[index] = y
    np.add.at(added, index, y)
    np.testing.assert_array_equal(run(lambda x, y: x.at[index].set(y), x, y), written)
    np.testing.assert_allclose(run(lambda x, y: x.at[index].add(y), x, y), added)
    np.testing.assert_array_equal(pnp.at(x)[index].set(y), written)


@pytest.mark.parametrize(
    "index",
    [
        (slice(None), np.array([0, 1]), ..., np.array([1, 1]), slice(None)),
        (slice(None), np.array([0, 1]), ..., np.array([1, 1])),
        (np.array([0, 1]), slice(None), np.array([1, 1])),
        (np.array([0, 1]), None, np.array([1, 1])),
        (0, slice(None), np.array([1, 1])),
        (slice(None), 0, np.array([1, 1])),
        (slice(None), np.array([[0], [1]]), np.array([1, 0, 1])),
        (np.ones(SHAPE[:2], bool),),
        (slice(None), np.arange(8).reshape(4, 2) % 3 == 0),
        (np.arange(np.prod(SHAPE)).reshape(SHAPE) % 7 == 0,),
        ([2, 0],),
        ([True, False, True],),
        ([],),
        (True,),
        (False, 1),
        (np.bool_(True), [0, 1]),
        (np.int8(-1),),
        (np.array(2),),
        (np.array([2, 0], np.uint8), range(2)),
        ((0, 1), (2, 3)),
        (...,),
        (),
    ],
    ids=str,
)
def test_corners(index: Any):
    """Where index arrays stand apart, masks of several axes or of none, lists, NumPy's integers."""
    x = np.arange(np.prod(SHAPE), dtype=float).reshape(SHAPE)
    np.testing.assert_array_equal(run(lambda x: x[index], x), x[index])


def test_a_mask_from_a_plain_array_is_static():
    """A mask computed from plain arrays inside the traced function is plain, so it may index."""
    known = np.arange(4)
    x = np.arange(4.0)
    np.testing.assert_array_equal(run(lambda x: x[pnp.remainder(known, 2) == 0], x), x[::2])


def test_repeated_places():
    """`set` keeps the last of several values for one place, `add` adds them all; traced too."""
    x, places, y = np.zeros(3), np.array([1, 1, 2, 1]), np.arange(1.0, 5)
    written, added = x.copy(), x.copy()
    written[places] = y
    np.add.at(added, places, y)
    np.testing.assert_array_equal(run(lambda x, p, y: x.at[p].set(y), x, places, y), written)
    np.testing.assert_array_equal(run(lambda x, y: x.at[places].set(y), x, y), written)
    np.testing.assert_array_equal(run(lambda x, p, y: x.at[p].add(y), x, places, y), added)
    np.testing.assert_array_equal(run(lambda x, p, y: x.at[p].subtract(y), x, places, y), x - added)


def test_updates_have_derivatives():
    """What is written over has no influence; what is written has."""
    x, y = np.arange(1.0, 5), np.array([7.0, 8.0])
    gradient = pb.grad(lambda x, y: np.sum(x.at[1:3].set(y) ** 2), wrt=("x", "y"))(x, y)
    np.testing.assert_array_equal(gradient[0], [2, 0, 0, 8])
    np.testing.assert_array_equal(gradient[1], [14, 16])
    product = pb.grad(lambda x: np.sum(x.at[[0, 2]].multiply(3.0)))(x)
    np.testing.assert_array_equal(product, [3, 1, 3, 1])


def test_updates_cast_to_the_array():
    """A value written takes the array's dtype, as in NumPy."""
    graph = pb.trace(lambda x: x.at[0].set(1.5), np.zeros(3, np.float32))
    assert graph.output_type(0).dtype == np.float32


def test_iteration_and_length():
    """Iteration and len go over the first axis; unpacking works."""
    x = np.arange(6.0).reshape(3, 2)

    def function(x: Any) -> Any:
        first, *rest = x
        assert len(x) == 3
        return first + sum(rest)

    np.testing.assert_array_equal(run(function, x), x.sum(0))


@pytest.mark.parametrize(
    ("index", "kind", "message"),
    [
        (3, pb.ShapeError, "index 3 is out of range for axis 0 of size 3"),
        ([0, -4], pb.ShapeError, "index -4 is out of range"),
        ((0, 0, 0), pb.ShapeError, "3 indices for 2 axes"),
        ((..., ...), pb.ShapeError, "one ellipsis"),
        (np.ones((3, 3), bool), pb.ShapeError, "mask of shape"),
        (1.5, pb.TraceError, "no index"),
        (np.array([0.5]), pb.TraceError, "must be of integers"),
    ],
    ids=str,
)
def test_plain_indices_that_do_not_fit(index: Any, kind: type[pb.PullbackError], message: str):
    """A plain index that NumPy would refuse is refused, and the message says why."""
    with pytest.raises(kind, match=message):
        pb.trace(lambda x: x[index], np.ones((3, 2)))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x[x > 0], r"pullback\.numpy\.where"),
        (lambda x: x[x], "must be of integers"),
        (lambda x: x[: x.astype(int)[0]], r"pullback\.numpy\.dynamic_slice"),
        (lambda x: np.arange(5)[x.astype(int)], r"pullback\.numpy\.take"),
        (lambda x: np.arange(5)[x.astype(int)[0]], r"pullback\.numpy\.take"),
    ],
)
def test_traced_indices_whose_shape_is_unknown(function: Any, message: str):
    """A traced mask or bound is an error that names the function to use."""
    with pytest.raises(pb.TraceError, match=message):
        pb.trace(function, np.ones(3))


def test_a_traced_index_out_of_range_is_clipped():
    """A traced index counts from the end where negative, and is clipped beyond the ends."""
    x = np.arange(4.0)
    for place, expected in ((9, 3.0), (-1, 3.0), (-9, 0.0)):
        assert run(lambda x, i: x[i], x, np.asarray(place)) == expected


def test_assignment_names_the_way():
    """Writing into a traced array is an error that names `.at`."""

    def function(x: Any) -> Any:
        x[0] = 1.0
        return x

    with pytest.raises(pb.TraceError, match=r"x\.at\[index\]\.set\(value\)"):
        pb.trace(function, np.ones(3))
