"""Jobs of many kinds, whose times are to be predicted: a row each, from a tenth of a second down.

None repeats another's graph; what they have in common is rows of the operator table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import pullback as pb
import pullback.linalg as la
import pullback.numpy as np
from pullback import lax, nn, special
from pullback_graph.want import Want

Shape: TypeAlias = "tuple[int, ...]"


class Job(NamedTuple):
    """One row.

    Attributes:
        shapes: of the function's arguments, by name, drawn from a normal distribution.
        by: the arguments that are differentiated by.
        want: the kind of derivative: gradient, jacobian, hessian or value.
        dtype: of all arguments.
    """

    title: str
    function: Callable[..., Any]
    shapes: Mapping[str, Shape]
    by: tuple[str, ...] = ()
    want: str = "gradient"
    dtype: str = "float64"

    @property
    def parameters(self) -> tuple[str, ...]:
        """What changes from call to call."""
        return self.by or (next(iter(self.shapes)),)

    @property
    def wanted(self) -> Want:
        """What is asked for."""
        return _WANTS[self.want](self.parameters)

    def quick(self) -> Job:
        """The same with short axes."""
        return self._replace(
            shapes={name: tuple([min(n, 3) for n in shape]) for name, shape in self.shapes.items()}
        )


_WANTS: Mapping[str, Callable[[tuple[str, ...]], Want]] = {
    "value": lambda _: pb.Value(),
    "gradient": pb.Gradient,
    "jacobian": pb.Jacobian,
    "hessian": pb.Hessian,
}

# --- elementwise ----------------------------------------------------------------------------------


def waves(x: Any) -> Any:
    """Sines and cosines of a long array."""
    return np.mean(np.sin(3.0 * x) * np.cos(x) + np.sin(x * x))


def densities(x: Any, y: Any) -> Any:
    """Normal densities and their logarithms."""
    z = (x - y) / (1.0 + y * y)
    return np.sum(np.exp(-0.5 * z * z) + np.log1p(np.exp(x)))


def prices(s: Any, v: Any) -> Any:
    """Calls by Black and Scholes."""
    s, v = 1.0 + s * s, 0.1 + v * v
    d = np.log(s) / v + 0.5 * v
    return np.sum(s * special.erf(d) - special.erf(d - v))


def gammas(x: Any) -> Any:
    """Logarithms of the gamma function."""
    return np.sum(np.lgamma(1.5 + x * x))


def rosenbrock(x: Any) -> Any:
    """The valley in many dimensions."""
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def clipped(x: Any) -> Any:
    """Comparisons and choices."""
    return np.sum(np.where(x > 0.5, np.sqrt(x * x + 1.0), np.clip(x, -1.0, 0.3)))


# --- products -------------------------------------------------------------------------------------


def regression(w: Any, x: Any, y: Any) -> Any:
    """Least squares."""
    return np.mean((x @ w - y) ** 2)


def logistic(w: Any, x: Any) -> Any:
    """Logistic regression."""
    return np.mean(np.logaddexp(0.0, x @ w))


def perceptron(a: Any, b: Any, c: Any, x: Any) -> Any:
    """Three layers."""
    return np.mean((np.tanh(np.tanh(x @ a) @ b) @ c) ** 2)


def relu_network(a: Any, b: Any, x: Any) -> Any:
    """Two layers with kinks, and classes."""
    scores = np.maximum(x @ a, 0.0) @ b
    return np.mean(np.logsumexp(scores, axis=1) - scores[:, 0])


def attention(q: Any, k: Any, v: Any) -> Any:
    """Softmax attention of several heads."""
    scores = np.einsum("hid,hjd->hij", q, k) * 0.1
    return np.sum(np.einsum("hij,hjd->hid", nn.softmax(scores, axis=-1), v) ** 2)


def bilinear(a: Any, x: Any) -> Any:
    """Forms of many vectors by one matrix."""
    return np.sum(np.einsum("ni,ij,nj->n", x, a, x) ** 2)


def chain_of_products(a: Any) -> Any:
    """Powers of a matrix."""
    z = a
    for _ in range(4):
        z = 0.05 * (z @ a)
    return np.sum(z * z)


def small_matrices(a: Any, b: Any) -> Any:
    """Many products of small matrices."""
    return np.sum(np.tanh(a @ b) ** 2)


def factors(u: Any, v: Any, m: Any) -> Any:
    """Matrix factorisation."""
    return np.mean((u @ v.T - m) ** 2) + 0.1 * np.mean(u * u)


def mixture(means: Any, x: Any) -> Any:
    """A mixture of spherical normals."""
    apart = np.sum((x[:, None, :] - means) ** 2, axis=2)
    return -np.mean(np.logsumexp(-0.5 * apart, axis=1))


def distances(x: Any) -> Any:
    """Energies of all pairs of particles."""
    apart = np.sum((x[:, None, :] - x[None, :, :]) ** 2, axis=2) + 1.0
    return np.sum(1.0 / apart**3 - 1.0 / apart)


# --- linear algebra -------------------------------------------------------------------------------


def gaussian_process(theta: Any, x: Any, y: Any) -> Any:
    """The likelihood of a Gaussian process."""
    n = x.shape[0]
    apart = (x[:, None] - x[None, :]) ** 2
    kernel = np.exp(-apart * np.exp(theta[0])) + (0.1 + theta[1] ** 2) * np.eye(n)
    return 0.5 * y @ la.solve(kernel, y) + 0.5 * la.slogdet(kernel)[1]


def cholesky(a: Any) -> Any:
    """The factor of many matrices."""
    n = a.shape[-1]
    return np.sum(la.cholesky(a @ np.swapaxes(a, -1, -2) + n * np.eye(n)) ** 2)


def eigenvalues(a: Any) -> Any:
    """A function of the eigenvalues."""
    return np.sum(np.tanh(la.eigvalsh(a + a.T)))


def inverses(a: Any) -> Any:
    """Inverses of many small matrices."""
    return np.sum(la.inv(a + 8.0 * np.eye(a.shape[-1])) ** 2)


# --- networks and signals -------------------------------------------------------------------------


def convolutions(k: Any, m: Any, x: Any) -> Any:
    """Two layers of convolutions."""
    z = np.maximum(nn.conv(x, k, padding=1), 0.0)
    return np.mean(nn.conv(z, m, padding=1) ** 2)


def spectrum(x: Any) -> Any:
    """Energy of frequencies."""
    z = pb.fft.rfft(x, axis=-1)
    return np.sum(np.log1p(np.abs(z) ** 2))


def ordered(x: Any) -> Any:
    """A trimmed mean."""
    z = np.sort(x, axis=-1)
    return np.mean(z[:, z.shape[1] // 4 :] ** 2)


def gathered(table: Any, x: Any) -> Any:
    """Rows of a table, by number."""
    rows = np.take(table, np.astype(np.abs(100.0 * x), "int64") % table.shape[0], axis=0)
    return np.sum(np.tanh(rows) ** 2)


def walks(x: Any) -> Any:
    """Cumulative sums of many walks."""
    return np.mean(np.cumsum(x, axis=1) ** 2)


def normalised(g: Any, x: Any) -> Any:
    """Batch normalisation."""
    mean, variance = np.mean(x, axis=0), np.var(x, axis=0)
    return np.mean(np.tanh(g * (x - mean) / np.sqrt(variance + 1e-5)) ** 2)


def turned(x: Any) -> Any:
    """Transposes between elementwise work."""
    return np.sum(np.exp(-(np.transpose(x) ** 2)) * np.transpose(np.tanh(x)))


# --- loops ----------------------------------------------------------------------------------------


def recurrent(w: Any, u: Any, x: Any) -> Any:
    """A recurrent network, a step after the other."""

    def step(h: Any, own: Any) -> Any:
        h = np.tanh(own @ w + h @ u)
        return h, np.mean(h)

    return np.sum(lax.scan(step, np.zeros((x.shape[1], u.shape[0])), x)[1])


def orbit(y: Any, t: Any) -> Any:
    """An equation of motion by small steps."""

    def step(state: Any, _: Any) -> Any:
        a, b = state
        return (a + 0.01 * b, b - 0.01 * np.sin(a)), np.sum(a)

    return np.sum(lax.scan(step, (y, y * 0.5), t)[1])


def unrolled(w: Any, x: Any) -> Any:
    """Layers written out."""
    for k in range(w.shape[0]):
        x = x + 0.1 * np.tanh(x @ w[k])
    return np.mean(x * x)


def terms(theta: Any, data: Any) -> Any:
    """Many terms of two kinds."""
    total = 0.0
    for k in range(data.shape[0]):
        z = data[k] @ theta
        total = total + (np.mean(np.exp(-z * z)) if k % 2 else np.mean(np.log1p(z * z)))
    return total


# --- all of a derivative --------------------------------------------------------------------------


def curves(theta: Any, t: Any) -> Any:
    """Values at many times, of all parameters."""
    return np.sum(np.sin(t[:, None] * theta) * np.exp(-theta * theta), axis=1)


def decays(theta: Any, t: Any) -> Any:
    """The same with exponentials only."""
    return np.exp(-(t[:, None] ** 2) * (1.0 + theta * theta)) @ np.tanh(theta)


def layers(w: Any, x: Any) -> Any:
    """A layer's values."""
    return np.tanh(x @ w)


