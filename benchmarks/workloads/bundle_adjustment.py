"""ADBench's second: reprojection errors of bundle adjustment, and their sparse Jacobian.

Each observation's two residuals depend on one camera (11 numbers), one point (3) and one weight: a
block of 2×15, so the Jacobian is the blocks of all observations.

Source: Šrajer, Kukelova, Fitzgibbon 2018 (see gaussian_mixture.py), section 3; the camera model is
the one with two coefficients of radial distortion.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import pullback as pb
from benchmarks.contest import CHECK, OURS, Case, NDArray, Rival, Target
from benchmarks.libraries import jax_peer, ours, torch_peer
from benchmarks.libraries.words import Function, Words
from benchmarks.workloads.workload import Workload

PARAMETERS = 15


class Sizes(NamedTuple):
    """Cameras, points, and observations of a point by a camera."""

    cameras: int
    points: int
    observations: int


def write(np: Words) -> Function:
    """Residuals (..., 2) of parameters (..., 15) and features (..., 2).

    Parameters: rotation vector (3), centre (3), focal length, principal point (2) and distortion
    (2) of the camera; the point (3); the weight.
    """

    def residuals(q: Any, feature: Any) -> Any:
        seen = _rotated(np, q[..., 0:3], q[..., 11:14] - q[..., 3:6])
        flat = seen[..., 0:2] / seen[..., 2:3]
        radius = np.sum(flat * flat, axis=-1)[..., None]
        bent = flat * (1.0 + q[..., 9:10] * radius + q[..., 10:11] * radius * radius)
        return q[..., 14:15] * (bent * q[..., 6:7] + q[..., 7:9] - feature)

    return residuals


def _rotated(np: Words, rotation: Any, x: Any) -> Any:
    """Vectors turned by rotation vectors (Rodrigues), none of them zero."""
    square = np.sum(rotation * rotation, axis=-1)[..., None]
    angle = np.sqrt(square)
    axis = rotation / angle
    cosine = np.cos(angle)
    along = np.sum(axis * x, axis=-1)[..., None]
    a0, a1, a2 = axis[..., 0:1], axis[..., 1:2], axis[..., 2:3]
    x0, x1, x2 = x[..., 0:1], x[..., 1:2], x[..., 2:3]
    across = np.concatenate((a1 * x2 - a2 * x1, a2 * x0 - a0 * x2, a0 * x1 - a1 * x0), axis=-1)
    return x * cosine + across * np.sin(angle) + axis * (along * (1.0 - cosine))


def data(sizes: Sizes) -> list[NDArray]:
    """Cameras around a cloud of points: (p, 15) parameters of each observation, (p, 2) features."""
    random = np.random.default_rng(0)
    n, m, p = sizes
    cameras = np.concatenate(
        [
            random.normal(0.0, 0.1, (n, 3)),
            random.normal(0.0, 0.5, (n, 3)) - [0.0, 0.0, 8.0],
            random.uniform(500.0, 600.0, (n, 1)),
            random.normal(0.0, 5.0, (n, 2)),
            random.normal(0.0, 0.01, (n, 2)),
        ],
        axis=1,
    )
    points = random.normal(size=(m, 3))
    seen = cameras[random.integers(n, size=p)], points[random.integers(m, size=p)]
    q = np.concatenate([*seen, random.uniform(0.5, 1.5, (p, 1))], axis=1)
    return [q, random.normal(0.0, 50.0, (p, 2))]


def case(sizes: Sizes) -> Case:
    """One scene."""
    arguments = data(sizes)
    build = torch_peer.rivals(_torch, arguments, compiled=False, name="PyTorch vmap of jacrev")
    return Case(
        name=f"{sizes.observations:,} observations of {sizes.points:,} points",
        about="blocks 2×15 of the Jacobian, one an observation, float64; the parameters gathered",
        rivals=[
            Rival("NumPy, complex step", CHECK, lambda: lambda: _complex_step(*arguments)),
            *ours.rivals(_mapped, arguments),
            *[
                rival._replace(name=rival.name.replace(OURS, f"{OURS} vjp"), arrange=_stacked)
                for rival in ours.rivals(_two_seeds, arguments)
            ],
            *[
                rival._replace(
                    name=rival.name.replace(OURS, f"{OURS} sparse Jacobian"), arrange=_blocks_of
                )
                for rival in ours.rivals(_sparse, arguments)
            ],
            *jax_peer.rivals(_jax("jacfwd"), arguments, "JAX jit, vmap of jacfwd"),
            *jax_peer.rivals(_jax("jacrev"), arguments, "JAX jit, vmap of jacrev"),
            *build,
            *torch_peer.rivals(_torch_by_rows, arguments, name="PyTorch, two backward passes"),
        ],
        targets=[Target(1.1, families=("JAX",)), Target(0.5, families=("PyTorch",))],
    )


def _complex_step(q: NDArray, feature: NDArray) -> NDArray:
    """The blocks by Im f(q + i h) / h, exact to rounding: the reference of the others."""
    step = 1e-30
    residuals = write(np)
    columns = []
    for place in range(PARAMETERS):
        moved = q.astype(complex)
        moved[:, place] += 1j * step
        columns.append(residuals(moved, feature).imag / step)
    return np.stack(columns, axis=-1)


def _two_seeds(service: pb.LocalService, **options: Any) -> Function:
    """Both rows of every block as one job with two seeds: the one and the other residual's."""
    traces: dict[Any, Any] = {}

    def blocks(q: NDArray, feature: NDArray) -> list[NDArray]:
        if not traces:
            traces["graph"] = pb.trace(write(ours.words()), q, feature)
            rows = [np.zeros(feature.shape), np.zeros(feature.shape)]
            for place, row in enumerate(rows):
                row[:, place] = 1.0
            traces["seeds"] = [{"result": row} for row in rows]
        result = service.vjp(
            traces["graph"], {"q": q, "feature": feature}, "q", *traces["seeds"], **options
        )
        return [result.seed(0)["q"], result.seed(1)["q"]]

    return blocks


