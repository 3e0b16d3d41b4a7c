"""A graph compiled by XLA: NumPy arrays in, fresh and writeable NumPy arrays out.

Inputs that are aligned are read in place, and results are the very memory XLA wrote them to; a call
costs what JAX's own does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from pullback_graph.errors import Cancelled, ExecutionError, InputError, OutOfMemory, PullbackError
from pullback_graph.graph import Graph
from pullback_graph.kernels import Kernels
from pullback_graph.types import Shape
from pullback_worker.executor import CancelFlag, NDArray
from pullback_worker.resident_arrays import ResidentArrays

_struct: Callable[..., jax.ShapeDtypeStruct] = jax.ShapeDtypeStruct
BAKED_BYTES = 1 << 12
"""Constants up to this size are part of the compiled program; larger ones lie on the device."""
COPIED_BYTES = 1 << 13
"""Results up to this size are copied, which costs less than wrapping their memory."""

_ResultType: TypeAlias = tuple[Shape, str, bool]
"""Shape, dtype as NumPy writes it, and whether it is small."""


class XlaProgram:
    """A graph ready to run. Safe to call from several threads at once.

    Args:
        call: the compiled function of `Traceable`: inputs, then large constants, in order.
        forwarded: its results that are an argument itself: result -> argument.
        constants: the large ones, on the device.
        resident: keeps inputs there that can't change.
        on_cpu: whether results lie where NumPy can use them.
        size_bytes: about what the program takes in memory.
    """

    def __init__(
        self,
        source: Traceable,
        call: Callable[..., Sequence[jax.Array]],
        forwarded: dict[int, int],
        constants: Sequence[jax.Array],
        resident: ResidentArrays,
        *,
        on_cpu: bool,
        size_bytes: int,
    ) -> None:
        self.graph = source.graph
        self.size_bytes = size_bytes
        self._call = call
        self._constants = tuple(constants)
        self._inputs = len(self.graph.inputs)
        self._resident = resident
        self._kept = [k for k, item in enumerate(self.graph.inputs) if resident.takes(item.type)]
        self._read = _views if on_cpu else _fetched
        types = [self.graph.types[value] for value in source.computed]
        self._types: list[_ResultType] = [
            (type.shape, type.dtype.str, type.size_bytes <= COPIED_BYTES) for type in types
        ]
        self._places = _places(source, forwarded)

    def __call__(
        self, arrays: Sequence[NDArray], cancel: CancelFlag | None = None
    ) -> list[NDArray]:
        """The outputs, in order, for inputs in order.

        Raises:
            InputError: a wrong number of inputs.
            Cancelled: the flag was set before, or while it ran; it runs to its end all the same.
            OutOfMemory: an array could not be allocated.
            ExecutionError: the program failed in another way.
        """
        if len(arrays) != self._inputs:
            raise InputError(f"the program takes {self._inputs} input(s), got {len(arrays)}")
        if cancel is not None and cancel.is_set:
            raise Cancelled("the job was cancelled before its program ran")
        given: list[Any] = list(arrays)
        for k in self._kept:
            given[k] = self._resident.of(given[k])
        try:
            if jax.enable_x64.value:
                results = self._call(*given, *self._constants)
            else:
                with jax.enable_x64(True):
                    results = self._call(*given, *self._constants)
            values = self._read(results, self._types)
        except (RuntimeError, MemoryError, TypeError, ValueError) as error:
            raise failure(error, "run") from error
        if cancel is not None and cancel.is_set:
            raise Cancelled("the job was cancelled while its program ran")
        return self._ordered(values, arrays)

    def on_device(self, arrays: Sequence[NDArray]) -> Callable[[], list[jax.Array]]:
        """The compiled function alone, on inputs that are put where it runs: a call and its wait.

        What a call of the program takes beyond that is spent at its boundaries.
        """
        with jax.enable_x64(True):
            given = [jax.device_put(array) for array in arrays]

        def call() -> list[jax.Array]:
            with jax.enable_x64(True):
                results = self._call(*given, *self._constants)
            return [result.block_until_ready() for result in results]

        return call

    def _ordered(self, values: list[NDArray], arrays: Sequence[NDArray]) -> list[NDArray]:
        """The outputs: results as they are, and copies of what is there already."""
        if self._places is None:
            return values
        held = [*arrays, *self.graph.constants, *values]
        return [np.array(held[i], order="C") if copied else held[i] for i, copied in self._places]


class Traceable:
    """The function of a graph that JAX traces, and what it takes and gives.

    Attributes:
        large: positions of the constants that are arguments, after the inputs.
        computed: the values it gives; outputs that are inputs or constants are none of them.
    """

    def __init__(self, graph: Graph, kernels: Kernels) -> None:
        self.graph = graph
        constants = enumerate(graph.constants)
        self.large = [k for k, array in constants if array.nbytes > BAKED_BYTES]
        held = len(graph.inputs) + len(graph.constants)
        self.computed = list(dict.fromkeys(o.value for o in graph.outputs if o.value >= held))
        self._functions = [node.op.run(kernels, **node.attributes) for node in graph.nodes]

    def __call__(self, *arguments: Any) -> list[Any]:
        """The computed values, traced."""
        graph = self.graph
        inputs, large = arguments[: len(graph.inputs)], iter(arguments[len(graph.inputs) :])
        values: list[Any] = list(inputs)
        for array in graph.constants:
            values.append(next(large) if array.nbytes > BAKED_BYTES else jnp.asarray(array))
        for node, function in zip(graph.nodes, self._functions, strict=True):
            results = function(*[values[i] for i in node.operands])
            values += results if isinstance(results, tuple) else (results,)
        return [values[i] for i in self.computed]

    @property
    def arguments(self) -> list[jax.ShapeDtypeStruct]:
        """Their types, in order."""
        inputs = [item.type for item in self.graph.inputs]
        large = [self.graph.types[len(inputs) + k] for k in self.large]
        return [_struct(shape, dtype) for dtype, shape in (*inputs, *large)]


def failure(error: Exception, doing: str) -> PullbackError:
    """The typed error of one of JAX's."""
    line = str(error).strip().split("\n", 1)[0][:300]
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in line:
        return OutOfMemory(f"not enough memory to {doing} the program on xla: {line}")
    return ExecutionError(f"xla failed to {doing} the program: {line}")


