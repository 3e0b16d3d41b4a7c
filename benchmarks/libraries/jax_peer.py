"""JAX: jitted functions, with arrays that live on the device and with NumPy arrays in and out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np

from benchmarks.contest import Call, NDArray, Rival
from benchmarks.libraries.words import Vocabulary, Words, Write

FAMILY = "JAX"
Build: TypeAlias = Callable[[Any], Callable[..., Any]]
"""The module `jax` -> a jitted function of arrays."""


def library() -> Any:
    """The module `jax`, in 64-bit mode: float32 stays what it is, float64 too, also on a GPU.

    There it would take products of float32 in a shorter format unasked, which PyTorch and we don't.
    """
    jax = import_module("jax")
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")
    return jax


def words() -> Words:
    """`jax.numpy`, with `logsumexp`, `erf` and `scan`."""
    jax = library()
    special = import_module("jax.scipy.special")
    return Vocabulary(
        jax.numpy,
        logsumexp=special.logsumexp,
        erf=special.erf,
        relu=jax.nn.relu,
        sigmoid=jax.nn.sigmoid,
        scan=jax.lax.scan,
    )


def rivals(build: Build, arguments: Sequence[NDArray], name: str = "JAX jit") -> list[Rival]:
    """A jitted function called with device arrays, and with NumPy arrays in and out."""

    def on_device() -> Call:
        jax = library()
        function = build(jax)
        arrays = [jax.device_put(array) for array in arguments]
        return lambda: jax.block_until_ready(function(*arrays))

    def numpy_in_and_out() -> Call:
        jax = library()
        function = build(jax)
        arrays = tuple(arguments)
        return lambda: jax.tree_util.tree_map(np.asarray, function(*arrays))

    return [
        Rival(f"{name}, device arrays", FAMILY, on_device),
        Rival(f"{name}, NumPy in and out", FAMILY, numpy_in_and_out),
    ]


def gradient(write: Write, wrt: Sequence[int]) -> Build:
    """Value and gradient, jitted."""
    return lambda jax: jax.jit(jax.value_and_grad(write(words()), argnums=tuple(wrt)))
