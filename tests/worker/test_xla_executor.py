"""The compiling executor against the reference: rows, random graphs, memory, limits, faults."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings

from pullback_graph.builder import Builder
from pullback_graph.derivative import lower
from pullback_graph.errors import (
    Cancelled,
    ExecutionError,
    InputError,
    LimitExceeded,
    OutOfMemory,
    UnsupportedError,
)
from pullback_graph.graph import Graph
from pullback_graph.ref import do
from pullback_graph.types import COMPLEX64, COMPLEX128, FLOAT32, FLOAT64, ArrayType
from pullback_graph.want import Gradient, Hvp
from pullback_worker.executor import CancelFlag
from pullback_worker.executors import Executors, XlaSettings
from pullback_worker.jax_kernels import JaxKernels
from pullback_worker.numpy_executor import NumpyExecutor, fold
from pullback_worker.resident_arrays import LEAST_BYTES, ResidentArrays
from pullback_worker.xla_cache import prune
from pullback_worker.xla_executor import XlaExecutor
from pullback_worker.xla_limits import MOST_NODES
from tests.graph.drawing import ALL_CASES, Case, draw, operand_types, spread
from tests.graph.random_graphs import graphs, operands, random_graph
from tests.graph.row_graphs import graph_of

NUMPY = NumpyExecutor()
RTOL = {FLOAT64: 1e-9, COMPLEX128: 1e-9, FLOAT32: 2e-4, COMPLEX64: 2e-4}


@pytest.fixture(scope="module")
def xla() -> XlaExecutor:
    """One executor, as a process has."""
    return XlaExecutor()


def assert_agree(xla: XlaExecutor, graph: Graph, arrays: list[np.ndarray]) -> None:
    """The same types, and values that differ by rounding alone."""
    ours, theirs = xla.compile(graph)(arrays), NUMPY.compile(graph)(arrays)
    for z, other, output in zip(ours, theirs, graph.outputs, strict=True):
        assert z.dtype == graph.types[output.value].dtype
        assert z.flags.writeable
        assert z.flags.c_contiguous
        tolerance = RTOL.get(z.dtype, 0.0)
        scale = np.abs(other[np.isfinite(other)]).max(initial=1.0) if z.dtype.kind in "fc" else 0
        np.testing.assert_allclose(z, other, rtol=tolerance, atol=tolerance * scale, strict=True)


# --- as the reference -----------------------------------------------------------------------------


def by_row(cases: list[Case]) -> list[Case]:
    """The largest case of every row."""
    by_size = sorted(cases, key=lambda case: sum(type.size for type in operand_types(case)))
    return list({case.op.name: case for case in by_size}.values())


@pytest.mark.parametrize("case", by_row(ALL_CASES)[::6], ids=str)
def test_rows_agree(xla: XlaExecutor, case: Case):
    """A row compiled gives what NumPy gives; a sixth of the table here, the rest when slow."""
    assert_agree(xla, graph_of(case), draw(case, special=bool(case.op.domain.examples)))


@pytest.mark.slow
@pytest.mark.parametrize("case", spread(ALL_CASES), ids=str)
def test_all_rows_agree(xla: XlaExecutor, case: Case):
    """Every row compiled gives what NumPy gives."""
    assert_agree(xla, graph_of(case), draw(case, special=bool(case.op.domain.examples)))


@settings(max_examples=12)
@given(graph=graphs(special=True))
def test_random_graphs_agree(xla: XlaExecutor, graph: Graph):
    """Whole graphs agree, NaN and infinities included; both dtypes stay what they are."""
    assert_agree(xla, graph, operands(graph))


@pytest.mark.parametrize("seed", range(6))
def test_gradients_and_second_order_agree(xla: XlaExecutor, seed: int):
    """Derivatives are graphs like others: first and second order come out the same."""
    graph = random_graph(seed, smooth=True, scalar=True)
    for want in (Gradient(("x0",), "total"), Hvp(("x0",), (("x0",),), "total")):
        lowered = lower(graph, want, fold=fold).graph
        assert_agree(xla, lowered, operands(lowered, seed))


def test_float64_stays_whatever_the_process_has_set(xla: XlaExecutor):
    """A process that runs JAX in 32 bits keeps doing so, and gets 64 bits from here."""
    was: bool = jax.enable_x64.value
    jax.config.update("jax_enable_x64", False)
    try:
        graph = one(do.sin)
        z = xla.compile(graph)([np.array([1e-9])])[0]
        assert z.dtype == np.float64
        assert z[0] == np.sin(1e-9)
        assert jax.numpy.ones(1).dtype == np.float32
    finally:
        jax.config.update("jax_enable_x64", was)


# --- memory ---------------------------------------------------------------------------------------


def one(function: Callable[[Any], Any], shape: tuple[int, ...] = (1,)) -> Graph:
    """A graph of one input `x` and one output `z`."""
    b = Builder()
    return b.build({"z": function(b.input("x", ArrayType(FLOAT64, shape)))})


@pytest.mark.parametrize("size", [3, 5000], ids=["small", "large"])
def test_no_output_shares_memory(xla: XlaExecutor, size: int):
    """Outputs that are inputs, constants, each other, or operands unchanged are all fresh."""
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, (size,)))
    constant = b.constant(np.arange(float(size)))
    y = do.sin(x)
    same = do.reshape(x, shape=(size,))
    outputs = {"x": x, "c": constant, "y": y, "again": y, "same": same, "c2": constant}
    graph = b.build(outputs, prune=False)
    given = np.ones(size)
    first = xla.compile(graph)([given])
    for k, z in enumerate(first):
        z += k + 1.0
    second = xla.compile(graph)([given])
    assert given.tolist() == [1.0] * size
    assert graph.constants[0].tolist() == list(range(size))
    expected = [given, np.arange(float(size)), np.sin(given), np.sin(given), given]
    for z, other in zip(second, expected, strict=False):
        np.testing.assert_allclose(z, other, rtol=1e-15)


def test_inputs_may_change_between_calls(xla: XlaExecutor):
    """An array that the caller writes to is read anew; it need not be contiguous or aligned."""
    program = xla.compile(one(lambda x: x * 2.0, (LEAST_BYTES,)))
    x = np.ones(2 * LEAST_BYTES + 1)
    for value in (1.0, 5.0):
        x[:] = value
        for view in (x[1 : LEAST_BYTES + 1], x[: 2 * LEAST_BYTES : 2], read_only(x[:LEAST_BYTES])):
            assert program([view])[0].max() == 2.0 * value


def read_only(array: np.ndarray) -> np.ndarray:
    """A view that can't be written to, of an array that can."""
    view = array.view()
    view.flags.writeable = False
    return view


