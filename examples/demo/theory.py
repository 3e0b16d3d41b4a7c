"""The three examples of the theory: by the service, in this process, and on the command line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

import pullback as pb
from examples.demo.stage import Claim, Stage
from examples.theory import EXAMPLES, Example


def run(stage: Stage) -> None:
    """Differentiate each example all three ways, and insist that they agree."""
    table = Table("function", "point", "derivatives", box=None, pad_edge=False)
    local = pb.local()
    command = ""
    for example in EXAMPLES:
        graph = pb.trace(example.function, *example.point.values())
        remote = stage.service.gradient(graph, example.point, wrt=example.point).gradients
        here = local.gradient(graph, example.point, wrt=example.point).gradients
        command, printed = command_line(stage, example, graph)
        for name, expected in example.expected.items():
            agree = np.allclose(remote[name], expected, rtol=1e-15) and name in printed
            if not (agree and np.array_equal(remote[name], here[name])):
                raise Claim(f"{example.title}: d/d{name} is {remote[name]}, not {expected}")
        table.add_row(example.title, _listed(example.point), _listed(remote))
    stage.console.print(table)
    stage.console.print("\nThe last one as text, which is what the command line takes:")
    stage.console.print(f"[dim]{escape(str(graph))}[/]", end="")
    stage.console.print(f"[bold]$ {escape(command)}[/]\n{escape(printed.rstrip())}")
    stage.claim("a remote client, pb.local() and `pullback eval` agree", True)


def command_line(stage: Stage, example: Example, graph: pb.Graph) -> tuple[str, str]:
    """The derivatives by `pullback eval` on the graph as text: the command, and what it printed.

    Raises:
        Claim: the command failed.
    """
    with TemporaryDirectory() as folder:
        Path(folder, "graph.txt").write_text(str(graph))
        arguments = ["eval", "graph.txt", "--server", stage.server.address]
        for name, value in example.point.items():
            np.save(Path(folder, f"{name}.npy"), value)
            shown = f"@{name}.npy" if np.ndim(value) else f"{value}"
            arguments += ["--input", f"{name}={shown}", "--gradient", name]
        ran = subprocess.run(
            [Path(sys.executable).with_name("pullback"), *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    if ran.returncode:
        raise Claim(f"pullback {' '.join(arguments)}: {ran.stderr or ran.stdout}")
    return f"pullback {' '.join(arguments)}", ran.stdout


def _listed(arrays: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {np.round(np.asarray(value), 4)}" for name, value in arrays.items())
