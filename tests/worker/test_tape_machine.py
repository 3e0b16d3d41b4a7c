"""The machine's bounds, its packed runs, and what it keeps on disk."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback_graph.errors import GraphError
from pullback_graph.tape import Tape, row_numbers
from pullback_graph.types import FLOAT64
from pullback_graph.want import Gradient
from pullback_worker.tape_cache import cache_folder
from pullback_worker.tape_code import link_rows
from pullback_worker.tape_packed import run_packed
from pullback_worker.tape_program import compile_tape
from pullback_worker.tape_wants import Mode
from pullback_worker.tape_warm import warm
from tests.worker.tape_samples import tapes

SMALL = st.integers(0, 12)
ANY = st.one_of(SMALL, st.sampled_from([2**31, 2**32 - 1]))


@given(
    rows=st.lists(st.one_of(st.integers(0, 70), st.just(255)), max_size=5),
    operands=st.lists(ANY, max_size=12),
    needed=st.lists(ANY, max_size=2),
    start=st.integers(0, 4),
)
def test_no_number_leads_out_of_bounds(rows, operands, needed, start):
    """Whatever the arrays hold, what links reads scalars before each node, and writes its own."""
    warm(FLOAT64, Mode.NONE)
    seeded = np.array(needed, np.uint32)
    try:
        code = link_rows(
            np.array(rows, np.uint8), np.array(operands, np.uint32), start, start, seeded, seeded
        )
    except IndexError:
        return
    own = code.start + np.arange(len(code.code)).repeat(2)
    assert (code.operands < own).all()
    assert (code.edges <= own).all()
    assert (code.places(seeded) < code.size).all()
    assert len(code.edges) == len(code.operands) == 2 * len(code.code)


def test_malformed_packs_are_refused():
    """Packed arrays that do not fit raise, and nothing runs."""
    add, given_values = row_numbers(("add",)), np.zeros(2)
    last = np.array([2], np.uint32)
    for operands, gathers in (([0, 2], last), ([0], last), ([0, 1, 1], last), ([0, 1], last + 1)):
        with pytest.raises(GraphError, match="packed"):
            run_packed(add, np.array(operands, np.uint32), given_values, 2, gathers, last)


def packed(many: list[Tape]) -> tuple[np.ndarray, ...]:
    """Rows, operands, gathers and seeds (the first output of each) of tapes on end."""
    inputs, constants = sum(t.input_size for t in many), sum(len(t.constants) for t in many)
    rows, operands, gathers, seeds = [], [], [], []
    element = constant = node = 0
    for tape in many:
        moves = [(0, element), (tape.input_size, inputs + constant - tape.input_size)]
        moves.append((tape.first_node, inputs + constants + node - tape.first_node))

        def moved(numbers, moves=moves):
            wide = numbers.astype(np.int64)
            conditions = [wide >= first for first, _ in reversed(moves)]
            return wide + np.select(conditions, [move for _, move in reversed(moves)])

        rows.append(row_numbers(tape.ops).take(tape.opcodes))
        operands.append(moved(tape.operands))
        gathers += [moved(item.values) for item in tape.outputs]
        seeds.append(moved(tape.outputs[0].values))
        element += tape.input_size
        constant += len(tape.constants)
        node += len(tape)
    joined = [np.concatenate(part) for part in (operands, gathers, seeds)]
    return np.concatenate(rows), *[part.astype(np.uint32) for part in joined]


@given(many=st.lists(tapes(), min_size=1, max_size=5))
def test_tapes_on_end_give_what_each_gives(many):
    """One run of many tapes has the bits of as many runs."""
    x, y = np.array([0.7, -0.4, 1.3]), np.array(0.6)
    rows, operands, gathers, seeds = packed(many)
    given_values = np.concatenate([np.append(x, y)] * len(many) + [t.constants for t in many])
    swept = run_packed(rows, operands, given_values, 4 * len(many), gathers, seeds)
    values_alone = run_packed(rows, operands, given_values, 4 * len(many), gathers, seeds[:0])
    expected = [compile_tape(tape, Gradient(("x", "y")))([x, y]) for tape in many]
    values = np.concatenate([array.reshape(-1) for each in expected for array in each[:2]])
    gradients = np.concatenate([array.reshape(-1) for each in expected for array in each[2:]])
    np.testing.assert_array_equal(swept.values, values)
    np.testing.assert_array_equal(values_alone.values, values)
    np.testing.assert_array_equal(swept.gradients, gradients)


# --- the cache ------------------------------------------------------------------------------------

MACHINE = """
from pullback_worker import tape_forward, tape_linking, tape_sweeps, tape_numba
from pullback_worker.tape_warm import warm
warm()
kernels = [tape_linking.expand, tape_forward.linearise, tape_sweeps.reverse]
print(*[sum(counts) for counts in zip(*map(tape_numba.cache_counts, kernels))])
"""
ONE_KERNEL = """
from pullback_worker import tape_functions, tape_numba
tape_numba.ready(tape_functions.quotient, 1.0, 0.0)
assert tape_functions.quotient(1.0, 0.0) == 0.0
print(tape_numba.FOLDER is not None, *tape_numba.cache_counts(tape_functions.quotient))
"""


def process(code: str, **environment: str) -> str:
    """What a fresh process prints."""
    given = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | environment
    run = subprocess.run(
        [sys.executable, "-c", code], env=given, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_a_new_process_compiles_nothing():
    """What one process compiled, the next one loads: every kernel is a hit, none a miss."""
    warm()
    hits, misses = process(MACHINE, **os.environ).split()
    assert (int(hits), int(misses)) == (3, 0)


def test_the_cache_survives_damage(tmp_path):
    """Cut files are compiled again, and kept anew; where no folder can be made, nothing is kept."""
    home = str(tmp_path)
    assert process(ONE_KERNEL, XDG_CACHE_HOME=home) == "True 0 1"
    kept = list((tmp_path / "pullback" / "numba").rglob("*.nb?"))
    assert kept
    for path in kept:
        path.write_bytes(path.read_bytes()[:-40] + b"not what was here")
    assert process(ONE_KERNEL, XDG_CACHE_HOME=home).startswith("True 0")
    assert process(ONE_KERNEL, XDG_CACHE_HOME=home) == "True 0 1"
    nowhere = tmp_path / "a file"
    nowhere.write_text("")
    assert process(ONE_KERNEL, XDG_CACHE_HOME=str(nowhere)).startswith("False")


def test_processes_that_start_together_share_the_cache(tmp_path):
    """Each compiles or loads, none fails on what the others write meanwhile; the next one loads."""
    with ThreadPoolExecutor(3) as threads:
        run = partial(process, ONE_KERNEL, XDG_CACHE_HOME=str(tmp_path))
        found = [future.result() for future in [threads.submit(run) for _ in range(3)]]
    assert set(found) <= {"True 0 1", "True 1 0"}
    assert process(ONE_KERNEL, XDG_CACHE_HOME=str(tmp_path)) == "True 1 0"


def test_the_cache_follows_its_settings(tmp_path, monkeypatch):
    """numba's own setting comes first, then the user's cache folder, then ~/.cache."""

    def folder() -> Path:
        found = cache_folder()
        assert found is not None
        return found

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    assert folder().parent == tmp_path / "home" / ".cache" / "pullback" / "numba"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert folder().parent == tmp_path / "cache" / "pullback" / "numba"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "own"))
    assert folder().parent == tmp_path / "own"
    assert folder().stat().st_mode & 0o077 == 0
