"""The end of a process whose tape machine is still being compiled."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys, threading, time, types
from pullback_graph.types import FLOAT32, FLOAT64
from pullback_worker import tape_loader
from pullback_worker.tape_wants import Mode

begun = threading.Event()
lock = threading.Lock()

def warm(dtype, mode):
    with lock:
        begun.set()
        while True:
            time.sleep(0.01)

sys.modules["pullback_worker.tape_warm"] = types.SimpleNamespace(warm=warm)
tape_loader.EXIT_WAIT_S = 3600.0
loader = tape_loader.TapeLoader()
loader.is_offered = True
for dtype in (FLOAT64, FLOAT32):
    loader.begin(dtype, Mode.REVERSE)
begun.wait()
print("ends")
"""


def test_a_process_that_ends_does_not_wait_for_its_compiler() -> None:
    """Two compilations that would never end, one behind the other, are stopped, without a word."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "ends\n", "")
