"""The command `pullback`: a table of subcommands, each imported when it is asked for.

Exit status: 0 done; 1 the service or the computation failed, or some jobs of a batch did; 2 the
call itself is at fault (an unknown flag, a graph that does not parse, an input that is missing).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import entry_points, version
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from pullback_graph.errors import PullbackError, RequestError


class _Row(NamedTuple):
    """A subcommand: the module and function it is, and the extra that brings it."""

    module: str
    function: str
    extra: str = ""


COMMANDS: dict[str, _Row] = {
    "eval": _Row("pullback.command_line.evaluate", "evaluate"),
    "batch": _Row("pullback.command_line.batch", "batch"),
    "plan": _Row("pullback.command_line.plan", "plan"),
    "trace": _Row("pullback.command_line.trace", "trace"),
    "show": _Row("pullback.command_line.show", "show"),
    "top": _Row("pullback.command_line.top", "top"),
    "bench": _Row("pullback.command_line.bench", "bench"),
    "serve": _Row("", "", extra="server"),
}
"""The subcommands, as `--help` lists them. One with an extra is an entry point of GROUP, declared
by the part of the distribution that can do it."""

GROUP = "pullback.commands"


class Subcommands(TyperGroup):
    """The table as a Typer group."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all subcommands."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The subcommand of that name, imported now; None where there is none."""
        row = COMMANDS.get(cmd_name)
        if row is None:
            return None
        single = typer.Typer(add_completion=False)
        single.command(cmd_name)(_function(cmd_name, row))
        return typer.main.get_command(single)


def _function(name: str, row: _Row) -> Any:
    if not row.extra:
        return getattr(import_module(row.module), row.function)
    for entry in entry_points(group=GROUP, name=name):
        try:
            return entry.load()
        except ImportError:  # declared, but what it needs is not installed
            break
    return _missing(name, row.extra)


def _missing(name: str, extra: str) -> Any:
    """A command in the place of one that is not installed."""

    def missing() -> None:
        raise RequestError(
            f"`pullback {name}` is not installed; run: pip install 'pullback[{extra}]'"
        )

    missing.__doc__ = f"Not installed: pip install 'pullback[{extra}]'."
    return missing


app = typer.Typer(cls=Subcommands, no_args_is_help=True, pretty_exceptions_enable=False)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"pullback {version('pullback')}")
        raise typer.Exit


@app.callback()
def pullback(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Gradients of computation graphs, here or by a service."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command, by default on the process's arguments; errors of ours are no tracebacks."""
    try:
        app(arguments)
    except PullbackError as error:
        typer.echo(f"pullback: {type(error).__name__}: {error.message}", err=True)
        sys.exit(2 if isinstance(error, RequestError) else 1)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; no word about it
        sys.exit(0)
