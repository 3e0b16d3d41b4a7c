"""`pullback.nn`'s convolutions and pooling against jax.lax: options, ties, paddings and faults."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import lax

import pullback as pb
import pullback.numpy as pnp
from pullback import nn
from tests.client.jax_twins import Twins, check_first, check_second, check_values

RNG = np.random.default_rng(11)


def _their_conv(x: Any, w: Any, bias: Any = None, **options: Any) -> Any:
    rank = x.ndim - 2
    names = {"stride": 1, "dilation": 1, "input_dilation": 1, **options}
    each = {
        name: (value,) * rank if isinstance(value, int) else value for name, value in names.items()
    }
    padding = each.get("padding", (0,) * rank)
    pairs = [p if isinstance(p, tuple) else (p, p) for p in padding]
    z = lax.conv_general_dilated(
        x,
        w,
        each["stride"],
        padding if isinstance(padding, str) else pairs,
        each["input_dilation"],
        each["dilation"],
        feature_group_count=options.get("groups", 1),
        precision=lax.Precision.HIGHEST,
    )
    return z if bias is None else z + bias.reshape(-1, *(1,) * rank)


CONVOLUTIONS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "1-d": ((2, 3, 9), (4, 3, 3), {"stride": 2, "padding": 1}),
    "2-d": ((2, 3, 6, 5), (4, 3, 3, 2), {"padding": ((1, 0), (0, 2)), "stride": (1, 2)}),
    "3-d": ((1, 2, 4, 3, 5), (3, 2, 2, 2, 3), {"padding": (1, 0, 1)}),
    "same": ((2, 3, 7, 6), (2, 3, 3, 4), {"padding": "SAME", "stride": 2}),
    "same, dilated": ((1, 2, 9), (2, 2, 3), {"padding": "SAME", "dilation": 2}),
    "valid": ((2, 3, 5, 5), (2, 3, 2, 2), {"padding": "VALID"}),
    "dilated": ((2, 2, 8, 7), (3, 2, 3, 2), {"dilation": (2, 3)}),
    "input dilated": ((2, 2, 4, 3), (3, 2, 3, 3), {"input_dilation": 2, "padding": 2}),
    "groups": ((2, 4, 5, 5), (6, 2, 3, 3), {"groups": 2, "padding": 1}),
    "depthwise": ((2, 3, 5, 4), (6, 1, 3, 3), {"groups": 3, "stride": 2, "padding": 1}),
}


def _conv_twins(name: str) -> Twins:
    x, w, options = CONVOLUTIONS[name]
    arrays = [RNG.normal(size=shape) for shape in (x, w, w[:1])]
    return Twins(
        lambda *args: nn.conv(*args, **options), lambda *args: _their_conv(*args, **options), arrays
    )


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_conv(name: str):
    """Values are those of JAX's convolution; derivatives in array, kernel and bias fit them."""
    check_values(_conv_twins(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_conv_derivatives(name: str):
    """So JAX says too, to the second order."""
    check_first(_conv_twins(name))
    check_second(_conv_twins(name))


def test_conv_in_float32():
    """float32 stays float32, to float32's rounding."""
    x, w, options = CONVOLUTIONS["2-d"]
    arrays = [RNG.normal(size=shape).astype(np.float32) for shape in (x, w)]
    found = nn.conv(*arrays, **options)
    assert found.dtype == np.float32
    wide = nn.conv(*[a.astype(np.float64) for a in arrays], **options)
    np.testing.assert_allclose(found, wide, rtol=1e-5, atol=1e-5)


TRANSPOSED: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "plain": ((3, 2, 3), {}),
    "strided": ((3, 2, 3, 3), {"stride": (2, 3), "padding": 1, "output_padding": (1, 2)}),
    "groups": ((4, 3, 2, 3), {"groups": 2, "stride": 2, "dilation": 2}),
    "pairs": ((2, 1, 4), {"padding": ((1, 2),)}),
}


@pytest.mark.parametrize("name", TRANSPOSED)
def test_conv_transpose_carries_results_back(name: str):
    """It is the pullback of `conv` by the same kernel: that is its definition."""
    kernel, options = TRANSPOSED[name]
    w = RNG.normal(size=kernel)
    g = RNG.normal(size=(2, kernel[0], *(4,) * (len(kernel) - 2)))
    z = nn.conv_transpose(g, w, **options)
    conv_options = {k: v for k, v in options.items() if k != "output_padding"}
    x = np.zeros(z.shape)
    forward = nn.conv(x, w, **conv_options)
    assert forward.shape == g.shape
    back = pb.grad(lambda x: pnp.sum(nn.conv(x, w, **conv_options) * g))(x)
    np.testing.assert_allclose(z, back, rtol=1e-12, atol=1e-12)
    bias = np.arange(z.shape[1]) * 1.0
    with_bias = nn.conv_transpose(g, w, bias, **options)
    np.testing.assert_allclose(with_bias - z, pnp.reshape(bias, (-1, *(1,) * (z.ndim - 2))) + 0 * z)


# --- pooling --------------------------------------------------------------------------------------


def _their_pool(
    x: Any, start: float, join: Any, size: Any, stride: Any, padding: Any, dilation: Any
) -> Any:
    lead = x.ndim - len(size)
    return lax.reduce_window(
        x,
        start,
        join,
        (1,) * lead + size,
        (1,) * lead + stride,
        padding if isinstance(padding, str) else [(0, 0)] * lead + list(padding),
        window_dilation=(1,) * lead + dilation,
    )


def _their_max(x: Any, size: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    if set(dilation) == {1}:
        return _their_pool(x, -np.inf, lax.max, size, stride, padding, dilation)
    assert padding == ((0, 0), (0, 0))  # a window with dilation has no derivative in JAX
    reach = [n - d * (k - 1) for n, d, k in zip(x.shape[-2:], dilation, size, strict=True)]
    (a, b), (m, n), (s, t) = dilation, reach, stride
    taps = [x[..., a * i :, b * j :][..., :m:s, :n:t] for i, j in np.ndindex(*size)]
    return jnp.max(jnp.stack(taps), 0)


POOLS: dict[str, tuple[tuple[int, ...], tuple[Any, ...]]] = {
    "1-d": ((2, 3, 9), ((2,), (2,), ((0, 0),), (1,))),
    "2-d": ((2, 2, 6, 7), ((2, 3), (2, 2), ((1, 0), (1, 1)), (1, 1))),
    "3-d": ((1, 2, 4, 4, 3), ((2, 2, 2), (2, 1, 1), ((0, 0), (1, 1), (0, 1)), (1, 1, 1))),
    "overlapping": ((3, 8), ((3,), (1,), ((0, 0),), (1,))),
    "dilated": ((2, 9, 8), ((2, 2), (2, 1), ((0, 0), (0, 0)), (3, 2))),
    "same": ((2, 2, 7, 5), ((3, 2), (2, 2), "SAME", (1, 1))),
    "whole": ((2, 2, 3, 4), ((3, 4), (1, 1), "VALID", (1, 1))),
}


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize(
    "check",
    [
        check_values,
        pytest.param(check_first, marks=pytest.mark.slow),
        pytest.param(check_second, marks=pytest.mark.slow),
    ],
)
def test_pools(name: str, check: Callable[[Twins], None]):
    """The largest element and the mean of windows, and their derivatives, are JAX's."""
    shape, (size, stride, padding, dilation) = POOLS[name]
    x = RNG.permutation(float(np.prod(shape)) * np.linspace(-1, 1, int(np.prod(shape))))
    arrays = [x.reshape(shape)]
    check(
        Twins(
            lambda x: nn.max_pool(x, size, stride, padding, dilation=dilation),
            lambda x: _their_max(x, size, stride, padding, dilation),
            arrays,
        )
    )
    check(
        Twins(
            lambda x: nn.avg_pool(x, size, stride, padding, dilation=dilation),
            lambda x: _their_pool(x, 0.0, lax.add, size, stride, padding, dilation) / np.prod(size),
            arrays,
        )
    )


def test_ties_go_to_the_first():
    """Among equal elements the first in row-major order has the derivative, as JAX has it."""
    x = RNG.integers(0, 2, (3, 2, 6, 6)) * 1.0
    options: tuple[tuple[Any, Any, Any], ...]
    options = (((2, 2), (2, 2), "VALID"), ((3, 3), (1, 1), "SAME"))
    for size, stride, padding in options:
        own = partial(nn.max_pool, size=size, stride=stride, padding=padding)
        found = pb.grad(lambda x, own=own: pnp.sum(own(x)))(x)
        theirs = partial(_their_max, size=size, stride=stride, padding=padding, dilation=(1, 1))
        wanted = jax.grad(lambda x, theirs=theirs: theirs(x).sum())(x)
        np.testing.assert_array_equal(found, wanted)
    flat = pb.grad(lambda x: pnp.sum(nn.max_pool(x, (2, 2))))(np.full((2, 2), -np.inf))
    np.testing.assert_array_equal(flat, [[1.0, 0.0], [0.0, 0.0]])


def test_nan_in_a_window():
    """A window with a NaN has NaN, and the first NaN has the derivative."""
    x = np.array([1.0, np.nan, np.nan, 5.0])
    np.testing.assert_array_equal(nn.max_pool(x, (2,)), [np.nan, np.nan])
    np.testing.assert_array_equal(nn.max_pool(x, (4,)), [np.nan])
    gradient = pb.grad(lambda x: pnp.sum(nn.max_pool(x, (4,))))(x)
    np.testing.assert_array_equal(gradient, [0.0, 1.0, 0.0, 0.0])


def test_padding_that_counts_and_that_does_not():
    """Padding counts as zeros in a mean, or not at all; windows of padding alone are 0."""
    x = np.ones((1, 1, 4))
    np.testing.assert_allclose(nn.avg_pool(x, 3, 1, 1)[0, 0], [2 / 3, 1, 1, 2 / 3])
    np.testing.assert_allclose(nn.avg_pool(x, 3, 1, 1, count_padding=False)[0, 0], 1.0)
    found = nn.avg_pool(x, 1, 1, ((2, 0),), count_padding=False)[0, 0]
    np.testing.assert_allclose(found, [0, 0, 1, 1, 1, 1])
    gradient = pb.grad(lambda x: pnp.sum(nn.max_pool(x, (1,), 1, ((2, 0),))[2:]))(x[0, 0])
    np.testing.assert_allclose(gradient, 1.0)


def test_whole_numbers():
    """The largest of integers keeps their dtype; their mean is float64."""
    x = np.array([[3, -1, 7, 2]], np.int8)
    np.testing.assert_array_equal(nn.max_pool(x, (2,)), np.array([[3, 7]], np.int8), strict=True)
    assert nn.avg_pool(x.astype(np.int64), (2,)).dtype == np.float64


@given(
    n=st.integers(1, 7),
    size=st.integers(1, 5),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 3),
    low=st.integers(-1, 5),
    high=st.integers(-1, 5),
    values=st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 2.0, np.nan]), min_size=7, max_size=7),
)
def test_windows_by_their_definition(n, size, stride, dilation, low, high, values):
    """Every window is reduced over the elements it meets, whatever the padding."""
    x = np.array(values[:n])
    options: dict[str, Any] = {
        "stride": (stride,),
        "padding": ((low, high),),
        "dilation": (dilation,),
    }
    if n + low + high < 0:
        return
    count = max((n + low + high - dilation * (size - 1) - 1) // stride + 1, 0)
    windows = [
        [x[i] for k in range(size) if 0 <= (i := stride * t + dilation * k - low) < n]
        for t in range(count)
    ]
    expected = [np.max(window) if window else -np.inf for window in windows]
    np.testing.assert_array_equal(nn.max_pool(x, (size,), **options), expected)
    finite = np.nan_to_num(x, neginf=3.0)
    sums = [np.nan_to_num(np.array(window), neginf=3.0).sum() for window in windows]
    np.testing.assert_allclose(nn.avg_pool(finite, (size,), **options) * size, sums, atol=1e-12)


# --- mapped, and complex --------------------------------------------------------------------------


def test_mapped_over_images_and_kernels():
    """A convolution and a pooling mapped over an axis are those of each, derivatives too."""
    x, w = RNG.normal(size=(3, 2, 3, 6, 6)), RNG.normal(size=(3, 4, 3, 3, 3))

    def pooled(x: Any, w: Any) -> Any:
        return nn.avg_pool(nn.max_pool(nn.conv(x, w, padding=1), 2), 2, 1)

    def gradient(x: Any, w: Any) -> Any:
        return pb.grad(lambda w: pnp.sum(pooled(x, w) ** 2))(w)

    for function in (pooled, gradient):
        each = np.stack([function(*pair) for pair in zip(x, w, strict=True)])
        np.testing.assert_allclose(pb.vmap(function)(x, w), each, rtol=1e-10, atol=1e-12)


def test_conv_of_complex_numbers():
    """Complex arrays and kernels have JAX's values and derivatives."""
    x, w, options = CONVOLUTIONS["groups"]
    arrays = [RNG.normal(size=shape) + 1j * RNG.normal(size=shape) for shape in (x, w)]
    found = nn.conv(*arrays, **options)
    np.testing.assert_allclose(found, _their_conv(*arrays, **options), rtol=1e-10)
    gradients = pb.grad(
        lambda *args: pnp.sum(pnp.real(nn.conv(*args, **options) * (1 + 2j))), wrt=(0, 1)
    )(*arrays)
    wanted = jax.grad(
        lambda *args: jnp.sum((_their_conv(*args, **options) * (1 + 2j)).real), argnums=(0, 1)
    )(*arrays)
    for one, other in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    with pytest.raises(pb.DTypeError, match="real"):
        nn.max_pool(arrays[0], 2)


# --- faults ---------------------------------------------------------------------------------------

X, W = np.ones((2, 4, 5, 5)), np.ones((3, 4, 2, 2))
FAULTS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no spatial axes": (lambda: nn.conv(np.ones((2, 3)), np.ones((2, 3))), pb.ShapeError, "N C"),
    "other rank": (lambda: nn.conv(X, W[0]), pb.ShapeError, "same spatial axes"),
    "channels": (lambda: nn.conv(X[:, :3], W), pb.ShapeError, "3 channels"),
    "groups": (lambda: nn.conv(X, W, groups=3), pb.ShapeError, "group"),
    "no group": (lambda: nn.conv_transpose(X, W, groups=0), pb.ShapeError, "give a divisor"),
    "bias": (lambda: nn.conv(X, W, np.ones(4)), pb.ShapeError, "give one each"),
    "stride": (lambda: nn.conv(X, W, stride=0), pb.AttributeFault, "strides"),
    "strides": (lambda: nn.conv(X, W, stride=(1, 2, 3)), pb.AttributeFault, "each of 2 axes"),
    "no number": (lambda: nn.conv(X, W, dilation="2"), pb.AttributeFault, "dilation is '2'"),
    "padding": (lambda: nn.conv(X, W, padding="same-ish"), pb.AttributeFault, "'SAME'"),
    "pairs": (lambda: nn.conv(X, W, padding=((1, 1),)), pb.AttributeFault, "a pair for each"),
    "triple": (lambda: nn.conv(X, W, padding=((1, 1, 1), (0, 0))), pb.AttributeFault, "pair"),
    "cropped": (lambda: nn.max_pool(X, 2, padding=-3), pb.ShapeError, "crops more"),
    "same back": (lambda: nn.conv_transpose(X, W, padding="SAME"), pb.AttributeFault, "'VALID'"),
    "no window": (lambda: nn.max_pool(X, ()), pb.ShapeError, "0 sizes"),
    "too many": (lambda: nn.max_pool(X, (1,) * 5), pb.ShapeError, "5 sizes"),
    "size": (lambda: nn.max_pool(X, 0), pb.AttributeFault, "sizes"),
    "huge": (lambda: nn.max_pool(X, 1 << 40), pb.AttributeFault, "over 65536"),
    "bools": (lambda: nn.max_pool(X > 0, 2), pb.DTypeError, "real"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults(name: str):
    """A wrong option is a typed error that names it and the way out."""
    call, error, words = FAULTS[name]
    with pytest.raises(error, match=words):
        call()
