"""`pullback.fft`: NumPy's values, dtypes and arguments; JAX's derivatives; typed refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pullback as pb
import pullback.fft as pft
import pullback.numpy as pnp
from pullback_graph.derivative import lower
from pullback_graph.want import Gradient
from pullback_worker.numpy_executor import fold

RNG = np.random.default_rng(11)
SERVICE = pb.local()
ONE_AXIS = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
MANY_AXES = ("fftn", "ifftn", "rfftn", "irfftn", "fft2", "ifft2", "rfft2", "irfft2")
OF_REALS = ("rfft", "ihfft", "rfftn", "rfft2")
NORMS = (None, "backward", "ortho", "forward")


def array_for(name: str, *shape: int) -> Any:
    """What the transform takes: real, or complex."""
    real = RNG.normal(size=shape)
    return real if name in OF_REALS else real + 1j * RNG.normal(size=shape)


def agree(name: str, x: Any, *args: Any, **keywords: Any) -> None:
    """Fail unless plain and traced results are NumPy's, dtype and shape too."""
    expected = getattr(np.fft, name)(x, *args, **keywords)
    ours = getattr(pft, name)
    plain = ours(x, *args, **keywords)
    graph = pb.trace(lambda x: ours(x, *args, **keywords), x)
    traced = SERVICE.evaluate(graph, {"x": x}).outputs["result"]
    tolerance = 1e-5 if expected.dtype in (np.float32, np.complex64) else 1e-12
    for found in (plain, traced):
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance, strict=True)


@pytest.mark.parametrize("name", ONE_AXIS)
@given(
    shape=st.tuples(st.integers(2, 7), st.integers(2, 7)),
    n=st.none() | st.integers(1, 9),
    axis=st.sampled_from([-1, 0, 1, -2]),
    norm=st.sampled_from(NORMS),
)
def test_one_axis_is_numpy_s(name: str, shape: Any, n: Any, axis: int, norm: Any):
    """Odd, even and one-point sizes, cut or padded, along any axis, with every norm."""
    agree(name, array_for(name, *shape), n, axis, norm)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", MANY_AXES)
def test_many_axes_are_numpy_s(name: str, norm: str | None):
    """All axes, some in another order, and sizes that cut one and pad another."""
    x = array_for(name, 3, 4, 5)
    agree(name, x, norm=norm)
    agree(name, x, axes=(2, 0), norm=norm)
    agree(name, x, s=(2, 6), axes=(0, 2), norm=norm)
    agree(name, x, s=(-1, 7), axes=(-1, -2), norm=norm)
    agree(name, array_for(name, 2, 2, 3, 2, 3), axes=(0, 1, 3, 4) if name[-1] == "n" else (0, 3))


@pytest.mark.parametrize("dtype", ["float32", "complex64", "int32", "bool", "float64"])
def test_precision_is_kept(dtype: str):
    """float32 and complex64 stay single, whole numbers become double, as in NumPy."""
    x = (RNG.normal(size=(3, 6)) * 3).astype(dtype)
    for name in ("fft", "ifft", "irfft", "hfft"):
        agree(name, x)
    if not dtype.startswith("complex"):
        agree("rfft", x)
        agree("ihfft", x)


@pytest.mark.parametrize("name", ["fftshift", "ifftshift"])
@pytest.mark.parametrize("axes", [None, 0, -1, (0, 1), (1,)])
def test_shifts_are_numpy_s(name: str, axes: Any):
    """Along all axes or some, of odd and even sizes."""
    agree(name, RNG.normal(size=(4, 5)), axes)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_frequencies_are_numpy_s(n: int):
    """In cycles per unit of spacing, which may be traced and differentiated."""
    for name in ("fftfreq", "rfftfreq"):
        ours, theirs = getattr(pft, name), getattr(np.fft, name)
        np.testing.assert_allclose(ours(n, 0.25), theirs(n, 0.25), rtol=1e-15)
        assert ours(n, dtype=np.float32).dtype == np.float32
        slope = SERVICE.grad(lambda d: pnp.sum(ours(n, d)))(0.5)  # noqa: B023  (called now)
        np.testing.assert_allclose(slope, -theirs(n, 1.0).sum() / 0.25, atol=1e-12)


