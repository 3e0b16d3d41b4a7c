"""The command as a whole: its table, its help, its version, what is missing, how it starts."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from pullback.command_line import COMMANDS, _missing
from pullback_graph.errors import RequestError
from tests.cli.running import SQUARES, run

COMMAND = Path(sys.executable).with_name("pullback")


def test_version():
    """The distribution's."""
    assert run("--version").output == f"pullback {version('pullback')}\n"


def test_help_lists_every_subcommand():
    """With no arguments as well as with --help."""
    for arguments in (["--help"], []):
        shown = run(*arguments)
        listed = shown.output + shown.errors
        assert all(name in listed for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_subcommand_has_its_help(name: str):
    """Each of the table can be imported and describes itself."""
    done = run(name, "--help")
    assert done.status == 0
    assert f"pullback {name}" in " ".join(done.output.split()) or f" {name} " in done.output


def test_an_unknown_subcommand():
    """Typer's own words and status 2."""
    assert run("evaluate").status == 2


def test_a_missing_extra_names_the_command_that_installs_it():
    """Without the server's libraries, `serve` is still there and says what to run."""
    with pytest.raises(RequestError, match=r"pip install 'pullback\[server\]'"):
        _missing("serve", "server")()


def test_a_laptop_that_serves_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch):
    """The flags are known without the server's libraries, so the first one missing is named."""
    monkeypatch.delitem(sys.modules, "pullback_server.server", raising=False)
    for name in ("grpc_health", "grpc_health.v1"):
        monkeypatch.setitem(sys.modules, name, None)
    done = run("serve", "--workers", "0")
    assert (done.status, done.output) == (2, "")
    assert "grpc_health" in done.errors
    assert "pip install 'pullback[server]'" in done.errors


def test_a_log_level_that_is_none():
    """`serve` refuses it before anything starts, with those there are."""
    done = run("serve", "--log-level", "loud")
    assert done.status == 2
    for level in ("loud", "debug", "warning"):
        assert level in done.errors


def test_the_installed_command(tmp_path: Path):
    """The script that pip made runs, with arguments as a shell gives them, through a pipe."""
    graph = tmp_path / "squares.graph"
    graph.write_text(SQUARES)
    command: list[str | Path] = [
        COMMAND,
        "eval",
        graph,
        "--input",
        "x=[1,2,3]",
        "--gradient",
        "x",
        "--local",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "y = 14.0" in done.stdout
    failed = subprocess.run(
        [COMMAND, "show", "nothing"], capture_output=True, text=True, check=False
    )
    assert failed.returncode == 2
    assert (
        failed.stderr
        == "pullback: RequestError: nothing cannot be read: No such file or directory\n"
    )


def test_starting_loads_nothing_heavy():
    """Neither the server's libraries nor the wire's are imported to show the version."""
    probe = (
        "import sys\n"
        "from pullback.command_line import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "pullback" in loaded
    assert not loaded & {"grpc", "ray", "jax", "scipy", "google", "prometheus_client"}
