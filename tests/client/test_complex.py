"""Complex numbers from end to end: NumPy code traced as it stands, derivatives equal to JAX's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback_graph.codec import decode_graph, decode_job, encode_graph, encode_job
from pullback_graph.derivative import lower
from pullback_graph.derivative.certificate import draw, relative_error
from pullback_graph.errors import UnsupportedError
from pullback_graph.graph import Graph
from pullback_graph.job import Job
from pullback_graph.tape import tape_of
from pullback_graph.text import parse
from pullback_graph.want import Gradient, Hvp, Jacobian, Jvp, Vjp, Want
from pullback_worker.numpy_executor import NumpyExecutor, fold

RNG = np.random.default_rng(5)
SERVICE = pb.local()


def complexes(*shape: int) -> Any:
    """Standard normal complex numbers."""
    return RNG.normal(size=shape) + 1j * RNG.normal(size=shape)


Z, A, W = complexes(3), complexes(3, 3), RNG.normal(size=3)


def everything(np_: Any) -> Callable[..., Any]:
    """A real function of complex and real arrays that meets every kind of row."""

    def loss(z: Any, a: Any, w: Any) -> Any:
        y = a @ z * w + np_.exp(1j * w)
        folded = np_.where(w > 0, np_.conj(y), y * y)
        solved = np_.linalg.solve(a + 3 * np_.eye(3), folded)
        sizes = np_.abs(solved) ** 2
        rest = np_.vdot(y, z).real + np_.mean(w * z).imag + np_.sum(np_.angle(z + 1.5))
        return np_.sum(sizes) + rest + np_.prod(z).imag + np_.cumsum(y)[1].real

    return loss


def numpy_only(z: Any) -> Any:
    """NumPy's functions, methods and attributes alone."""
    parts = np.conj(z) * z.real + z.imag**2 + np.sqrt(z) / (1 + z)
    return np.sum(np.abs(parts)) + np.real(z).sum() + z.conj().sum().imag + np.std(z)


@pytest.mark.parametrize("wrt", range(3))
def test_gradients_are_jax_s(wrt: int):
    """By complex inputs and by real ones that met them, in JAX's convention."""
    ours = SERVICE.grad(everything(pnp), wrt=wrt)(Z, A, W)
    theirs = np.asarray(jax.jit(jax.grad(everything(jnp), argnums=wrt))(Z, A, W))
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=1e-11)


def test_products_with_seeds_are_jax_s():
    """jvp, vjp of a complex result, and hvp along a complex direction."""

    def both(np_: Any) -> Callable[[Any], Any]:
        return lambda z: np_.conj(z) * z**3 / (2 + np_.abs(z))

    u, v = complexes(3), complexes(3)
    _, pushed = SERVICE.jvp(both(pnp))(Z, tangent=u)
    np.testing.assert_allclose(pushed, jax.jvp(both(jnp), (Z,), (u,))[1], rtol=1e-12)
    _, pulled = SERVICE.vjp(both(pnp))(Z, cotangent=v)
    np.testing.assert_allclose(pulled, jax.vjp(both(jnp), Z)[1](v)[0], rtol=1e-12)

    def real(np_: Any) -> Callable[[Any], Any]:
        return lambda z: np_.sum(np_.abs(both(np_)(z)))

    found = SERVICE.hvp(real(pnp))(Z, tangent=u)
    expected = jax.jvp(jax.grad(real(jnp)), (Z,), (u,))[1]
    np.testing.assert_allclose(found, expected, rtol=1e-11)


JACOBIANS = [
    (lambda np_: lambda w: np_.fft.fft(w * w) * 1j, W, jax.jacfwd),
    (lambda np_: lambda w: np_.exp(1j * np_.outer(w, w)), W, jax.jacfwd),
    (lambda np_: lambda z: np_.abs(z * z + 1), Z, jax.jacrev),
    (lambda np_: lambda z: np_.real(np_.fft.ifft(z) * np_.conj(z)), Z, jax.jacrev),
    (lambda np_: lambda z: np_.outer(z.real, z.imag).sum(0), Z.astype(np.complex64), jax.jacrev),
]


@pytest.mark.parametrize(("function", "at", "theirs"), JACOBIANS)
def test_jacobians_with_one_complex_side_are_jax_s(function: Any, at: Any, theirs: Any):
    """Columns by real inputs, or rows that are gradients of real outputs, whichever is cheaper."""
    ours = SERVICE.jacobian(function(pnp))(at)
    expected = np.asarray(jax.jit(theirs(function(jnp)))(at))
    tolerance = 1e-5 if at.dtype == np.complex64 else 1e-11
    np.testing.assert_allclose(ours, expected, rtol=tolerance, atol=tolerance, strict=True)
    tall = np.concatenate([at] * 20)  # so that the other mode would be estimated to be cheaper
    total = SERVICE.jacobian(lambda x: pnp.stack([function(pnp)(x[:3]).sum()]))(tall)
    np.testing.assert_allclose(
        total[0, :3], expected.sum(axis=tuple(range(expected.ndim - 1))), rtol=1e-4, atol=1e-4
    )


