"""A task is one thread, whichever library runs it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CORES = min(2, os.cpu_count() or 1)

SCRIPT = """
import numpy
{first}
import scipy.linalg
from threadpoolctl import threadpool_info
print(max(library["num_threads"] for library in threadpool_info()))
"""


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("from pullback_worker.one_thread import keep_to_one_thread; keep_to_one_thread()", 1),
        ("from threadpoolctl import threadpool_limits; threadpool_limits(1)", CORES),
    ],
)
def test_a_library_that_is_loaded_later_takes_one_thread_too(first: str, expected: int) -> None:
    """SciPy's BLAS is not NumPy's; limits on what is loaded do not reach it."""
    command = [sys.executable, "-c", SCRIPT.format(first=first)]
    told = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "2")
    done = subprocess.run(
        command, env=_environment() | told, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == expected


def _environment() -> dict[str, str]:
    """This process's, without what limits threads."""
    return {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
