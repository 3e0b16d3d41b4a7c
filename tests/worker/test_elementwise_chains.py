"""Chains of elementwise nodes: the same bits block by block, and no more memory than without."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from pullback_graph import memory
from pullback_graph.builder import Builder
from pullback_graph.errors import Cancelled, ExecutionError, PullbackError
from pullback_graph.graph import Graph
from pullback_graph.ref import Ref, do
from pullback_graph.table import OPS
from pullback_graph.types import FLOAT32, FLOAT64, ArrayType, Shape
from pullback_worker import numpy_blocks
from pullback_worker.elementwise_chains import Chained, chained, is_elementwise, within
from pullback_worker.executor import CancelFlag
from pullback_worker.numpy_executor import NumpyExecutor
from pullback_worker.numpy_kernels import NUMPY
from pullback_worker.side_by_side import own_threads, side_by_side

WHOLE = NumpyExecutor(chained_bytes=1 << 60)
N = 103
"""Rows of the arrays; no block of several divides it."""


def graph_of(make: Callable[..., Ref | tuple[Ref, ...]], *shapes: Shape) -> Graph:
    """The graph of `make(*inputs)`."""
    b = Builder()
    made = make(*[b.input(f"x{k}", ArrayType(FLOAT64, s)) for k, s in enumerate(shapes)])
    results = made if isinstance(made, tuple) else (made,)
    return b.build({f"z{k}": ref for k, ref in enumerate(results)})


def chains_of(graph: Graph) -> Chained | None:
    """The chains of a graph, however small its arrays."""
    functions = [node.op.run(NUMPY, **node.attributes) for node in graph.nodes]
    return chained(graph, functions, 1)


def interrupted(x: Ref, y: Ref, w: Ref) -> tuple[Ref, ...]:
    """Nodes between those of a chain that need none of it, and one that does."""
    z = do.exp(x)
    other = w @ w
    z = z * y
    z = do.where(z < 1.0, z, x)
    total = do.sum(z, axes=(0,), keepdims=True)
    return do.sin(z / total) - y, other, z


def of_several_types(x: Ref, y: Ref) -> tuple[Ref, ...]:
    """Masks and float32 between float64."""
    small = do.astype(x * y, dtype=FLOAT32)
    mask = do.logical_and(x < y, x > -1.0)
    return do.where(mask, x, -y) * do.where(x < 0.0, y, x), do.exp(-small) + small


CASES: dict[str, tuple[Callable[..., Ref | tuple[Ref, ...]], tuple[Shape, ...]]] = {
    "same shapes": (lambda x, y: do.sin(x * y + x) - do.exp(-x), ((N,), (N,))),
    "one element": (lambda x, y, w: (x * y + w) * y, ((N,), (1,), ())),
    "rows": (lambda x, y: do.exp((x - y) * x), ((N, 5), (5,))),
    "columns": (lambda x, y: do.exp((x - y) * x), ((N, 5), (N, 1))),
    "a row and a column": (lambda x, y: do.exp((x - y) * x) * 2.0, ((1, 7), (N, 1))),
    "three axes": (lambda x, y: do.square(x - y) + y * 2.0, ((N, 3, 2), (N, 1, 2))),
    "several results": (lambda x, y: (x + y, (x + y) * x, x, -((x + y) * x)), ((N,), (N,))),
    "read twice": (lambda x: do.exp(x) * do.exp(x) + do.exp(x), ((N,),)),
    "interrupted": (interrupted, ((N,), (N,), (4, 4))),
    "several types": (of_several_types, ((N,), (N,))),
    "transposed": (lambda x: do.exp(do.permute_dims(x, axes=(1, 0))) * 2.0, ((7, N),)),
    "broadcast": (lambda x, y: do.broadcast_to(x, shape=(N, 4)) * y + y, ((4,), (N, 4))),
}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_blocks_change_no_bit(name: str, threads: int, monkeypatch: pytest.MonkeyPatch):
    """Whatever the block, what is broadcast and the threads; twice, as buffers are used again."""
    monkeypatch.setattr(numpy_blocks, "LEAST_SHARED_WORK", 0)
    make, shapes = CASES[name]
    graph = graph_of(make, *shapes)
    assert chains_of(graph) is not None
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=shape) for shape in shapes]
    expected = [array.tobytes() for array in WHOLE.compile(graph)(arrays)]
    before = [array.tobytes() for array in arrays]
    for block in (1, 10, 2 * N):
        executor = NumpyExecutor(0, chained_bytes=1, block_elements=block, threads=threads)
        program = executor.compile(graph)
        for _ in range(2):
            assert [array.tobytes() for array in program(arrays)] == expected
    assert [array.tobytes() for array in arrays] == before


def _elementwise_rows() -> list[str]:
    """Rows that NumPy runs by a function that may be part of a chain."""
    found = []
    for op in OPS.values():
        if not op.attributes and op.operands > 0 and is_elementwise(op.run(NUMPY)):
            found.append(op.name)
    return found


@pytest.mark.parametrize("name", _elementwise_rows())
def test_an_elementwise_function_does_not_look_where_an_element_stands(name: str):
    """To the bit, of float32 and float64, in blocks of any length, into an array that is there."""
    op, rng = OPS[name], np.random.default_rng(2)
    function = op.run(NUMPY)
    for dtype in (np.float32, np.float64):
        operands = [rng.uniform(0.1, 1.4, N).astype(dtype) for _ in range(op.operands)]
        kinds = ("float", "bool", "int64")
        for kind in kinds:
            given = [x.astype(dtype if kind == "float" else kind) for x in operands]
            if name == "where":
                given = [np.greater(operands[0], 0.5), *operands[1:]]
            with np.errstate(all="ignore"):
                try:
                    op.type(*[ArrayType(x.dtype, x.shape) for x in given])
                except PullbackError:
                    continue
                whole = function(*given)
                for block in (1, 7, 16, 50):
                    parts = [
                        function(*[x[k : k + block] for x in given]) for k in range(0, N, block)
                    ]
                    assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_complex_arrays_are_in_no_chain():
    """NumPy rounds the last elements of one in another way than the rest."""

    def waves(x: Ref, y: Ref) -> Ref:
        z = do.complex(x, y)
        product: Ref = (z * z + z) * z
        return product

    assert chains_of(graph_of(waves, (N,), (N,))) is None


def test_nodes_that_do_not_need_a_chain_stand_before_it():
    """A product between two elementwise nodes does not part them; one that reads them does."""
    made = chains_of(graph_of(interrupted, (N,), (N,), (4, 4)))
    assert made is not None
    names = [node.op.name for node in made.graph.nodes]
    first, second = made.spans
    assert names.index("matmul") < first.start
    assert names[first.start : first.stop] == ["exp", "multiply", "less", "where"]
    assert names[second.start : second.stop] == ["divide", "sin", "subtract"]
    assert sorted(made.positions) == list(range(len(names)))


@pytest.mark.parametrize(
    "make",
    [
        lambda x: do.exp(x) + 0.0 if x.shape == () else do.exp(x),
        lambda x: do.sum(do.exp(x), axes=(0,), keepdims=True),
        lambda x: do.reshape(do.exp(x), shape=(N, 1)),
    ],
)
def test_a_node_alone_is_no_chain(make: Callable[..., Ref]):
    """Nothing passes from it to another one."""
    assert chains_of(graph_of(make, (N,))) is None


def test_a_chain_that_would_hold_too_much_is_left_out():
    """Operands that the nodes would let go of one by one are held to a chain's end."""

    def make(*xs: Ref) -> tuple[Ref, ...]:
        made = [do.reshape(do.exp(x), shape=(N,)) for x in xs]
        return tuple([do.sin(x) for x in made])

    made = chains_of(graph_of(make, *[(N,)] * 6))
    assert made is not None
    last_span = made.spans[-1]
    none = [-1] * len(made.graph.nodes)
    assert last_span in within(made, none, memory.peak_bytes(made.graph) + 8 * 8 * N)
    assert last_span not in within(made, none, 8 * 12 * N)


