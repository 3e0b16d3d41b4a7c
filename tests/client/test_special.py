"""`pullback.special`: SciPy's values, derivatives of both orders, and corners by identities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
import scipy.special as theirs

import pullback as pb
import pullback.numpy as pnp
import pullback.special as ours

RNG = np.random.default_rng(3)
X = RNG.normal(size=(2, 3))
POSITIVE = RNG.uniform(0.4, 4.0, (2, 3))
OTHER = RNG.uniform(0.4, 4.0, 3)
SHARE = RNG.uniform(0.1, 0.9, (2, 3))
WHOLE = np.array([[1.0, 2, 3], [4, 5, 6]])

CALLS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(
        ["erf", "erfc", "ndtr", "log_ndtr", "expit", "log_expit", "exp2", "expm1",
         "cosm1", "exprel", "i0", "i0e", "i1", "i1e", "sinc"], (X,)),
    **dict.fromkeys(
        ["gamma", "gammaln", "digamma", "psi", "factorial", "expi", "exp1", "spence", "entr",
         "k0", "k0e", "k1", "k1e", "erfcx",
         "log1p"], (POSITIVE,)),
    **dict.fromkeys(["erfinv", "ndtri", "erfcinv", "logit"], (SHARE,)),
    **dict.fromkeys(
        ["beta", "betaln", "gammainc", "gammaincc", "rel_entr", "kl_div", "huber",
         "pseudo_huber", "chdtr", "chdtrc"], (POSITIVE, OTHER)),
    "boxcox": (POSITIVE, X),
    "boxcox1p": (POSITIVE, X),
    "xlogy": (X, OTHER),
    "xlog1py": (X, OTHER),
    "exp10": (SHARE,),
    "poch": (POSITIVE, SHARE),
    "binom": (POSITIVE + SHARE, POSITIVE),
    "betainc": (POSITIVE, OTHER, SHARE),
    "betaincc": (POSITIVE, OTHER, SHARE),
    "gdtr": (POSITIVE, OTHER, SHARE),
    "gdtrc": (POSITIVE, OTHER, SHARE),
    "fdtr": (POSITIVE, OTHER, SHARE),
    "fdtrc": (POSITIVE, OTHER, SHARE),
}  # fmt: skip
"""Arguments by name: every floating one is differentiated."""

VALUES: dict[str, tuple[Any, ...]] = {
    **CALLS,
    "softplus": (X,),
    "zeta": (3, POSITIVE),
    "polygamma": (2, POSITIVE),
    "multigammaln": (POSITIVE + 2, 3),
    "logsumexp": (X,),
    "softmax": (X, 1),
    "log_softmax": (X,),
    "pdtr": (WHOLE, OTHER),
    "pdtrc": (WHOLE, OTHER),
}


@pytest.mark.parametrize("name", VALUES)
def test_values(name: str):
    """A function gives what SciPy's of its name gives."""
    if not hasattr(theirs, name):
        pytest.skip(f"this SciPy has no {name}")
    np.testing.assert_allclose(
        getattr(ours, name)(*VALUES[name]),
        getattr(theirs, name)(*VALUES[name]),
        rtol=1e-12,
        atol=1e-14,
    )


@pytest.mark.parametrize("name", CALLS)
def test_derivatives(name: str):
    """First and second derivatives in all operands are central differences."""
    function = getattr(ours, name)
    pb.check_gradient(lambda *args: pnp.sum(pnp.sin(function(*args))), *CALLS[name])


def test_logsumexp_with_weights():
    """Weights of either sign and of zero, over one axis or all, with NumPy's shapes."""
    a, b = X * 100, np.array([1.0, 0.0, 2.5])
    for axis in (None, 1):
        for keepdims in (False, True):
            found = ours.logsumexp(a, axis, b, keepdims=keepdims)
            expected = theirs.logsumexp(a, axis, b, keepdims=keepdims)
            np.testing.assert_allclose(found, expected, rtol=1e-12)
    pb.check_gradient(lambda a, b: ours.logsumexp(a, b=b), X, b + 1)


@pytest.mark.parametrize("name", sorted(set(ours.__all__) & set(dir(theirs))))
def test_ufuncs_of_scipy_trace(name: str):
    """SciPy's ufunc of a name, called on traced arrays, is the function of that name."""
    ufunc = getattr(theirs, name)
    if not isinstance(ufunc, np.ufunc):
        return
    args = VALUES[name]
    found = pb.local().value(ufunc)(*args)
    np.testing.assert_allclose(found, ufunc(*args), rtol=1e-12, atol=1e-14)


def _derivatives(function: Callable[[Any], Any], point: float) -> tuple[float, float]:
    first = pb.grad(function)(np.asarray(point))
    second = pb.hessian(function)(np.asarray(point))
    return float(first), float(second)


