"""The one door to numba: how the tape machine is compiled, its native code kept and loaded.

Where no folder can be written (`tape_cache`), every process compiles anew; what is damaged is
thrown away and compiled again.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numba as _numba
from llvmlite import ir
from numba.core import cgutils as _cgutils
from numba.core import config as _numba_config
from numba.core import types
from numba.core.caching import NullCache

from pullback_worker.tape_cache import cache_folder

Kernel: TypeAlias = Callable[..., Any]

numba: Any = _numba  # which is typed in places
VERSION: str = numba.__version__
_CONFIG: Any = _numba_config  # whose names are set when it is imported
_CGUTILS: Any = _cgutils
FOLDER = cache_folder()
"""Where this process keeps the machine's native code, or None."""
_LOCK = threading.Lock()
_KERNELS: list[Any] = []
"""All kernels of the process."""


@contextmanager
def _cached_in(folder: Path) -> Iterator[None]:
    """Let numba keep in `folder` what is decorated meanwhile, and leave its settings as found."""
    before = _CONFIG.CACHE_DIR
    _CONFIG.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        _CONFIG.CACHE_DIR = before


def jit(function: Kernel) -> Kernel:
    """The function compiled at its first call: no GIL, division by zero as IEEE says.

    Strict floating point: no reordering, no fused operations, NaN and -0 kept.
    """
    with _LOCK:
        if FOLDER is None:
            compiled: Any = numba.njit(nogil=True, error_model="numpy")(function)
        else:
            with _cached_in(FOLDER):
                compiled = numba.njit(nogil=True, error_model="numpy", cache=True)(function)
        _KERNELS.append(compiled)
    kernel: Kernel = compiled
    return kernel


@_numba.extending.intrinsic
def prefetch(_: Any, array: Any, place: Any) -> Any:
    """Begin to load element `place` of `array`, which need not exist: nothing is read."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        call = _CGUTILS.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        address = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
        read, near, of_data = ir.Constant(word, 0), ir.Constant(word, 3), ir.Constant(word, 1)
        builder.call(call, [address, read, near, of_data])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


def ready(kernel: Any, *arguments: Any) -> None:
    """Load or compile `kernel` for arguments of the types of these.

    Whatever ails the files of the cache, the kernel is compiled: damaged ones are thrown away, and
    where that does not help (a full disk) this process keeps its code to itself.
    """
    types = tuple([numba.typeof(argument) for argument in arguments])
    try:
        kernel.compile(types)
    except (
        Exception
    ):  # what damaged files raise has no common class; the compiler has the last word
        if FOLDER is None:
            raise
        with _LOCK:
            shutil.rmtree(FOLDER, ignore_errors=True)
            for each in _KERNELS:
                each._cache = NullCache()
        kernel.compile(types)


def cache_counts(kernel: Any) -> tuple[int, int]:
    """How many of the kernel's versions this process loaded, and how many it compiled."""
    return sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values())