def from_wire(values: np.ndarray) -> np.ndarray:
    """An array on the memory of a bytes object, placed where XLA could not read it in place."""
    data = values.tobytes()
    address = np.frombuffer(data, np.uint8).__array_interface__["data"][0]
    offset = 8 if address % 64 == 0 else 0
    return np.frombuffer(bytes(offset) + data, values.dtype, offset=offset)


def test_what_cannot_change_stays_on_the_device(xla: XlaExecutor):
    """An array of the wire is copied to the device once, and dropped there with its last use."""
    count = LEAST_BYTES // 8
    program = xla.compile(one(lambda x: x + 1.0, (count,)))
    kept = xla._resident
    before = kept.size_bytes
    x = from_wire(np.ones(count))
    for _ in range(3):
        assert program([x])[0].max() == 2.0
        assert kept.size_bytes in (before, before + x.nbytes)  # none where it lies aligned
    del x
    gc.collect()
    assert kept.size_bytes == before


def test_the_compiled_function_alone_gives_what_the_program_gives(xla: XlaExecutor):
    """On arrays of the device, with large constants, in float64: what a benchmark times apart."""
    weight = np.random.default_rng(0).random((40, 40))
    program = xla.compile(one(lambda x: x @ x.builder.constant(weight), (2, 40)))
    x = np.ones((2, 40))
    (found,) = program.on_device([x])()
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, program([x])[0])


class Copies:
    """Makes device copies, and counts them."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, array: np.ndarray) -> np.ndarray:
        """A copy."""
        self.made += 1
        return array.copy()


def test_what_stays_on_the_device_is_bounded():
    """The copy used least lately goes; what can change, or is read in place, has none."""
    copies = Copies()
    kept = ResidentArrays(3 * LEAST_BYTES, copies, lambda _: False)
    arrays = [np.frombuffer(bytes([k]) * LEAST_BYTES, np.uint8) for k in range(4)]
    for k in (0, 1, 2, 0, 3):
        assert kept.of(arrays[k])[0] == k
        assert kept.size_bytes <= 3 * LEAST_BYTES
    assert copies.made == 4
    kept.of(arrays[0])
    assert copies.made == 4
    kept.of(arrays[1])
    assert copies.made == 5
    own = np.zeros(LEAST_BYTES, np.uint8)
    assert kept.of(own) is own
    assert kept.of(read_only(own)) is not None
    assert copies.made == 5
    in_place = ResidentArrays(3 * LEAST_BYTES, copies, lambda _: True)
    assert in_place.of(arrays[0]) is arrays[0]
    assert not in_place.size_bytes


@pytest.mark.parametrize(
    ("alone", "was_there", "ours"),
    [(True, False, True), (True, True, False), (False, False, False)],
)
def test_settings_of_jax_are_ours_only_where_nobody_else_uses_it(
    alone: bool, was_there: bool, ours: bool
):
    """Programs run in the calling thread in a process of ours, unless JAX was loaded before."""
    seen: list[dict[str, Any]] = []
    settings = XlaSettings(keep_compiled=False, alone=alone)
    Executors(settings)._make_xla(lambda _, **options: seen.append(options), was_there)
    assert seen == [{"threads": 0, "cache": None, "alone": ours}]


def test_large_constants_are_not_compiled_in(xla: XlaExecutor):
    """A weight of a megabyte is an argument on the device: the program's code stays small."""
    weight = np.random.default_rng(0).random((400, 400))
    graph = one(lambda x: x @ x.builder.constant(weight), (2, 400))
    x = np.ones((2, 400))
    assert_agree(xla, graph, [x])
    assert len(xla.compile(graph)._constants) == 1


