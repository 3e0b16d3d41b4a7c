"""Runs the command in this process, as a shell would see it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, NamedTuple, TypeAlias

from pullback.command_line import main

SQUARES = """
graph(x: float64[3]) {
  %1 = multiply(x, x)
  %2 = sum(%1, axes=(0,), keepdims=false)
  return y = %2
}
"""
PRODUCT = "graph(a: float64[], b: float64[], n: int64[]) { %3 = multiply(a, b) return y = %3 }"


class Finished(NamedTuple):
    """How a command ended, and what it said."""

    status: int
    output: str
    errors: str

    @property
    def json(self) -> Any:
        """The output, read as JSON."""
        return json.loads(self.output)


Run: TypeAlias = Callable[..., Finished]


def run(*arguments: object) -> Finished:
    """Run `pullback` with these arguments."""
    output, errors = io.StringIO(), io.StringIO()
    status = 0
    with redirect_stdout(output), redirect_stderr(errors):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = int(end.code or 0)
    return Finished(status, output.getvalue(), errors.getvalue())
