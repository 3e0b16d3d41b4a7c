"""ADBench's fourth: distances of a skinned hand model to a cloud of points, and their Jacobian.

26 parameters pose the hand: its rotation and place, and four angles a finger. Bones form a tree; a
vertex follows its bones by weights (linear blend skinning).

Source: Šrajer, Kukelova, Fitzgibbon 2018 (see gaussian_mixture.py), section 3. The hand itself is
made at random here: 22 bones, 544 vertices.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from benchmarks.contest import CHECK, Case, NDArray, Rival, Target
from benchmarks.libraries import jax_peer, ours, torch_peer
from benchmarks.libraries.words import Function, Words
from benchmarks.workloads.workload import Workload

FINGERS, JOINTS = 5, 4
BONES = 2 + FINGERS * JOINTS
LEVELS = (2, *[2 + FINGERS * k for k in range(1, JOINTS + 1)])
"""Bones are in the order of their depth: wrist and palm, then each finger's first bone, and so on;
the bones of a level end here."""
PARAMETERS = 6 + FINGERS * 4


class Sizes(NamedTuple):
    """Points to track, each by one vertex, and vertices."""

    points: int
    vertices: int = 544


def write(np: Words) -> Function:
    """Residuals (N, 3) of parameters (26,), the hand's constants, and points (N, 3).

    The hand: which parameter bends which bone (22·3, 20); each bone's place within its parent as
    rotation (22, 3, 3) and offset (22, 3, 1); the inverse of its place at rest, likewise; vertices
    at rest times their weights (22·4, V); and the vertex that each point belongs to.
    """

    def residuals(
        theta: Any, bends: Any, turns: Any, offsets: Any, rest_turns: Any, rest_offsets: Any,
        skin: Any, chosen: Any, points: Any,
    ) -> Any:  # fmt: skip
        angles = np.reshape(bends @ theta[6:], (BONES, 3))
        rotations, places = _posed(np, turns @ _euler(np, angles), offsets)
        linear = rotations @ rest_turns
        moved = rotations @ rest_offsets + places
        bones = np.reshape(
            np.transpose(np.concatenate((linear, moved), axis=2), (1, 0, 2)), (3, BONES * 4)
        )
        hand = _rotation(np, theta[0:3]) @ (bones @ skin)
        return points - np.take(hand, chosen, axis=1).T - theta[3:6]

    return residuals


def _posed(np: Words, local: Any, offsets: Any) -> tuple[Any, Any]:
    """Rotations and places of the bones in the hand's frame, level by level down the tree.

    The palm hangs on the wrist, the fingers on the palm, each further bone on the one before.
    """
    turned, place = local[0:1], offsets[0:1]
    turned_palm = turned @ local[1:2]
    place_palm = turned @ offsets[1:2] + place
    rotations, places = [turned, turned_palm], [place, place_palm]
    parent, origin = turned_palm, place_palm
    for start, stop in pairwise(LEVELS):
        origin = parent @ offsets[start:stop] + origin
        parent = parent @ local[start:stop]
        rotations.append(parent)
        places.append(origin)
    return np.concatenate(tuple(rotations), axis=0), np.concatenate(tuple(places), axis=0)


def _euler(np: Words, angles: Any) -> Any:
    """Rotations (B, 3, 3) by angles (B, 3) about x, then y, then z."""
    sines, cosines = np.sin(angles), np.cos(angles)
    sx, sy, sz = sines[:, 0], sines[:, 1], sines[:, 2]
    cx, cy, cz = cosines[:, 0], cosines[:, 1], cosines[:, 2]
    entries = (
        cy * cz, sx * sy * cz - cx * sz, cx * sy * cz + sx * sz,
        cy * sz, sx * sy * sz + cx * cz, cx * sy * sz - sx * cz,
        -sy, sx * cy, cx * cy,
    )  # fmt: skip
    return np.reshape(np.stack(entries, axis=1), (angles.shape[0], 3, 3))


def _rotation(np: Words, vector: Any) -> Any:
    """The rotation (3, 3) by a vector that is not zero (Rodrigues)."""
    angle = np.sqrt(np.sum(vector * vector))
    axis = vector / angle
    x, y, z = axis[0], axis[1], axis[2]
    sine, cosine = np.sin(angle), np.cos(angle)
    rest = 1.0 - cosine
    entries = (
        x * x * rest + cosine, x * y * rest - z * sine, x * z * rest + y * sine,
        x * y * rest + z * sine, y * y * rest + cosine, y * z * rest - x * sine,
        x * z * rest - y * sine, y * z * rest + x * sine, z * z * rest + cosine,
    )  # fmt: skip
    return np.reshape(np.stack(entries), (3, 3))


def data(sizes: Sizes) -> list[NDArray]:
    """A hand and a cloud of points, at random."""
    random = np.random.default_rng(0)
    turns = np.linalg.qr(random.normal(size=(BONES, 3, 3)))[0]
    rest = np.linalg.qr(random.normal(size=(BONES, 3, 3)))[0]
    weights = random.uniform(size=(BONES, sizes.vertices)) ** 8
    weights /= weights.sum(axis=0)
    at_rest = np.concatenate(
        [random.normal(size=(3, sizes.vertices)), np.ones((1, sizes.vertices))]
    )
    skin = weights[:, None, :] * at_rest[None, :, :]
    return [
        random.uniform(0.1, 0.6, PARAMETERS),
        _bends(),
        turns,
        random.normal(0.0, 0.3, (BONES, 3, 1)),
        rest,
        random.normal(0.0, 0.3, (BONES, 3, 1)),
        skin.reshape(BONES * 4, sizes.vertices),
        random.integers(sizes.vertices, size=sizes.points),
        random.normal(size=(sizes.points, 3)),
    ]


def _bends() -> NDArray:
    """Of each finger: its first joint bends two ways, the next two one way."""
    matrix = np.zeros((BONES, 3, FINGERS * 4))
    for finger in range(FINGERS):
        first = 4 * finger
        matrix[LEVELS[0] + finger, 0, first] = matrix[LEVELS[0] + finger, 1, first + 1] = 1.0
        matrix[LEVELS[1] + finger, 0, first + 2] = 1.0
        matrix[LEVELS[2] + finger, 0, first + 3] = 1.0
    return matrix.reshape(BONES * 3, FINGERS * 4)


def case(sizes: Sizes) -> Case:
    """One cloud."""
    arguments = data(sizes)
    forward = torch_peer.rivals(_torch, arguments, compiled=False, name="PyTorch jacfwd")
    return Case(
        name=f"{sizes.points:,} points",
        about=f"Jacobian of 3 residuals a point by {PARAMETERS} parameters, float64",
        rivals=[
            Rival("NumPy, complex step", CHECK, lambda: lambda: _complex_step(arguments)),
            *ours.rivals(_ours, arguments),
            *jax_peer.rivals(_jax, arguments, "JAX jit of jacfwd"),
            *forward,
        ],
        targets=[Target(1.1, families=("JAX",)), Target(0.5, families=("PyTorch",))],
        left_out=["autograd: it has reverse mode alone, a pass for each residual"],
    )


def _complex_step(arguments: list[NDArray]) -> NDArray:
    """The Jacobian by Im f(θ + i h) / h, exact to rounding: the reference of the others."""
    step = 1e-30
    residuals = write(np)
    columns = []
    for place in range(PARAMETERS):
        moved = arguments[0].astype(complex)
        moved[place] += 1j * step
        columns.append(residuals(moved, *arguments[1:]).imag / step)
    return np.stack(columns, axis=-1)


def _ours(service: Any, **options: Any) -> Function:
    return service.jacobian(write(ours.words()), **options)  # type: ignore[no-any-return]


def _jax(jax: Any) -> Function:
    return jax.jit(jax.jacfwd(write(jax_peer.words())))  # type: ignore[no-any-return]


def _torch(torch: Any, transform: Function) -> Function:
    return torch.func.jacfwd(write(torch_peer.words()))  # type: ignore[no-any-return]


WORKLOAD = Workload(
    "ADBench hand tracking, Jacobian",
    {"small": Sizes(100), "medium": Sizes(1_000), "large": Sizes(10_000, 2_000)},
    Sizes(3, 7),
    case,
    first="medium",
    budget_s=10.0,
)