# --- limits and faults ----------------------------------------------------------------------------


def chain(nodes: int) -> Graph:
    """A long unrolled graph."""

    def unrolled(x: Any) -> Any:
        for _ in range(nodes):
            x = do.sin(x)
        return x

    return one(unrolled)


def test_a_long_graph_is_refused_before_it_is_compiled(xla: XlaExecutor):
    """Nothing can stop a compiler: what is over the bound is refused, saying what to do."""
    with pytest.raises(LimitExceeded, match="use executor numpy or auto"):
        xla.compile(chain(MOST_NODES + 1))


class FaultyKernels(JaxKernels):
    """Kernels on which a row can't run as it should."""

    def __init__(self, fault: Callable[..., Any]) -> None:
        super().__init__(globally=False)
        self.einsum = lambda subscripts: fault  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "fault",
    [
        lambda *_: (_ for _ in ()).throw(NotImplementedError("no such function")),
        lambda x, y: x.astype(np.float32),
    ],
    ids=["missing", "another type"],
)
def test_a_row_that_jax_has_not_is_a_typed_error(fault: Callable[..., Any]):
    """What JAX lacks, or gives another type, is never run as if it were the row."""
    executor = XlaExecutor()
    executor._kernels = FaultyKernels(fault)
    b = Builder()
    x = b.input("x", ArrayType(FLOAT64, (3,)))
    graph = b.build({"z": do.einsum(x, x, subscripts="i,i->i")})
    with pytest.raises(UnsupportedError, match="use executor numpy or auto"):
        executor.compile(graph)


def test_a_wrong_number_of_inputs(xla: XlaExecutor):
    """Said as the reference says it."""
    with pytest.raises(InputError, match=r"takes 1 input\(s\), got 2"):
        xla.compile(chain(1))([np.ones(1), np.ones(1)])


def test_cancel(xla: XlaExecutor):
    """A flag that is set stops a program before it starts."""
    flag = CancelFlag()
    flag.set()
    with pytest.raises(Cancelled):
        xla.compile(chain(1))([np.ones(1)], flag)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory"), OutOfMemory),
        (MemoryError(), OutOfMemory),
        (RuntimeError("INTERNAL: oh"), ExecutionError),
    ],
)
def test_faults_of_a_run_are_typed(xla: XlaExecutor, raised: Exception, kind: type[Exception]):
    """A program that fails on the device fails as any other."""
    program = xla.compile(chain(1))

    def fail(*_: Any) -> Any:
        raise raised

    program._call = fail
    with pytest.raises(kind):
        program([np.ones(1)])


def test_an_unknown_device():
    """A device that is not there is a typed error, which names the extra for GPUs."""
    with pytest.raises(UnsupportedError, match=r"pullback\[gpu\]"):
        XlaExecutor("tpu:7")


def test_several_threads(xla: XlaExecutor):
    """One program may run on several threads at once."""
    program = xla.compile(one(lambda x: do.sin(x) * 2.0, (20_000,)))
    found: dict[int, float] = {}

    def work(k: int) -> None:
        for _ in range(20):
            found[k] = program([np.full(20_000, float(k))])[0][-1]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose([found[k] for k in range(4)], 2 * np.sin(np.arange(4.0)))


# --- on disk --------------------------------------------------------------------------------------

COMPILE = """
import sys
import jax
from pathlib import Path
from tests.worker.test_xla_executor import chain
from pullback_worker import xla_cache
from pullback_worker.xla_executor import XlaExecutor
xla_cache.LEAST_COMPILE_S = 0.0  # however fast this machine compiles
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event))
XlaExecutor(cache=Path(sys.argv[1])).compile(chain(150))
print(sum("cache_hits" in event for event in hits))
"""


def test_a_second_process_finds_what_the_first_compiled(tmp_path: Path):
    """Compiled programs are kept on disk, in a folder for this kind of processor."""
    root = Path(__file__).parents[2]
    found = []
    for _ in range(2):
        command = [sys.executable, "-c", COMPILE, str(tmp_path)]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
        found.append(int(done.stdout))
    assert found == [0, 1]
    assert len(list(tmp_path.iterdir())) == 1


def test_the_folder_is_bounded(tmp_path: Path):
    """The files read least lately go first."""
    for k in range(4):
        path = tmp_path / str(k)
        path.write_bytes(bytes(100))
        os.utime(path, (1000 + k, 1000 + k))
    prune(tmp_path, 250)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]
