"""What a workload is: a computation at several sizes, each a case whose rivals are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks.contest import Case


class Workload(NamedTuple):
    """One row of the engine's table.

    Attributes:
        sizes: by name; whatever `case` takes.
        quick: a size that takes no time, for trying out and for tests.
        first: the size whose time to the first gradient is measured too, in fresh processes.
        budget_s: seconds of timing a size.
    """

    title: str
    sizes: Mapping[str, Any]
    quick: Any
    case: Callable[[Any], Case]
    first: str = ""
    budget_s: float = 6.0

    def size(self, name: str) -> Any:
        """The size of that name, or the quick one."""
        return self.quick if name == "quick" else self.sizes[name]