@pytest.mark.parametrize("make", [CASES["several results"][0], CASES["rows"][0]])
def test_memory_stays_within_the_estimate(make: Callable[..., Ref]):
    """Blocks take less than the arrays that they stand for would."""
    shape = (1 << 12, 64)
    graph = graph_of(make, shape, shape)
    program = NumpyExecutor().compile(graph)
    arrays = [np.ones(shape)] * 2
    program(arrays)
    tracemalloc.start()
    program(arrays)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= program.peak_bytes - 2 * arrays[0].nbytes + (1 << 16)


class SetLater(CancelFlag):
    """A flag that is set when it has been looked at so often."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    @property
    def is_set(self) -> bool:  # type: ignore[override]
        """Whether it was."""
        self.looks -= 1
        return self.looks < 0


def test_a_chain_can_be_cancelled_between_its_blocks():
    """A long chain does not keep a cancelled job."""
    graph = graph_of(CASES["same shapes"][0], (N,), (N,))
    program = NumpyExecutor(chained_bytes=1, block_elements=10).compile(graph)
    with pytest.raises(Cancelled):
        program([np.ones(N)] * 2, SetLater(5))


def test_a_fault_in_a_chain_is_typed_and_names_a_node(monkeypatch: pytest.MonkeyPatch):
    """Where memory for the results is missing, too."""
    graph = graph_of(CASES["same shapes"][0], (N,), (N,))
    program = NumpyExecutor(chained_bytes=1).compile(graph)

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(numpy_blocks.Blocks, "_made", fail)
    with pytest.raises(ExecutionError, match="not enough memory"):
        program([np.ones(N)] * 2)


# --- threads --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "step", "threads"), [(10, 3, 4), (10, 3, 1), (1, 5, 3), (9, 3, 2)]
)
def test_ranges_make_up_the_whole(length: int, step: int, threads: int):
    """Each element once, cut at whole steps; the caller takes part."""
    seen: list[tuple[int, int]] = []
    names: set[str] = set()

    def run(start: int, stop: int) -> None:
        seen.append((start, stop))
        names.add(threading.current_thread().name)

    side_by_side(run, length, step, threads)
    assert [i for start, stop in sorted(seen) for i in range(start, stop)] == list(range(length))
    assert all(start % step == 0 for start, _ in seen)
    assert threading.current_thread().name in names


def test_a_failure_on_another_thread_is_raised():
    """After all have ended; the caller's own failure is its own."""

    def run(start: int, stop: int) -> None:
        if start:
            raise ValueError(f"from {start}")

    with pytest.raises(ValueError, match="from 5"):
        side_by_side(run, 10, 1, 2)


def test_threads_are_as_many_as_blas_is_told(monkeypatch: pytest.MonkeyPatch):
    """Or as many as there are processors; words that are no number do not count."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert own_threads() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert own_threads() >= 1
