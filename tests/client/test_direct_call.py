from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback.direct_call import MISS, DirectCall
from pullback.structure import flatten

SCALE = 2.0
X = np.arange(3.0)


def helper(x):
    """What a traced function calls."""
    return pnp.sum(x * SCALE)


def short_ways(function):
    """The short ways that a derivative of `function` keeps."""
    cells = [cell.cell_contents for cell in function.__closure__]
    return next(c for c in cells if isinstance(c, list) and all(type(d) is DirectCall for d in c))


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (lambda x: pnp.sum(x * x), (X,)),
        (lambda x, n: pnp.sum(x**n), (X, 3)),
        (lambda x: x * x, (1.5,)),
        (lambda x: x * x, (np.float32(1.5),)),
        (lambda p: pnp.sum(p["a"] * p["b"][0]), ({"a": X, "b": [2.0, None]},)),
    ],
)
def test_a_repeated_call_gives_what_the_first_gave(function, args):
    """Values, types and structure of the short way's answer are those of the long way."""
    derivative = pb.LocalService().value_and_grad(function)
    first = derivative(*args)
    assert short_ways(derivative), "the call has a short way"
    again = derivative(*args)
    flat_first, structure = flatten(first)
    flat_again, its = flatten(again)
    assert structure == its
    for a, b in zip(flat_first, flat_again, strict=True):
        assert type(a) is type(b)
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "other",
    [
        (np.arange(4.0),),
        (np.arange(3.0, dtype=np.float32),),
        (2.0,),
        ([0.0, 1.0, 2.0],),
        (np.arange(3.0).astype(">f8"),),
    ],
)
def test_arguments_of_another_kind_go_the_long_way(other):
    """A short way is taken for the very kind of arguments it was made for."""
    derivative = pb.LocalService().grad(lambda x: pnp.sum(pnp.asarray(x) * 2.0))
    derivative(X)
    assert short_ways(derivative)[0](other) is MISS


def test_static_arguments_keep_their_values_apart():
    """Another static value is another function."""
    derivative = pb.LocalService().grad(lambda x, n: x**n)
    assert [float(derivative(2.0, n)) for n in (2, 3, 2, 3)] == [4.0, 12.0, 4.0, 12.0]


def test_rebinding_a_captured_name_is_noticed(monkeypatch):
    """Globals, of called functions too, and variables around the function are looked at."""
    around = 1.0

    def function(x):
        return helper(x) * around

    derivative = pb.LocalService().grad(function)
    seen = [derivative(X)[0], derivative(X)[0]]
    around = 3.0
    seen += [derivative(X)[0], derivative(X)[0]]
    monkeypatch.setitem(globals(), "SCALE", 5.0)
    seen += [derivative(X)[0], derivative(X)[0]]
    assert seen == [2.0, 2.0, 6.0, 6.0, 15.0, 15.0]


def test_results_are_fresh_arrays():
    """A caller may write into what it got, and into what it gave."""
    derivative = pb.LocalService().grad(lambda x: pnp.sum(x * x))
    first, second, third = derivative(X), derivative(X), derivative(X)
    third[:] = 7.0
    np.testing.assert_array_equal(first, 2.0 * X)
    np.testing.assert_array_equal(second, 2.0 * X)


def _pair(x, y):
    return pnp.sin(x) * y, pnp.sum(x * y)


@pytest.mark.parametrize(
    ("make", "seeds"),
    [
        (lambda s: s.vjp(_pair, (0, 1)), {"cotangent": (X + 1.0, np.array(2.0))}),
        (lambda s: s.jvp(_pair, (0, 1)), {"tangent": (X + 1.0, -X)}),
        (lambda s: s.hvp(lambda x, y: pnp.sum(x**3 * y)), {"tangent": X + 2.0}),
    ],
)
def test_a_repeated_call_with_seeds_takes_the_short_way(make, seeds):
    """Products with cotangents and tangents too; other seeds give other products."""
    product, fresh = make(pb.LocalService()), make(pb.LocalService())
    first = product(X, X + 3.0, **seeds)
    assert short_ways(product), "the call has a short way"
    for given in (seeds, {name: _doubled(seed) for name, seed in seeds.items()}):
        expected, structure = flatten(fresh(X, y=X + 3.0, **given))
        found, its = flatten(product(X, X + 3.0, **given))
        assert structure == its
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)
    assert len(short_ways(product)) == 1
    assert flatten(first)[1] == structure


def _doubled(seed):
    return tuple([np.asarray(2.0 * x) for x in seed]) if isinstance(seed, tuple) else 2.0 * seed


@pytest.mark.parametrize(
    "other",
    [{}, {"cotangent": X[:2]}, {"cotangent": X.astype(np.float32)}, {"tangent": X}],
)
def test_seeds_of_another_kind_go_the_long_way(other):
    """They are refused, or converted, there; arguments by name are bound there."""
    product = pb.LocalService().vjp(lambda x: x * x)
    product(X, cotangent=X)
    (short,) = short_ways(product)
    assert short((X, *other.values())) is MISS or "tangent" in other
    if "tangent" in other or not other or other["cotangent"].shape != X.shape:
        with pytest.raises(pb.PullbackError):
            product(X, **other)
    else:
        np.testing.assert_array_equal(product(X, **other)[1], 2.0 * X * X)


def test_a_traced_argument_goes_into_the_trace_around_it():
    """A derivative called before works inside another one."""
    derivative = pb.LocalService().grad(lambda x: x * x * x)
    derivative(2.0)
    assert float(pb.grad(derivative)(2.0)) == 12.0
