"""The compiling executor: a graph's run rules under one `jax.jit`, on the CPU or a GPU.

64-bit types stay 64-bit, whatever this process has set for JAX otherwise. Compiling can't be
interrupted, so the size of a graph is bounded; a running program can't either.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import jax
from jax.sharding import SingleDeviceSharding

from pullback_graph.errors import LimitExceeded, UnsupportedError
from pullback_graph.graph import Graph
from pullback_worker.executor import NDArray
from pullback_worker.jax_kernels import JaxKernels
from pullback_worker.resident_arrays import ResidentArrays
from pullback_worker.xla_cache import CAPACITY_BYTES, keep_compiled, prune
from pullback_worker.xla_limits import LESS_FUSED_NODES, MOST_NODES, held_bytes
from pullback_worker.xla_program import Traceable, XlaProgram, failure

PRUNE_EVERY = 256
"""Programs compiled between two looks at the size of the cache's folder."""
ALIGNMENT = 64
"""XLA on a CPU reads arrays in place that are aligned so, and copies others."""

RESIDENT_BYTES = 256 << 20
"""What inputs that can't change may take between calls, at the least."""
GPU_OPTIONS = {"xla_gpu_deterministic_ops": True}
"""A program gives the same bits every time: no atomic additions, no kernels chosen by stopwatch."""

Call = Callable[..., Sequence[jax.Array]]