def _places(source: Traceable, forwarded: dict[int, int]) -> list[tuple[int, bool]] | None:
    """Per output, where it stands in inputs + constants + results, and whether it is a copy of it.

    None where the results are the outputs, in order. A result is copied where an output before is
    that very array, and where JAX takes it for one of the arguments.
    """
    graph, inputs = source.graph, len(source.graph.inputs)
    held = inputs + len(graph.constants)
    values = [output.value for output in graph.outputs]
    if values == source.computed and not forwarded:
        return None
    results = {value: k for k, value in enumerate(source.computed)}
    places: list[tuple[int, bool]] = []
    for value in values:
        place = value if value < held else held + results[value]
        argument = forwarded.get(place - held)
        if argument is not None:
            place = argument if argument < inputs else inputs + source.large[argument - inputs]
        places.append((place, place < held or (place, False) in places))
    return places


class _Memory:
    """The memory of a result, for NumPy; keeps its owner alive."""

    __slots__ = ("__array_interface__", "_owner")

    def __init__(self, owner: object, address: int, shape: Shape, typestr: str) -> None:
        self._owner = owner
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": typestr,
            "data": (address, False),
        }


def _views(results: Sequence[jax.Array], types: Sequence[_ResultType]) -> list[NDArray]:
    """A CPU's results as writeable arrays: small ones copied, others the very memory XLA made."""
    arrays = []
    for result, (shape, typestr, is_small) in zip(results, types, strict=True):
        if is_small:
            arrays.append(np.array(result))
        else:
            result.block_until_ready()
            address = result.unsafe_buffer_pointer()
            arrays.append(np.asarray(_Memory(result, address, shape, typestr)))
    return arrays


def _fetched(results: Sequence[jax.Array], types: Sequence[_ResultType]) -> list[NDArray]:
    """Results copied from their device, all at once; writeable, as nobody else sees the copies."""
    for result in results:
        result.copy_to_host_async()
    arrays = []
    for result, (shape, typestr, is_small) in zip(results, types, strict=True):
        copy = np.asarray(result)
        if not is_small:
            copy = np.asarray(_Memory(copy, copy.ctypes.data, shape, typestr))
        arrays.append(np.array(copy) if is_small else copy)
    return arrays