def loss_of(name: str, namespace: Any, **keywords: Any) -> Callable[[Any], Any]:
    """A real function with a transform in the middle of it."""

    def loss(x: Any) -> Any:
        z = getattr(namespace.fft, name)(x * x, **keywords)
        weights = np.arange(1.0, 1.0 + np.prod(z.shape)).reshape(z.shape)
        return namespace.sum(weights * namespace.abs(z + 1) ** 2)

    return loss


CASES: list[tuple[str, dict[str, Any]]] = [
    ("ifft", {"n": 7, "norm": "ortho"}),
    ("hfft", {"n": 7, "norm": "forward"}),
    ("ihfft", {"n": 4}),
    ("irfftn", {"s": (3, 5), "axes": (0, 1)}),
    ("rfftn", {"s": (6, 3), "axes": (1, 0), "norm": "forward"}),
]
MORE: list[tuple[str, dict[str, Any]]] = [
    *[(name, {"n": n, "norm": "ortho"}) for name in ONE_AXIS for n in (4, 7)],
    *[(name, {"axes": (1, 0), "norm": "forward"}) for name in MANY_AXES],
]


SLOW = [pytest.param(*case, marks=pytest.mark.slow) for case in MORE]


@pytest.mark.parametrize(("name", "keywords"), [*CASES, *SLOW])
def test_derivatives_are_jax_s(name: str, keywords: dict[str, Any]):
    """Gradient, and its derivative in a direction, at odd and even sizes."""
    x = array_for(name, 3, 5)
    u = array_for(name, 3, 5)
    theirs = jax.jit(jax.grad(loss_of(name, jnp, **keywords)))
    ours = SERVICE.grad(loss_of(name, pnp, **keywords))(x)
    np.testing.assert_allclose(ours, theirs(x), rtol=1e-10, atol=1e-10)
    second = SERVICE.hvp(loss_of(name, pnp, **keywords))(x, tangent=u)
    np.testing.assert_allclose(
        second, jax.jit(jax.jvp, static_argnums=0)(theirs, (x,), (u,))[1], rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("name", ["rfft", "irfft", "fft2"])
def test_check_gradient_passes(name: str):
    """Central differences and the pairing hold to second order."""
    assert pb.check_gradient(loss_of(name, np), array_for(name, 3, 4)).worst.error < 1e-6


def test_numpy_s_own_functions_trace():
    """Code written with `numpy.fft` is traced as it stands."""

    def spectrum(x: Any) -> Any:
        frequencies = np.fft.rfftfreq(x.shape[-1])
        power = np.abs(np.fft.rfft(x, axis=-1)) ** 2
        return np.sum(power * frequencies) + np.fft.fftshift(np.fft.ihfft(x)).real[0, 0]

    x = RNG.normal(size=(2, 8))
    value, gradient = SERVICE.value_and_grad(spectrum)(x)
    np.testing.assert_allclose(value, spectrum(x), rtol=1e-12)
    assert gradient.shape == x.shape


def test_a_real_transform_costs_one_real_transform_back():
    """The gradient through rfft runs an irfft, not a full complex transform."""
    graph = pb.trace(lambda x: pnp.sum(pnp.abs(pft.rfft(x)) ** 2), np.ones(64))
    names = [n.op.name for n in lower(graph, Gradient(("x",)), fold=fold).graph.nodes]
    assert [name for name in names if "fft" in name] == ["rfft", "irfft"]


def test_transforms_map_and_resize():
    """A batch is mapped without a loop, and retyped for another length."""
    x = RNG.normal(size=(3, 8))
    each = pb.vmap(lambda row: pft.irfft(pft.rfft(row) * 2))
    np.testing.assert_allclose(each(x), 2 * x, rtol=1e-12)
    names = {node.op.name for node in pb.trace(each, x).nodes}
    assert names <= {"rfft", "multiply", "irfft", "broadcast_to"}
    graph = pb.trace(lambda x: pft.fft(x, axis=1), x).with_shapes({"x": (5, 8)})
    wide = RNG.normal(size=(5, 8))
    found = SERVICE.evaluate(graph, {"x": wide}).outputs["result"]
    np.testing.assert_allclose(found, np.fft.fft(wide, axis=1), rtol=1e-12)


def test_a_jacobian_through_frequencies_is_a_circulant():
    """Real on both sides, complex inside: the Jacobian of a filter is the matrix of it."""
    taps = RNG.normal(size=6)
    spectrum = np.fft.rfft(taps)
    found = SERVICE.jacobian(lambda x: pft.irfft(pft.rfft(x) * spectrum, n=6))(RNG.normal(size=6))
    expected = np.stack([np.roll(taps, i) for i in range(6)], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-12)


Z = np.ones((2, 4), complex)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pft.fft(Z, axis=2), pb.ShapeError, "axis 2 is out of range"),
        (lambda: pft.fft(Z, n=0), pb.ShapeError, "one point or more"),
        (lambda: pft.fft(Z, n=-3), pb.ShapeError, "one point or more"),
        (lambda: pft.fft(Z, n=-1), pb.ShapeError, "leave n out"),
        (lambda: pft.irfftn(Z, s=(1, 2.5)), pb.InputError, "2.5 points; give a whole number"),
        (lambda: pft.fft(np.ones((2, 0))), pb.ShapeError, "one point or more"),
        (lambda: pft.irfft(np.ones(1)), pb.ShapeError, "give one or more"),
        (lambda: pft.fft(Z, norm="other"), pb.InputError, "backward, ortho, forward"),
        (lambda: pft.hfft(Z, norm="other"), pb.InputError, "backward, ortho, forward"),
        (lambda: pft.fftn(Z, axes=(0, 0)), pb.ShapeError, "twice"),
        (lambda: pft.fftn(Z, s=(2, 2, 2)), pb.ShapeError, "3 sizes for the 2 axes"),
        (lambda: pft.fftn(Z, s=(2,), axes=(0, 1)), pb.ShapeError, "give one for each"),
        (lambda: pft.rfft(Z), pb.DTypeError, "use fft"),
        (lambda: pft.ihfft(Z), pb.DTypeError, "use fft"),
        (lambda: pft.rfftn(1.0), pb.ShapeError, "needs an axis"),
        (lambda: pft.fftfreq(0), pb.ShapeError, "one point or more"),
        (lambda: pb.trace(lambda x: np.fft.fft(x, out=Z), Z), pb.TraceError, "out="),
    ],
)
def test_what_cannot_be_transformed_is_refused(call: Any, error: type, message: str):
    """A typed error names the fault and what to give instead."""
    with pytest.raises(error, match=message):
        call()


