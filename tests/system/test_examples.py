"""Every example and the demo run, against a real server, and print what they claim."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from examples.demo.stage import Claim
from examples.server_process import MARK, left_behind, running_server

ROOT = Path(__file__).resolve().parents[2]
PRINTS = {
    "async_client": ("100 gradients",),
    "batch_many_graphs": ("'Result': 990", "'InputError': 10", "input 'x' is missing"),
    "cancel_one_job": ("d√x/dx at 2: 0.353553", "of 2 were still running"),
    "convolutional_digits": ("test accuracy 9",),
    "errors": ("TraceError", "ShapeError", "InputError", "NonFiniteError"),
    "local_without_server": ("energy of four atoms -6.0000",),
    "per_example_gradients": ("100 gradients of 65 numbers", "the mean of the clipped: 0."),
    "phase_retrieval": ("the field of 64 points is right to ", "e-1"),
    "remote_gradient": ("w = [ 2.  -1.   0.5]",),
    "scalar_tapes": ("1500 nodes: ends at -0.4917", "d end / d start = -0.9668"),
    "scipy_lbfgs": ("test accuracy 9",),
    "sparse_least_squares": ("1000 x 600: 4000 places, csr_array", "mode sparse", "e-"),
    "stubs_only": ("y = 14.0", "dy/dx = 2.0 4.0 6.0"),
    "theory": ("d/dx = 8.0", "0.66666667 0.66666667 0.66666667", "d/dx1 = 4.0", "d/dx3 = 5.0"),
    "vjp_jvp_hessian": ("Hessian @ gradient", "Jacobian by r: [0. 1.]"),
}


@pytest.fixture(scope="module")
def server():
    """One server for all examples."""
    with running_server("--workers", "0") as running:
        yield running


@pytest.mark.parametrize("name", PRINTS)
def test_an_example_prints_what_it_claims(name, server, monkeypatch, capsys):
    """Each example runs against a given server, and its output holds the numbers it is about."""
    monkeypatch.setenv("PULLBACK_SERVER", server.address)
    import_module(f"examples.{name}").main()
    shown = capsys.readouterr().out
    assert [words for words in PRINTS[name] if words not in shown] == []


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_a_guide_s_python_runs(page, server, capsys):
    """The Python of a guide runs from top to bottom against a server, and no job of it fails."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    code = "\n".join(blocks).replace("localhost:50051", server.address)
    exec(compile(code, page, "exec"), {"__name__": page})
    assert "failed" not in capsys.readouterr().out


def test_every_example_is_run_here():
    """A new example file is run by these tests too."""
    files = {path.stem for path in (ROOT / "examples").glob("*.py")}
    assert files - {"__init__", "server_process", "digits"} == set(PRINTS)


def test_an_example_brings_its_own_server():
    """Without an address, an example starts a server, and ends it."""
    environment = {name: v for name, v in os.environ.items() if name != "PULLBACK_SERVER"}
    command = [sys.executable, "-m", "examples.theory"]
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "d/dx = 8.0" in ran.stdout


@pytest.mark.timeout(400)
def test_the_demo_keeps_every_claim():
    """`make demo` trains on real data over Ray, maps 10,000 graphs, and leaves nothing behind."""
    ran = subprocess.run(
        [sys.executable, "-m", "examples.demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "no process left behind" in ran.stdout


def test_the_demo_fails_when_a_claim_does(monkeypatch, capsys):
    """A claim that does not come true ends the demo with its words and exit status 1."""
    demo = import_module("examples.demo.__main__")

    def run(console):
        raise Claim("two and two make five")

    monkeypatch.setattr(demo, "run", run)
    assert demo.main() == 1
    assert "two and two make five" in capsys.readouterr().out


def test_a_server_that_cannot_start_says_why(capfd):
    """Starting with a bad flag fails at once, with the server's own words on the terminal."""
    with (
        pytest.raises(RuntimeError, match="ended with exit status 2"),
        running_server("--workers", "-1"),
    ):
        pass
    assert "--workers must be at least 0" in capfd.readouterr().err


def test_a_process_left_behind_is_found():
    """The check for leftovers can fail: it finds a living process that carries the mark."""
    command = [sys.executable, "-c", "input()"]
    environment = {**os.environ, MARK: "of this test"}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE) as process:
        assert process.pid in left_behind("of this test")
        process.communicate(b"\n")
    assert left_behind("of this test") == {}


def test_a_server_ends_with_the_script_that_is_told_to():
    """SIGTERM runs what the script would have cleaned up, as Ctrl-C does."""
    script = (
        "import time\nfrom examples.server_process import running_server\n"
        "with running_server('--workers', '0') as server:\n"
        "    print(server.mark, flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        mark = process.stdout.readline().strip()
        assert left_behind(mark)
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
    assert not left_behind(mark)
