"""The jobs of a batch: lines of a JSONL file, or files of a folder, read one at a time.

A row is an object with `id`, `graph` (text form) or `graph_file`, `inputs`, and what is wanted:
`gradient`, or `want`, `wrt`, `of`, `sparse` and `seeds`; `options` besides. What it leaves out is
the command line's. `"@FILE"` stands for the array in a file beside it. In a folder a row is a
`.json` file, or a graph (`.graph`, `.txt`, `.pb`) with its inputs in an `.npz` of the same name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pullback.command_line.flags import WantName
from pullback.command_line.graph_file import graph_of, read_graph
from pullback.command_line.values import input_dtypes, output_dtypes, read_values
from pullback.command_line.wants import make_want
from pullback.job_arguments import make_job
from pullback_graph.errors import InputError, PullbackError, RequestError
from pullback_graph.graph import Graph
from pullback_graph.job import Job

GRAPH_SUFFIXES = (".graph", ".txt", ".pb")
_WANTED = ("gradient", "want", "wrt", "of", "sparse", "seeds")
_KEYS = frozenset(("id", "graph", "graph_file", "inputs", *_WANTED, "options"))


@dataclass(frozen=True, slots=True)
class Defaults:
    """What rows that leave it out ask for."""

    gradient: tuple[str, ...] = ()
    want: WantName | None = None
    wrt: tuple[str, ...] = ()
    of: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """One job to be.

    Attributes:
        digest: of what the row says, so that a changed row is not taken for a finished one.
        job: makes it; raises what is wrong with the row.
    """

    id: str
    digest: str
    job: Callable[[], Job]


def read_rows(source: Path, defaults: Defaults) -> Iterator[Row]:
    """The rows of a JSONL file or a folder, in order.

    Raises:
        RequestError: there is no such file or folder, or an id comes twice.
    """
    seen: set[str] = set()
    for row in _rows(source, defaults):
        if row.id in seen:
            raise InputError(f"the id {row.id!r} comes twice in {source}; ids name results")
        seen.add(row.id)
        yield row


def count_rows(source: Path) -> int:
    """How many rows there are.

    Raises:
        RequestError: there is no such file or folder.
    """
    if source.is_dir():
        return len(_row_files(source))
    return sum(1 for line in _lines(source) if line.strip())


# --- where rows stand -----------------------------------------------------------------------------


def _rows(source: Path, defaults: Defaults) -> Iterator[Row]:
    if source.is_dir():
        for path in _row_files(source):
            yield _row_of_file(path, defaults)
        return
    for number, line in enumerate(_lines(source), 1):
        if line.strip():
            yield _row_of_text(line, str(number), source.parent, defaults)


def _lines(source: Path) -> Iterator[str]:
    try:
        with source.open(encoding="utf-8", errors="replace") as file:
            yield from file
    except OSError as error:
        raise RequestError(f"{source} cannot be read: {error.strerror or error}") from None


def _row_files(folder: Path) -> list[Path]:
    wanted = (".json", *GRAPH_SUFFIXES)
    return sorted(path for path in folder.iterdir() if path.suffix in wanted and path.is_file())


def _row_of_file(path: Path, defaults: Defaults) -> Row:
    try:
        data = path.read_bytes()
        if path.suffix == ".json":
            text = data.decode("utf-8", "replace")
            return _row_of_text(text, path.stem, path.parent, defaults)
        arrays = path.with_suffix(".npz")
        beside = arrays.read_bytes() if arrays.exists() else b""
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror or error}") from None

    def make() -> Job:
        graph = graph_of(data, path.name)
        inputs = {}
        if beside:
            with np.load(arrays, allow_pickle=False) as archive:
                inputs = dict(archive)
        return _job(graph, inputs, {}, path.parent, path.stem, defaults)

    return Row(path.stem, _digest(data + beside, defaults), make)


def _row_of_text(text: str, position: str, folder: Path, defaults: Defaults) -> Row:
    """A row of JSON; its id, where it says none, is its position."""
    digest = _digest(text.strip().encode(), defaults)
    try:
        values = _object(text)
        id = str(values.get("id", position))
    except PullbackError as error:
        return Row(position, digest, _raiser(error))

    def make() -> Job:
        _check_keys(values)
        graph = _graph(values, folder)
        inputs = read_values(values.get("inputs", {}), input_dtypes(graph), folder)
        return _job(graph, inputs, values, folder, id, defaults)

    return Row(id, digest, make)


def _digest(data: bytes, defaults: Defaults) -> str:
    return hashlib.sha256(data + repr(defaults).encode()).hexdigest()[:16]


# --- what a row says ------------------------------------------------------------------------------


def _object(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise InputError(f"the row is no JSON: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"the row is a {type(values).__name__}, no JSON object")
    return values


def _check_keys(values: Mapping[str, Any]) -> None:
    unknown = sorted(set(values) - _KEYS)
    if unknown:
        known = ", ".join(sorted(_KEYS))
        raise InputError(f"the row has an unknown key {unknown[0]!r}; known are {known}")


def _graph(values: Mapping[str, Any], folder: Path) -> Graph:
    text, file = values.get("graph"), values.get("graph_file")
    if isinstance(text, str) and file is None:
        if "(" not in text:
            raise InputError(
                f"graph holds the text of a graph, got {text!r}; name a file with graph_file",
                field="graph",
            )
        return _parsed(text)
    if isinstance(file, str) and text is None:
        return _read(str(folder / file))
    raise InputError(
        "the row needs graph (its text form) or graph_file, one of them", field="graph"
    )


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Graph:
    return graph_of(text.encode(), "graph")


@lru_cache(maxsize=1024)
def _read(path: str) -> Graph:
    return read_graph(path)


def _job(
    graph: Graph,
    inputs: Mapping[str, Any],
    values: Mapping[str, Any],
    folder: Path,
    id: str,
    defaults: Defaults,
) -> Job:
    says = any(key in values for key in ("gradient", "want", "wrt"))
    kind = _kind(values.get("want")) if says else defaults.want
    dtypes = output_dtypes(graph) if kind is WantName.VJP else input_dtypes(graph)
    seeds = [read_values(seed, dtypes, folder) for seed in _listed(values.get("seeds", []))]
    want = make_want(
        graph,
        kind,
        gradient=_names(values.get("gradient", ())) if says else defaults.gradient,
        wrt=_names(values.get("wrt", ())) if says else defaults.wrt,
        of=_names(values.get("of", ())) or defaults.of,
        seeds=seeds,
        sparse=_truth(values.get("sparse", False)),
    )
    options = {**defaults.options, **values.get("options", {})}
    return make_job(graph, inputs, want=want, seeds=seeds, options=options, id=id)


def _kind(name: Any) -> WantName | None:
    if name is None:
        return None
    if name not in list(WantName):
        raise InputError(f"want {name!r} is none of {', '.join(WantName)}", field="want")
    return WantName(name)


def _names(value: Any) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise InputError(f"a name or a list of names is wanted, got {value!r}")
    return tuple(names)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"sparse is true or false, got {value!r}", field="sparse")
    return value


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _raiser(error: PullbackError) -> Callable[[], Job]:
    def fail() -> Job:
        raise error

    return fail