ROWS = [
    ('fft(z, axes=(), inverse=false, norm="ortho")', "needs an axis"),
    ('fft(z, axes=(0,0), inverse=false, norm="ortho")', "twice"),
    ('fft(z, axes=(5,), inverse=false, norm="ortho")', "out of range"),
    ('fft(z, axes=(0,), inverse=false, norm="huge")', "must be one of backward"),
    ('fft(x, axes=(0,), inverse=false, norm="ortho")', "needs a complex dtype"),
    ('rfft(z, axes=(0,), norm="ortho")', "real floating"),
    ('irfft(z, axes=(0,), size=0, norm="ortho")', "size 0"),
    ('irfft(z, axes=(0,), size=-9, norm="ortho")', "size -9"),
    ('irfft(z, axes=(0,), size=999999999999, norm="ortho")', "500000000000 points"),
    ('fft(e, axes=(0,), inverse=false, norm="ortho")', "no points"),
]


@pytest.mark.parametrize(("node", "message"), ROWS)
def test_hostile_rows_are_refused_before_they_run(node: str, message: str):
    """Attributes that come over the wire are checked by the type rule."""
    inputs = "z: complex128[4], x: float64[4], e: complex128[0]"
    with pytest.raises(pb.RequestError, match=message):
        pb.parse(f"graph({inputs}) {{ %a = {node} return %a }}")
