"""`python -m pullback_worker.tape_precompile`: all of the tape machine, compiled into its cache.

For images and fresh machines: afterwards every process loads it in about a second.
"""

from __future__ import annotations

import logging
from time import perf_counter

from pullback_graph.types import FLOAT32, FLOAT64
from pullback_worker.tape_batch import warm_batches
from pullback_worker.tape_numba import FOLDER
from pullback_worker.tape_wants import Mode
from pullback_worker.tape_warm import warm

LOG = logging.getLogger(__name__)


def precompile() -> None:
    """Load or compile the kernels of every want, of both dtypes, and of packed batches."""
    started_s = perf_counter()
    for dtype in (FLOAT64, FLOAT32):
        for mode in Mode:
            warm(dtype, mode)
            LOG.info("%s %s: %.1f s", dtype, mode.value, perf_counter() - started_s)
    warm_batches()
    LOG.info("all in %s after %.1f s", FOLDER or "no folder", perf_counter() - started_s)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    precompile()