REMOVABLE: dict[str, tuple[Callable[[Any], Any], float, tuple[float, float]]] = {
    "sinc": (ours.sinc, 0.0, (0.0, -(np.pi**2) / 3)),
    "exprel": (ours.exprel, 0.0, (1 / 2, 1 / 3)),
    "boxcox at 0": (lambda p: ours.boxcox(2.0, p), 0.0, (np.log(2) ** 2 / 2, np.log(2) ** 3 / 3)),
    "i0": (ours.i0, 0.0, (0.0, 0.5)),
    "i1": (ours.i1, 0.0, (0.5, 0.0)),
    "xlogy": (lambda x: ours.xlogy(x, 0.5), 0.0, (np.log(0.5), 0.0)),
    "erfcx far out": (ours.erfcx, 50.0, (-2.255406e-4, 9.016217e-6)),
    "log_ndtr": (ours.log_ndtr, -30.0, (30.0332596, -0.998896)),
}


@pytest.mark.parametrize("name", REMOVABLE)
def test_derivatives_at_removable_singularities(name: str):
    """First and second derivatives where a formula divides zero by zero, or nearly."""
    function, point, expected = REMOVABLE[name]
    np.testing.assert_allclose(_derivatives(function, point), expected, rtol=1e-5, atol=1e-12)


def test_bessel_functions_of_the_second_kind_by_each_executor():
    """SciPy's values from the tiniest argument to the largest, 0, infinity and below 0."""
    x = np.array([0.0, 1e-300, 1e-12, 1e-8, 1e-4, 0.1, 1.0, 7.0, 50.0, 600.0, 1e5, np.inf, -1.0])
    for name in ("k0", "k0e", "k1", "k1e"):
        wanted = getattr(theirs, name)(x)
        for executor in ("numpy", "xla"):
            found = pb.local().value(getattr(ours, name), executor=executor)(x)
            np.testing.assert_allclose(found, wanted, rtol=2e-13, atol=1e-300, err_msg=name)


def test_erfcx_on_either_side_of_its_turn():
    """SciPy's values, in both dtypes, where the series takes over too."""
    x = np.array([-5.0, 0.0, 3.0, 5.9, 6.1, 11.9, 12.0, 12.1, 30.0, 1e10, np.inf])
    np.testing.assert_allclose(ours.erfcx(x), theirs.erfcx(x), rtol=1e-13)
    single = ours.erfcx(x.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, theirs.erfcx(x.astype(np.float32)), rtol=1e-5)


@pytest.mark.parametrize("n", [1, 102, 2.5, True])
def test_zeta_takes_whole_numbers(n: Any):
    """Its first argument is a number from 2 to 101, and the derivative in the other is right."""
    pb.check_gradient(lambda q: pnp.sum(ours.zeta(2, q) - ours.zeta(5, q)), POSITIVE)
    with pytest.raises(pb.AttributeFault, match="whole number from 2 to 101"):
        ours.zeta(n, 1.0)


SHAPES = [1e-3, 0.3, 1.0, 4.5, 80.0, 3000.0]
"""Parameters of either tail: with ratios from 0.2 to 3 of the mean, below."""
RATIOS = [0.2, 0.9, 1.0, 1.1, 3.0]


def _gamma_case() -> tuple[Any, Any]:
    a, ratio = np.meshgrid(SHAPES, RATIOS)
    return a, a * ratio


def test_gammainc_in_its_parameter_obeys_the_recurrence():
    """P(a, x) - P(a + 1, x) = x^a exp(-x) / gamma(a + 1), differentiated once and twice in a."""
    a, x = _gamma_case()

    def difference(a: Any) -> Any:
        return pnp.sum(ours.gammainc(a, x) - ours.gammainc(a + 1.0, x))

    def term(a: Any) -> Any:
        return pnp.sum(pnp.exp(a * np.log(x) - x - ours.gammaln(a + 1.0)))

    direction = np.ones_like(a)
    np.testing.assert_allclose(pb.grad(difference)(a), pb.grad(term)(a), rtol=1e-9, atol=1e-13)
    found = pb.hvp(difference)(a, tangent=direction)
    np.testing.assert_allclose(found, pb.hvp(term)(a, tangent=direction), rtol=1e-8, atol=1e-12)


def test_betainc_in_its_parameters_obeys_the_recurrence():
    """I(a, b) - I(a + 1, b) = x^a (1 - x)^b / (a B(a, b)), differentiated in a and b."""
    a, b = np.meshgrid([0.01, 0.7, 3.0, 90.0], [0.02, 1.0, 5.0, 400.0])
    for x in (0.01, 0.3, 0.8, 0.99):

        def difference(a: Any, b: Any, x: float = x) -> Any:
            return pnp.sum(ours.betainc(a, b, x) - ours.betainc(a + 1.0, b, x))

        def term(a: Any, b: Any, x: float = x) -> Any:
            power = a * np.log(x) + b * np.log1p(-x)
            return pnp.sum(pnp.exp(power - pnp.log(a) - ours.betaln(a, b)))

        found = pb.grad(difference, wrt=(0, 1))(a, b)
        expected = pb.grad(term, wrt=(0, 1))(a, b)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-13)