def _mapped(service: pb.LocalService, **options: Any) -> Function:
    """The Jacobian of one observation, mapped over all."""
    vmap: Any = getattr(pb, "vmap")  # noqa: B009  (it says so where it is missing)
    return service.value(vmap(pb.jacobian(write(ours.words()))), **options)  # type: ignore[no-any-return]


def _sparse(service: pb.LocalService, **options: Any) -> Function:
    """The whole Jacobian as one sparse matrix, which nobody told that it is made of blocks."""
    return service.jacobian(write(ours.words()), sparse=True, **options)  # type: ignore[no-any-return]


def _blocks_of(matrix: Any) -> NDArray:
    """The blocks (p, 2, 15) of such a matrix."""
    blocks = np.zeros((matrix.shape[0], PARAMETERS))
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    blocks[rows, matrix.indices % PARAMETERS] = matrix.data
    return blocks.reshape(-1, 2, PARAMETERS)


def _stacked(rows: list[NDArray]) -> NDArray:
    """The blocks (p, 2, 15) of rows given one by one."""
    return np.stack(rows, axis=1)


def _jax(mode: str) -> jax_peer.Build:
    def build(jax: Any) -> Function:
        block = getattr(jax, mode)(write(jax_peer.words()))
        return jax.jit(jax.vmap(block))  # type: ignore[no-any-return]

    return build


def _torch(torch: Any, transform: Function) -> Function:
    block = torch.func.jacrev(write(torch_peer.words()))
    return torch.func.vmap(block)  # type: ignore[no-any-return]


def _torch_by_rows(torch: Any, transform: Function) -> Function:
    residuals = transform(write(torch_peer.words()))

    def blocks(q: Any, feature: Any) -> Any:
        leaf = q.detach().requires_grad_()
        first, second = residuals(leaf, feature).sum(dim=0)
        rows = [torch.autograd.grad(r, leaf, retain_graph=True)[0] for r in (first, second)]
        return torch.stack(rows, dim=1)

    return blocks


WORKLOAD = Workload(
    "ADBench bundle adjustment, sparse Jacobian",
    {
        "small": Sizes(10, 200, 1_000),
        "medium": Sizes(49, 7_776, 31_843),
        "large": Sizes(138, 19_878, 85_217),
    },
    Sizes(2, 3, 5),
    case,
    first="medium",
    budget_s=10.0,
)
