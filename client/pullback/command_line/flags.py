"""Flags that several subcommands share; each means the same everywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any

import typer

from pullback.connection import DEFAULT_ADDRESS, connect
from pullback.local_service import local
from pullback_graph.errors import RequestError

SERVER_VARIABLE = "PULLBACK_SERVER"


class WantName(StrEnum):
    """What may be wanted of a graph."""

    VALUE = "value"
    GRADIENT = "gradient"
    VJP = "vjp"
    JVP = "jvp"
    HVP = "hvp"
    JACOBIAN = "jacobian"
    HESSIAN = "hessian"


GraphFile = Annotated[
    str,
    typer.Argument(metavar="GRAPH", help="A graph's text form or serialised message; - for stdin."),
]
Server = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help=f"The server; else ${SERVER_VARIABLE}, else {DEFAULT_ADDRESS}.",
        show_default=False,
    ),
]
Local = Annotated[bool, typer.Option("--local", help="Run in this process, without a server.")]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        "-i",
        metavar="NAME=VALUE",
        help="A number, a JSON list, or @FILE: .npy, .npz (FILE:KEY), .json, .csv or .txt.",
    ),
]
Gradient = Annotated[
    list[str] | None,
    typer.Option("--gradient", "-g", metavar="NAME", help="Differentiate by this input."),
]
Want = Annotated[
    WantName | None, typer.Option("--want", help="What to compute; value, if nothing is said.")
]
Wrt = Annotated[
    list[str] | None,
    typer.Option("--wrt", metavar="NAME", help="An input to differentiate by; else all floating."),
]
Of = Annotated[
    list[str] | None,
    typer.Option("--of", metavar="NAME", help="The output that is wanted or differentiated."),
]
Seeds = Annotated[
    list[str] | None,
    typer.Option(
        "--seed", metavar="NAME=VALUE", help="Of a vjp, jvp or hvp: the array that goes in."
    ),
]
Sparse = Annotated[bool, typer.Option("--sparse", help="A jacobian or hessian as sparse matrices.")]
OptionPairs = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="NAME=VALUE",
        help="deadline_s, priority, executor, device, split, reproducible, memory_cap_bytes, "
        "check or certificate.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@contextmanager
def open_service(server: str | None, is_local: bool = False) -> Iterator[Any]:
    """The service that the flags name.

    Raises:
        RequestError: they name two.
    """
    if is_local:
        if server is not None:
            raise RequestError("give --server or --local, not both", field="--local")
        with local() as service:
            yield service
        return
    with connect(server or os.environ.get(SERVER_VARIABLE) or DEFAULT_ADDRESS) as service:
        yield service
