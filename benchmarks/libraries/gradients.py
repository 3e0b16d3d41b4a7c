"""Value and gradient of one function by every library that can be asked in the same words."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.contest import NDArray, Rival
from benchmarks.libraries import autograd_peer, jax_peer, ours, torch_peer
from benchmarks.libraries.words import Write


def gradient_rivals(
    write: Write,
    arguments: Sequence[NDArray],
    wrt: Sequence[int] = (0,),
    *,
    executors: Sequence[str] = ("numpy", "xla"),
    torch: bool = True,
    torch_compile: bool = True,
    autograd: bool = True,
) -> list[Rival]:
    """Pullback by its executors, JAX, PyTorch and autograd."""
    rivals = ours.rivals(ours.gradient(write, wrt), arguments, executors)
    rivals.append(ours.program_alone(write, arguments, wrt))
    if "xla" in executors:
        rivals.append(ours.kernel_alone(write, arguments, wrt))
    rivals += jax_peer.rivals(jax_peer.gradient(write, wrt), arguments)
    if torch:
        build = torch_peer.gradient(write, wrt)
        rivals += torch_peer.rivals(build, arguments, compiled=torch_compile)
    if autograd:
        rivals += autograd_peer.rivals(write, arguments, wrt)
    return rivals
