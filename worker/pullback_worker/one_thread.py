"""A process whose linear algebra takes one thread a task: parallelism is the scheduler's.

SciPy brings a BLAS of its own, loaded when a graph first needs it; only the environment reaches it
before that.
"""

from __future__ import annotations

import os

from threadpoolctl import threadpool_limits

LIBRARIES = ("OPENBLAS", "OMP", "MKL", "BLIS", "NUMEXPR")
ENVIRONMENT = {f"{library}_NUM_THREADS": "1" for library in LIBRARIES}
"""What tells every BLAS there is, at its start."""
_OURS = ("OPENBLAS", "MKL", "BLIS")
"""Those that nothing but BLAS listens to."""


def keep_to_one_thread() -> None:
    """Hold libraries that are loaded to one thread, and those that will be."""
    os.environ.update({f"{library}_NUM_THREADS": "1" for library in _OURS})
    threadpool_limits(1)