def test_a_jacobian_of_both_kinds_is_taken_where_one_mode_has_all():
    """Real and complex outputs by a real input; real outputs by real and complex inputs."""
    by_real = SERVICE.jacobian(lambda w: (w * 1j, pnp.sin(w)))(W)
    np.testing.assert_allclose(by_real[0], 1j * np.eye(3), atol=1e-15)
    np.testing.assert_allclose(by_real[1], np.diag(np.cos(W)), atol=1e-15)
    assert by_real[1].dtype == np.float64
    of_real = SERVICE.jacobian(lambda z, w: pnp.abs(z) * w, wrt=("z", "w"))(Z, W)
    np.testing.assert_allclose(of_real[0], np.diag(W * np.conj(Z) / np.abs(Z)), atol=1e-14)
    np.testing.assert_allclose(of_real[1], np.diag(np.abs(Z)), atol=1e-14)
    assert [block.dtype.name for block in of_real] == ["complex128", "float64"]


def test_code_written_for_numpy_traces():
    """NumPy's names for parts, conjugates and absolute values are taken on traced arrays."""
    np.testing.assert_allclose(SERVICE.value_and_grad(numpy_only)(Z)[0], numpy_only(Z), rtol=1e-12)
    assert pb.check_gradient(numpy_only, Z).worst.error < 1e-6


def test_check_gradient_takes_complex_inputs():
    """Both orders hold against differences along complex directions and by the pairing."""
    report = pb.check_gradient(everything(pnp), Z, A, W, wrt=(0, 1, 2))
    assert len(report.checks) == 8
    narrow = pb.check_gradient(lambda z: np.sum(np.abs(z * z + 1) ** 2), Z.astype(np.complex64))
    assert narrow.tolerance == 1e-2


NAMES = ("z", "a", "w")
WANTS = [
    (Gradient(NAMES), ()),
    (Vjp(NAMES, (("result",),)), (np.asarray(0.7),)),
    (Jvp((NAMES,)), (Z, A, W)),
    (Hvp(NAMES, (NAMES,)), (Z, A, W)),
]


@pytest.mark.parametrize(("want", "seeds"), WANTS, ids=lambda x: type(x).__name__)
def test_the_certificate_pairs_without_a_conjugate(want: Want, seeds: tuple[Any, ...]):
    """Forward and reverse mode agree to rounding on complex directions."""
    assert certificate(pb.trace(everything(pnp), Z, A, W), want, [Z, A, W, *seeds]) < 1e-13


@pytest.mark.parametrize(("function", "at", "theirs"), JACOBIANS[1:4])
def test_the_certificate_of_a_jacobian(function: Any, at: Any, theirs: Any):
    """The blocks themselves are held to both modes; one element wrong shows."""
    graph = pb.trace(function(pnp), at)
    assert certificate(graph, Jacobian(graph.input_names), [at]) < 1e-13


def certificate(graph: Graph, want: Want, arrays: list[Any]) -> float:
    """The relative error of a job's certificate, on directions with both parts."""
    lowered = lower(graph, want, fold=fold, certificate=True)
    arrays = arrays + [
        draw(item.type, i) for i, item in enumerate(lowered.graph.inputs[len(arrays) :])
    ]
    assert all(array.dtype.kind != "c" or array.imag.any() for array in arrays)
    results = NumpyExecutor().compile(lowered.graph)(arrays)
    pushed, pulled, scale = map(float, results[-3:])
    assert scale > 0
    return relative_error(pushed, pulled, scale)


def test_a_graph_and_a_job_survive_the_wire_and_the_text():
    """Complex inputs, constants and seeds come back bit for bit."""
    graph = pb.trace(lambda z: z * (1 - 2j) + np.array([np.nan + 1j, -0.0, 1e300j]), Z)
    assert parse(str(graph)) == graph == decode_graph(encode_graph(graph))
    assert parse(str(graph)).fingerprint == graph.fingerprint
    job = Job(graph, {"z": Z}, Vjp(("z",), (("result",),)), ({"result": Z},))
    again = decode_job(encode_job(job))
    np.testing.assert_array_equal(again.inputs["z"], Z, strict=True)
    np.testing.assert_array_equal(again.seeds[0]["result"], Z, strict=True)


def test_python_s_complex_numbers_are_weak():
    """A complex number takes the precision of the array beside it, and makes reals complex."""
    x = np.ones(2, np.float32)
    assert pb.trace(lambda x: x * 2j, x).output_type(0).dtype == np.complex64
    assert pb.trace(lambda x, c: x * (c + 1), x, 2j).output_type(0).dtype == np.complex64
    parts = pb.trace(lambda x, c: x * (c.real + c.imag + abs(c.conjugate())), x, 2j)
    assert parts.output_type(0).dtype == np.float32
    assert pb.trace(lambda x, a: x * (a.real + a.imag), x, 0.5).output_type(0).dtype == np.float32
    assert pb.trace(lambda x, c: x * c, np.ones(2, int), 2j).output_type(0).dtype == np.complex128
    assert SERVICE.grad(lambda c: pnp.real(c * c))(1 + 2j) == 2 + 4j


