"""Which step of a loop, and which node of its body, made the first NaN or infinity.

A row with subgraphs runs here by kernels that walk each body node by node. They are for looking
only: a row is run so once its result is known not to be finite, and what they find ends the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from pullback_graph.graph import Graph, Node
from pullback_graph.kernels import ControlFlow, Loop
from pullback_worker.executor import NDArray
from pullback_worker.numpy_executor import fold
from pullback_worker.numpy_kernels import NumpyKernels
from pullback_worker.quiet import quietly

Check = Callable[[], None]


class Inside(NamedTuple):
    """A node of a subgraph that made a NaN or an infinity.

    Attributes:
        places: from the outermost subgraph inwards, which run of it (`step 3`) and which node.
    """

    places: tuple[tuple[str, int, str], ...]
    ran: str
    operands: tuple[NDArray, ...]

    def text(self, *, numbered: bool) -> str:
        """The places in words; with the numbers of nodes, where the subgraph is the user's own."""
        words = []
        for run, node, op in self.places:
            words.append(run)
            if numbered:
                words.append(f"node {node} {op}")
        return ", ".join([word for word in words if word])


def makes_bad(operands: Sequence[NDArray], results: Sequence[NDArray]) -> bool:
    """Whether NaN or infinity arose here: of finite operands, or NaN of what had none.

    An infinity that only passes through (a mask of -inf, say) arose elsewhere.
    """
    if all([is_finite(result) for result in results]):
        return False
    if all([is_finite(operand) for operand in operands]):
        return True
    return any([_has_nan(x) for x in results]) and not any([_has_nan(x) for x in operands])


def bad_inside(node: Node, operands: Sequence[NDArray], check: Check | None) -> Inside | None:
    """Where in the subgraphs of a node it arose, its results being bad; None if not in them."""
    if not node.op.graphs:
        return None
    try:
        quietly(node.op.run(_Watching(check), **node.attributes), *operands)
    except _Found as found:
        return found.inside
    return None


def is_finite(array: NDArray) -> bool:
    """Whether there is neither NaN nor infinity in it."""
    return array.dtype.kind not in "fc" or bool(np.isfinite(array).all())


def _has_nan(array: NDArray) -> bool:
    return array.dtype.kind in "fc" and bool(np.isnan(array).any())


class _Found(Exception):
    """What was looked for."""

    def __init__(self, inside: Inside) -> None:
        super().__init__()
        self.inside = inside


class _Watching(NumpyKernels):
    """NumPy's kernels, whose control flow raises `_Found`."""

    def __init__(self, check: Check | None) -> None:
        self._check = check

    @property
    def control(self) -> ControlFlow:
        """Loops and branches that look."""
        return _WatchedControlFlow(self._check)


class _WatchedControlFlow:
    """Rows with subgraphs, run node by node; what they give is never used."""

    def __init__(self, check: Check | None) -> None:
        self._check = check

    def scan(self, body: Graph, loop: Loop) -> Callable[..., Any]:
        """The loop over a leading axis."""

        def run(*operands: Any) -> None:
            first = loop.consts + loop.carries
            consts, carries = operands[: loop.consts], operands[loop.consts : first]
            stacked = operands[first:]
            steps = range(len(stacked[0]) if stacked else loop.length)
            for i in reversed(steps) if loop.reverse else steps:
                entries = [x[i] for x in stacked]
                results = self._walk(body, [*consts, *carries, *entries], f"step {i}")
                carries = tuple(results[: loop.carries])

        return run

    def while_loop(
        self, cond: Graph, body: Graph, consts: int, max_steps: int, keep: bool
    ) -> Callable[..., Any]:
        """The loop that ends when the condition says so."""

        def run(*operands: Any) -> None:
            held, carries, step = operands[:consts], operands[consts:], 0
            while not max_steps or step < max_steps:
                given = [*held, *carries]
                if not self._walk(cond, given, f"the condition of step {step}")[0]:
                    return
                carries = tuple(self._walk(body, given, f"step {step}"))
                step += 1

        return run

    def cond(self, branches: Sequence[Graph]) -> Callable[..., Any]:
        """One of the branches."""

        def run(choice: Any, *operands: Any) -> None:
            chosen = min(max(int(choice), 0), len(branches) - 1)
            self._walk(branches[chosen], operands, f"branch {chosen}")

        return run

    def call(self, graph: Graph) -> Callable[..., Any]:
        """The graph itself."""

        def run(*operands: Any) -> None:
            self._walk(graph, operands, "")

        return run

    def _walk(self, graph: Graph, operands: Sequence[Any], run: str) -> list[Any]:
        """The outputs of a subgraph.

        Raises:
            _Found: one of its nodes made a NaN or an infinity.
        """
        values = [*[np.asarray(x) for x in operands], *graph.constants]
        for position, node in enumerate(graph.nodes):
            if self._check is not None:
                self._check()
            given = [values[i] for i in node.operands]
            results = fold(node.op, given, node.attributes)
            if makes_bad(given, results):
                deeper = bad_inside(node, given, self._check)
                place = (run, position, node.op.name)
                if deeper is None:
                    raise _Found(Inside((place,), node.op.name, tuple(given)))
                raise _Found(deeper._replace(places=(place, *deeper.places)))
            values += results
        return [values[item.value] for item in graph.outputs]
