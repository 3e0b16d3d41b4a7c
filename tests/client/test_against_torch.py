"""PyTorch as a second oracle: the same functions, differentiated by torch.autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import linalg, special

pytestmark = pytest.mark.slow


class Case(NamedTuple):
    """One function in both libraries, and the shapes of its arguments."""

    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]


def _perceptron(x: Any, w: Any, b: Any, v: Any, *, tanh: Any) -> Any:
    return (tanh(x @ w + b) @ v).sum()


def _gaussian(linalg: Any, covariance: Any, x: Any) -> Any:
    """A sum of squares that a solution gives, and a log determinant by Cholesky and by itself."""
    factor = linalg.cholesky(covariance)
    solved = linalg.solve(covariance, x)
    return (solved * x).sum() + (factor**3).sum() + linalg.slogdet(covariance)[1].sum()


CASES: dict[str, Callable[[Any], Case]] = {
    "perceptron": lambda t: Case(
        lambda *a: _perceptron(*a, tanh=pnp.tanh),
        lambda *a: _perceptron(*a, tanh=t.tanh),
        ((7, 5), (5, 4), (4,), (4,)),
    ),
    "cross entropy": lambda t: Case(
        lambda x: -pnp.mean(pnp.log_softmax(x, axis=1)[:, 1]),
        lambda x: -t.mean(t.log_softmax(x, dim=1)[:, 1]),
        ((6, 4),),
    ),
    "variance": lambda t: Case(
        lambda x: pnp.sum(pnp.var(x, axis=0) ** 2),
        lambda x: t.sum(t.var(x, dim=0, correction=0) ** 2),
        ((8, 3),),
    ),
    "products": lambda t: Case(
        lambda x: pnp.sum(pnp.sin(pnp.prod(x, axis=1))),
        lambda x: t.sum(t.sin(t.prod(x, dim=1))),
        ((4, 3),),
    ),
    "running sums": lambda t: Case(
        lambda x: pnp.sum(pnp.cumsum(x, axis=0) ** 2),
        lambda x: t.sum(t.cumsum(x, dim=0) ** 2),
        ((5, 2),),
    ),
    "sorting": lambda t: Case(
        lambda x: pnp.sum(pnp.sort(x) ** 2 * pnp.arange(6.0)),
        lambda x: t.sum(t.sort(x).values ** 2 * t.arange(6.0, dtype=t.float64)),
        ((6,),),
    ),
    "rows picked twice": lambda t: Case(
        lambda x: pnp.sum(x[np.array([0, 2, 0])] ** 3),
        lambda x: t.sum(x[t.tensor([0, 2, 0])] ** 3),
        ((3, 4),),
    ),
    "einsum": lambda t: Case(
        lambda a, b: pnp.sum(pnp.einsum("bij,bjk->bik", a, b) ** 2),
        lambda a, b: t.sum(t.einsum("bij,bjk->bik", a, b) ** 2),
        ((2, 3, 4), (2, 4, 5)),
    ),
    "special functions": lambda t: Case(
        lambda x: pnp.sum(pnp.erf(x) + pnp.lgamma(pnp.exp(x)) + pnp.softplus(x)),
        lambda x: t.sum(t.erf(x) + t.lgamma(t.exp(x)) + t.nn.functional.softplus(x)),
        ((9,),),
    ),
    "more special functions": lambda t: Case(
        lambda x: pnp.sum(special.i0(x) + special.log_ndtr(x) + special.erfinv(pnp.tanh(x) * 0.9)),
        lambda x: t.sum(
            t.special.i0(x) + t.special.log_ndtr(x) + t.special.erfinv(t.tanh(x) * 0.9)
        ),
        ((9,),),
    ),
    "gaussian": lambda t: Case(
        lambda a, b: _gaussian(pnp.linalg, a @ pnp.matrix_transpose(a) + 3 * np.eye(4), b),
        lambda a, b: _gaussian(t.linalg, a @ a.mT + 3 * t.eye(4, dtype=t.float64), b),
        ((2, 4, 4), (2, 4, 3)),
    ),
    "singular values": lambda t: Case(
        lambda x: pnp.sum(pnp.linalg.svd(x, False).U ** 4) + pnp.linalg.norm(x, "nuc"),
        lambda x: t.sum(t.linalg.svd(x, False).U ** 4) + t.linalg.norm(x, "nuc"),
        ((5, 3),),
    ),
    "eigenvectors": lambda t: Case(
        lambda x: pnp.sum(pnp.linalg.eigh(x + x.T).eigenvectors ** 4),
        lambda x: t.sum(t.linalg.eigh(x + x.T).eigenvectors ** 4),
        ((4, 4),),
    ),
    "orthogonal factor": lambda t: Case(
        lambda x: pnp.sum(pnp.linalg.qr(x).Q ** 4 @ np.arange(3.0)),
        lambda x: t.sum(t.linalg.qr(x).Q ** 4 @ t.arange(3.0, dtype=t.float64)),
        ((5, 3),),
    ),
    "matrix functions": lambda t: Case(
        lambda x: pnp.sum(linalg.expm(x) * linalg.inv(x + 4 * np.eye(3))) + linalg.det(x),
        lambda x: (
            t.sum(t.linalg.matrix_exp(x) * t.linalg.inv(x + 4 * t.eye(3, dtype=t.float64)))
            + t.linalg.det(x)
        ),
        ((3, 3),),
    ),
    "choice": lambda t: Case(
        lambda x: pnp.sum(pnp.where(x > 0.0, x**2, pnp.abs(x))),
        lambda x: t.sum(t.where(x > 0.0, x**2, t.abs(x))),
        ((11,),),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients_and_hessian_products_agree(name: str) -> None:
    """First derivatives, and second along a random direction, to a relative 1e-10."""
    torch = pytest.importorskip("torch", reason="the torch group is not installed: make slow")
    case = CASES[name](torch)
    rng = np.random.default_rng(4)
    arrays = [rng.normal(size=shape) for shape in case.shapes]
    given = [torch.tensor(array, requires_grad=True) for array in arrays]
    value = case.theirs(*given)
    first = torch.autograd.grad(value, given, create_graph=True)
    positions = tuple(range(len(arrays)))
    ours, gradients = pb.value_and_grad(case.ours, wrt=positions)(*arrays)
    np.testing.assert_allclose(ours, value.item(), rtol=1e-12)
    for one, other in zip(gradients, first, strict=True):
        np.testing.assert_allclose(one, other.detach().numpy(), rtol=1e-10, atol=1e-12)

    direction = rng.normal(size=case.shapes[0])
    along = torch.sum(first[0] * torch.tensor(direction))
    (second,) = torch.autograd.grad(along, given[:1])
    found = pb.hvp(case.ours, wrt=0)(*arrays, tangent=direction)
    np.testing.assert_allclose(found, second.numpy(), rtol=1e-9, atol=1e-11)