def coupled(x: Any) -> Any:
    """All pairs, for a dense Hessian."""
    return np.sum(np.tanh(x[:, None] * x[None, :])) + np.sum(np.exp(-x * x))


CASES: tuple[Job, ...] = (
    Job("waves", waves, {"x": (1_500_000,)}),
    Job("densities", densities, {"x": (2_000_000,), "y": (2_000_000,)}, ("x", "y")),
    Job("densities in float32", densities, {"x": (3000, 700), "y": (700,)}, dtype="float32"),
    Job("option prices", prices, {"s": (700_000,), "v": (700_000,)}, ("s", "v")),
    Job("log-gamma", gammas, {"x": (400_000,)}),
    Job("Rosenbrock's valley", rosenbrock, {"x": (3_000_000,)}),
    Job("choices", clipped, {"x": (2000, 1000)}),
    Job("least squares", regression, {"w": (200,), "x": (60_000, 200), "y": (60_000,)}),
    Job("logistic regression", logistic, {"w": (64,), "x": (250_000, 64)}),
    Job(
        "perceptron",
        perceptron,
        {"a": (256, 512), "b": (512, 512), "c": (512, 16), "x": (4000, 256)},
        ("a", "b", "c"),
    ),
    Job(
        "perceptron in float32",
        perceptron,
        {"a": (300, 400), "b": (400, 300), "c": (300, 8), "x": (6000, 300)},
        ("a", "b", "c"),
        dtype="float32",
    ),
    Job("classifier", relu_network, {"a": (784, 128), "b": (128, 10), "x": (12_000, 784)}, ("a",)),
    Job("attention", attention, dict.fromkeys("qkv", (8, 512, 64)), ("q", "k", "v")),
    Job("bilinear forms", bilinear, {"a": (300, 300), "x": (12_000, 300)}),
    Job("powers of a matrix", chain_of_products, {"a": (700, 700)}),
    Job("products of small matrices", small_matrices, dict.fromkeys("ab", (40000, 6, 6))),
    Job("matrix factors", factors, {"u": (1500, 20), "v": (1200, 20), "m": (1500, 1200)}, ("u",)),
    Job("normal mixture", mixture, {"means": (20, 8), "x": (20_000, 8)}),
    Job("particles", distances, {"x": (900, 3)}),
    Job("Gaussian process", gaussian_process, {"theta": (2,), "x": (700,), "y": (700,)}),
    Job("Cholesky factors", cholesky, {"a": (60, 80, 80)}),
    Job("eigenvalues", eigenvalues, {"a": (300, 300)}),
    Job("inverses", inverses, {"a": (3000, 12, 12)}),
    Job(
        "convolutions",
        convolutions,
        {"k": (16, 3, 3, 3), "m": (16, 16, 3, 3), "x": (16, 3, 48, 48)},
        ("k", "m"),
    ),
    Job("spectra", spectrum, {"x": (300, 4096)}),
    Job("trimmed mean", ordered, {"x": (400, 3000)}),
    Job("rows of a table", gathered, {"table": (5000, 32), "x": (60_000,)}),
    Job("walks", walks, {"x": (800, 2000)}),
    Job("batch normalisation", normalised, {"g": (200,), "x": (12_000, 200)}, ("g", "x")),
    Job("transposes", turned, {"x": (1500, 1300)}),
    Job(
        "recurrent network",
        recurrent,
        {"w": (32, 96), "u": (96, 96), "x": (60, 300, 32)},
        ("w", "u"),
    ),
    Job("orbits", orbit, {"y": (30,), "t": (2500,)}),
    Job("written-out layers", unrolled, {"w": (16, 160, 160), "x": (2500, 160)}),
    Job("many terms", terms, {"theta": (40, 40), "data": (150, 400, 40)}),
    Job("Jacobian of curves", curves, {"theta": (150,), "t": (8000,)}, want="jacobian"),
    Job("Jacobian of decays", decays, {"theta": (60,), "t": (10_000,)}, want="jacobian"),
    Job("Jacobian of a layer", layers, {"w": (24, 12), "x": (300, 24)}, want="jacobian"),
    Job("Hessian of pairs", coupled, {"x": (220,)}, want="hessian"),
    Job("value of a mixture", mixture, {"means": (64, 6), "x": (50_000, 6)}, want="value"),
    Job("value of energies", distances, {"x": (2500, 3)}, want="value"),
)

WARM_UPS: tuple[Job, ...] = (
    Job("cubes", lambda x: np.sum(np.tanh(x) * x * x), {"x": (900_000,)}),
    Job("roots", lambda x, y: np.mean(np.sqrt(x * x + y * y)), dict.fromkeys("xy", (1100000,))),
    Job("squares", lambda w, x: np.sum((x @ w) ** 3), {"w": (300, 200), "x": (5000, 300)}),
    Job("bells", lambda x: np.sum(np.exp(-(x**2)), axis=1), {"x": (1500, 400)}, want="value"),
    Job(
        "planes",
        lambda w, x: np.log1p((x @ w) ** 2),
        {"w": (30,), "x": (20_000, 30)},
        want="jacobian",
    ),
)
"""Of other kinds: they warm workers up, and tell how slow the machine is now."""
