"""The executor of scalar graphs: a graph becomes a tape, and the machine runs it.

No compilation a graph; the machine itself is compiled once. A graph that is no scalar code is
refused; `pullback_graph.tape.suits` tells beforehand, at little cost and without numba.
"""

from __future__ import annotations

from collections.abc import Sequence

from pullback_graph.graph import Graph
from pullback_graph.tape.rows import NDArray
from pullback_graph.want import DerivativeKey, Names, Value, Want
from pullback_worker.executor import CancelFlag
from pullback_worker.tape_loader import TapeLoader, asked_route
from pullback_worker.tape_numba import VERSION
from pullback_worker.tape_points import PointsProgram
from pullback_worker.tape_program import TapeProgram

_LOADER = TapeLoader()


class TapeExecutor:
    """Compiles graphs that are scalar code to tape programs."""

    name = "tape"
    version = f"1/numba-{VERSION}"

    def compile(self, graph: Graph) -> TapeGraphProgram:
        """The program of `graph`; time and memory linear in its scalars.

        Raises:
            UnsupportedError: the graph is no scalar code; the message names the node.
            LimitExceeded: it has too many scalars.
        """
        return TapeGraphProgram(graph, Value())

    def compile_wanting(self, graph: Graph, want: Want) -> TapeGraphProgram:
        """The program of a graph's values and derivatives: swept, never differentiated.

        Raises:
            UnsupportedError, LimitExceeded: as `compile` says.
            InputError, NotDifferentiable: the want does not fit the graph.
        """
        return TapeGraphProgram(graph, want)


class TapeGraphProgram:
    """A graph ready to run as a tape. Safe to call from several threads at once.

    Attributes:
        graph: what it was compiled from: for a want with derivatives, before differentiation.
        value_count, derivatives, independent, adjoints: as of `Lowered`.
    """

    def __init__(self, graph: Graph, want: Want) -> None:
        self.graph = graph
        self._program: TapeProgram | PointsProgram = _LOADER.compile_graph(
            graph, want, asked_route(graph, want)
        )
        self.value_count = self._program.value_count
        self.derivatives: tuple[DerivativeKey, ...] = self._program.derivatives
        self.independent: Names = self._program.independent
        self.adjoints = self._program.adjoints

    @property
    def nodes(self) -> int:
        """Nodes of the tape."""
        return len(self._program.tape)

    @property
    def peak_bytes(self) -> int:
        """Estimated bytes alive at the fullest moment."""
        return self._program.peak_bytes

    def __call__(
        self, arrays: Sequence[NDArray], cancel: CancelFlag | None = None
    ) -> list[NDArray]:
        """Values, then derivatives, for inputs (then seeds) in order.

        Raises:
            InputError: a wrong number of arrays, or one of another size.
            Cancelled: the flag was set while it ran.
            OutOfMemory: the machine's arrays could not be allocated.
        """
        return self._program(arrays, cancel)