def test_tails_keep_their_relative_accuracy():
    """Far in the upper tail the derivative of gammaincc in a is not rounding of that of 1."""
    gradient = pb.grad(lambda a: ours.gammaincc(a, 60.0))(np.asarray(2.0))
    a, step = 2.0, 1e-4
    slope = (theirs.gammaincc(a + step, 60.0) - theirs.gammaincc(a - step, 60.0)) / (2 * step)
    np.testing.assert_allclose(gradient, slope, rtol=1e-6)


def _stencil(function: Callable[[Any], Any], at: Any, step: Any) -> Any:
    """The derivative by central differences of order eight."""
    weights = [4 / 5, -1 / 5, 4 / 105, -1 / 280]
    pairs = [(k, w) for k, w in enumerate(weights, 1)]
    return sum([w * (function(at + k * step) - function(at - k * step)) for k, w in pairs]) / step


def _check_parameter(name: str, executor: str, position: int, *args: Any) -> None:
    """The derivative in one argument against differences of SciPy's values, to eight digits."""
    ours_of, theirs_of, at = getattr(ours, name), getattr(theirs, name), args[position]

    def moved(value: Any) -> Any:
        return theirs_of(*args[:position], value, *args[position + 1 :])

    gradient = pb.local().grad(
        lambda *args: pnp.sum(ours_of(*args)), wrt=position, executor=executor
    )
    step = 0.03 * np.minimum(at, np.sqrt(at))
    np.testing.assert_allclose(gradient(*args), _stencil(moved, at, step), rtol=1e-7, atol=1e-11)


@pytest.mark.parametrize("executor", ["numpy", "xla"])
def test_parameters_by_differences(executor: str):
    """At ordinary parameters and extreme ones, on either side of the mean, by each executor."""
    a, ratio = np.meshgrid([0.02, 0.7, 1.0, 3.0, 40.0, 3e4], [0.3, 0.95, 1.0, 1.05, 3.0])
    _check_parameter("gammainc", executor, 0, a, a * ratio)
    _check_parameter("gammaincc", executor, 0, a, a * ratio)
    p, q, x = np.meshgrid([0.3, 5.0], [0.05, 1.0, 7.0, 900.0], [0.001, 0.2, 0.5, 0.9])
    _check_parameter("betainc", executor, 0, p, q, x)
    _check_parameter("betainc", executor, 1, p, q, x)


def test_parameters_against_jax():
    """JAX has the derivative of gammainc in its parameter."""
    a, x = np.meshgrid([0.3, 2.0, 30.0], [0.1, 1.0, 25.0, 80.0])
    with jax.enable_x64(True):
        wanted = jax.grad(lambda a: jax.scipy.special.gammainc(a, x).sum())(a)
    found = pb.grad(lambda a: pnp.sum(ours.gammainc(a, x)))(a)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_outside_the_domain():
    """Ends of the domain have derivative 0 in the parameters; beyond it is NaN."""
    of_a = pb.grad(lambda a, x: pnp.sum(ours.gammainc(a, x)), wrt=0)
    x = np.array([0.0, np.inf, -1.0, np.nan])
    np.testing.assert_equal(of_a(np.full(4, 2.0), x), [0.0, 0.0, np.nan, np.nan])
    of_b = pb.grad(lambda b, x: pnp.sum(ours.betainc(2.0, b, x)), wrt=0)
    x = np.array([0.0, 1.0, 1.5, np.nan])
    np.testing.assert_equal(of_b(np.full(4, 2.0), x), [0.0, 0.0, np.nan, np.nan])


def test_entropies_at_zero():
    """Probabilities of zero add nothing, and leave the others' derivatives alone."""
    p, q = np.array([0.0, 0.25, 0.75]), np.array([0.5, 0.25, 0.25])
    value, gradient = pb.value_and_grad(lambda q: pnp.sum(ours.rel_entr(p, q)))(q)
    np.testing.assert_allclose(value, 0.75 * np.log(3))
    np.testing.assert_allclose(gradient, [0.0, -1.0, -3.0])
    np.testing.assert_allclose(pb.grad(lambda q: pnp.sum(ours.xlogy(p, q)))(q), p / q)
    assert ours.entr(0.0) == 0.0
    assert np.isneginf(ours.entr(-1.0))
    np.testing.assert_equal(ours.kl_div([0.0, 1.0, -1.0], [2.0, 0.0, 1.0]), [2.0, np.inf, np.inf])


def test_names():
    """`__all__` lists what there is."""
    assert all(hasattr(ours, name) for name in ours.__all__)
    assert pnp.xlogy(0.0, 0.0) == 0.0