def test_a_loop_carries_complex_numbers():
    """A number that becomes complex in the body widens the carry, as floats widen integers."""
    found = pb.lax.fori_loop(0, 3, lambda i, c: c * 1j, 1.0)
    assert found == -1j

    def last(z: Any) -> Any:
        carry, _ = pb.lax.scan(lambda c, x: (c * x + 1, None), z[0], z)
        return pnp.abs(carry)

    def unrolled(z: Any) -> Any:
        carry = z[0]
        for i in range(3):
            carry = carry * z[i] + 1
        return jnp.abs(carry)

    np.testing.assert_allclose(SERVICE.grad(last)(Z), jax.jit(jax.grad(unrolled))(Z), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: SERVICE.grad(lambda z: z[0])(Z), pb.NotDifferentiable, "real, imag or abs"),
        (lambda: SERVICE.jacobian(lambda z: z * z)(Z), pb.NotDifferentiable, "vjp, jvp or hvp"),
        (lambda: SERVICE.jacobian(pnp.conj)(Z), pb.NotDifferentiable, "input 'x' complex128"),
        (lambda: SERVICE.jacobian(pnp.abs, sparse=True)(Z), pb.NotDifferentiable, "dense one"),
        (lambda: SERVICE.jacobian(np.fft.fft, sparse=True)(W), pb.NotDifferentiable, "dense one"),
        (lambda: SERVICE.hessian(lambda z: pnp.abs(z[0]))(Z), pb.NotDifferentiable, "holomorphic"),
        (lambda: pb.trace(pnp.sort, Z), pb.DTypeError, "take real, imag or abs"),
        (lambda: pb.trace(lambda z: z < 1, Z), pb.DTypeError, "take real, imag or abs"),
        (lambda: pb.trace(pnp.floor, Z), pb.DTypeError, "take real, imag or abs"),
        (lambda: pb.trace(pnp.sigmoid, Z), pb.DTypeError, "real floating"),
        (lambda: pb.trace(pnp.linalg.det, A), pb.DTypeError, "real floating"),
        (lambda: SERVICE.evaluate(pb.trace(pnp.sin, W), {"x": Z}), pb.InputError, "complex128"),
    ],
)
def test_what_has_no_meaning_is_refused(call: Callable[[], Any], error: type, message: str):
    """A typed error names the fault and what to use instead, never a silent loss of a part."""
    with pytest.raises(error, match=message):
        call()


def test_a_complex_graph_is_no_tape():
    """Tapes are of real numbers: a complex value or constant inside is refused, typed."""
    inside = pb.trace(lambda x: pnp.abs(x[0] + 1j * x[1]), W)
    with pytest.raises(UnsupportedError, match="complex128"):
        tape_of(inside)
    np.testing.assert_allclose(
        SERVICE.grad(lambda x: pnp.abs(x[0] + 1j * x[1]))(W)[:2], W[:2] / np.hypot(*W[:2])
    )


FUNCTIONS = (
    "real imag conj angle sign abs sqrt exp log sin tanh square reciprocal isnan isreal iscomplex "
    "sum prod mean var std cumsum nan_to_num count_nonzero any"
)


@pytest.mark.parametrize("name", FUNCTIONS.split())
@pytest.mark.parametrize("dtype", ["complex64", "complex128", "float64"])
def test_the_namespace_is_numpy_s(name: str, dtype: str):
    """Values, dtypes and shapes are NumPy's, plain and traced, at zero and at NaN too."""
    z = np.array([[1 + 2j, -3 + 0.5j, 0], [-0.25j, 2, np.nan + 1j]])
    z = (z if dtype.startswith("c") else z.real).astype(dtype)
    z = z if name in ("isnan", "nan_to_num", "abs", "real", "imag") else np.nan_to_num(z)
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(z)
    ours = getattr(pnp, name)(z)
    traced = SERVICE.evaluate(pb.trace(getattr(pnp, name), z), {"x": z}).outputs["result"]
    for found in (ours, traced):
        assert np.asarray(found).dtype == np.asarray(expected).dtype
        np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == "complex64" else 1e-12)


def test_products_conjugate_their_first_operand():
    """vdot and vecdot do, as the Array API says; dot, matmul and einsum do not."""
    for name in ("vdot", "vecdot", "dot", "inner"):
        np.testing.assert_allclose(getattr(pnp, name)(Z, A[0]), getattr(np, name)(Z, A[0]))
    for name in ("vector_norm", "matrix_norm"):
        operand = A if name == "matrix_norm" else Z
        np.testing.assert_allclose(
            getattr(pnp.linalg, name)(operand), getattr(np.linalg, name)(operand)
        )