class XlaExecutor:
    """Compiles graphs with XLA.

    Args:
        device: `cpu`, `gpu`, or one of several: `gpu:1`; empty takes JAX's first.
        threads: of one program on a CPU, 1 or 0 for as many as there are cores.
        cache: the folder to keep compiled programs in for later processes; None for JAX's own
            settings.
        resident_bytes: what inputs that can't change may take on the device between calls; None
            for 256 MiB, or a quarter of what programs may take of a GPU.
        alone: whether nobody else in this process uses JAX, so that settings of the whole process
            are ours: programs on a CPU run in the thread that calls them, which waits for their
            results anyway, and JAX starts no GPU where `device` is `cpu`: it would take most of
            its memory.

    Raises:
        UnsupportedError: there is no such device.
    """

    name = "xla"

    def __init__(
        self,
        device: str = "",
        *,
        threads: int = 0,
        cache: Path | None = None,
        resident_bytes: int | None = None,
        alone: bool = False,
    ) -> None:
        if alone:
            config: Any = jax.config
            config.update("jax_cpu_enable_async_dispatch", False)
            if device.partition(":")[0] == "cpu":
                config.update("jax_platforms", "cpu")
        if threads:
            os.environ.setdefault("PJRT_NPROC", str(threads))  # read when JAX's CPU client starts
        self._cache = keep_compiled(cache) if cache is not None else None
        self._compiled_since_prune = 0
        self.device = _device(device)
        self.on_cpu = self.device.platform == "cpu"
        self._one_thread = threads == 1 and self.on_cpu
        if resident_bytes is None:
            resident_bytes = max(RESIDENT_BYTES, self.memory_bytes // 4)
        self._resident = ResidentArrays(resident_bytes, self._put, self._reads_in_place)
        self._kernels = JaxKernels(globally=False, apart=not self.on_cpu)

    @property
    def memory_bytes(self) -> int:
        """What programs may take of a GPU's memory; 0 on a CPU, or where JAX does not say."""
        statistics = None if self.on_cpu else self.device.memory_stats()
        return int((statistics or {}).get("bytes_limit", 0))

    @property
    def version(self) -> str:
        """Of this executor and of JAX, and what decides the bits besides: device and threads."""
        threads = "-1-thread" if self._one_thread else ""
        return f"{1 if self.on_cpu else 2}/jax-{jax.__version__}-{self.device.platform}{threads}"

    def compile(self, graph: Graph) -> XlaProgram:
        """The program of `graph`: up to seconds of work.

        Raises:
            LimitExceeded: it has more nodes than are compiled in reasonable time.
            UnsupportedError: JAX has no way to run one of its rows as the row says.
            ExecutionError: the compiler failed.
        """
        if graph.node_count > MOST_NODES:
            raise LimitExceeded(
                f"the graph that runs has {graph.node_count} nodes, derivatives included; xla "
                f"compiles up to {MOST_NODES}: use executor numpy or auto, or write what repeats "
                "as a loop",
                field="options.executor",
            )
        self._tidy()
        with _wide(), jax.default_matmul_precision("highest"):
            source = Traceable(graph, self._kernels)
            constants = [self._put(graph.constants[k]) for k in source.large]
            call, forwarded = self._compiled(source) if source.computed else (_nothing, {})
        return XlaProgram(
            source,
            call,
            forwarded,
            constants,
            self._resident,
            on_cpu=self.on_cpu,
            size_bytes=held_bytes(graph),
        )

    def _tidy(self) -> None:
        """Keep the folder of compiled programs within its bound, now and then."""
        self._compiled_since_prune += 1
        if self._cache is not None and self._compiled_since_prune >= PRUNE_EVERY:
            self._compiled_since_prune = 0
            prune(self._cache, CAPACITY_BYTES)

    def _compiled(self, source: Traceable) -> tuple[Call, dict[int, int]]:
        """The compiled function, and its results that are an argument: result -> argument."""
        try:
            traced = jax.jit(source, **self._placement()).trace(*source.arguments)
            _check_types(traced, source)
        except (NotImplementedError, AttributeError, TypeError, ValueError, IndexError) as error:
            raise UnsupportedError(
                f"xla can't run this graph: {_first_line(error)}; use executor numpy or auto",
                field="options.executor",
            ) from error
        forwarded = _forwarded(traced)
        try:
            return self._optimized(traced.lower(), source.graph), forwarded
        except NotImplementedError as error:
            raise UnsupportedError(
                f"xla can't run this graph: {_first_line(error)}; use executor numpy or auto",
                field="options.executor",
            ) from error
        except (RuntimeError, MemoryError, ValueError) as error:
            raise failure(error, "compile") from error

    def _optimized(self, lowered: Any, graph: Graph) -> Call:
        """The executable, with our options where this release of XLA knows them."""
        options = self._options(graph)
        try:
            call: Call = lowered.compile(compiler_options=options or None)
        except RuntimeError as error:
            if "compile option" not in str(error):
                raise
            call = lowered.compile()
        return call

    def _options(self, graph: Graph) -> dict[str, bool]:
        if not self.on_cpu:
            return GPU_OPTIONS
        options = {}
        if self._one_thread:
            options["xla_cpu_multi_thread_eigen"] = False
        if graph.node_count > LESS_FUSED_NODES:
            options["xla_cpu_use_fusion_emitters"] = False
        return options

    def _placement(self) -> dict[str, Any]:
        """Where a program runs, where that is not JAX's own choice."""
        if self.device == jax.devices()[0]:
            return {}
        sharding = SingleDeviceSharding(self.device)
        return {"in_shardings": sharding, "out_shardings": sharding}

    def _put(self, array: NDArray) -> jax.Array:
        with _wide():
            copy: jax.Array = jax.device_put(array, self.device)
        return copy

    def _reads_in_place(self, array: NDArray) -> bool:
        address: int = array.__array_interface__["data"][0]
        return self.on_cpu and address % ALIGNMENT == 0


def _device(name: str) -> Any:
    """The device of a name.

    Raises:
        UnsupportedError: there is none.
    """
    platform, _, number = name.partition(":")
    try:
        return jax.devices(platform or None)[int(number or 0)]
    except (RuntimeError, IndexError, ValueError) as error:
        found = ", ".join(sorted({device.platform for device in jax.devices()}))
        raise UnsupportedError(
            f"JAX finds no device {name!r}, only: {found}; for NVIDIA GPUs, "
            "pip install 'pullback[gpu]'",
            field="options.executor",
        ) from error


def _wide() -> AbstractContextManager[Any]:
    """64-bit mode for this thread, where the process does not have it anyway."""
    return nullcontext() if jax.enable_x64.value else jax.enable_x64(True)


def _check_types(traced: Any, source: Traceable) -> None:
    """A row that gives another type on JAX is not run as the row says.

    Raises:
        TypeError: there is one; it names both types.
    """
    for value, found in zip(source.computed, traced.out_info, strict=True):
        wanted = source.graph.types[value]
        if found.shape != wanted.shape or found.dtype != wanted.dtype:
            raise TypeError(f"a result is {wanted}, and {found.dtype}{list(found.shape)} on JAX")


def _forwarded(traced: Any) -> dict[int, int]:
    """The results of a traced function that are one of its arguments: result -> argument."""
    jaxpr = traced.jaxpr.jaxpr
    arguments = {id(variable): k for k, variable in enumerate(jaxpr.invars)}
    results = enumerate(jaxpr.outvars)
    return {k: arguments[id(variable)] for k, variable in results if id(variable) in arguments}


def _nothing(*_: Any) -> Sequence[jax.Array]:
    """The function of a graph that computes nothing: its outputs are inputs and constants."""
    return ()


def _first_line(error: Exception) -> str:
    line = str(error).strip().split("\n", 1)[0][:300]
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
