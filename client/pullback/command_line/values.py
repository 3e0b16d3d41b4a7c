"""Arrays as they are written on a command line or in a row of JSON: numbers, lists, files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pullback.remote.request import as_array
from pullback_graph.errors import InputError
from pullback_graph.graph import Graph
from pullback_graph.types import DType

_WORDS = {"nan", "inf", "infinity"}


def parse_pairs(pairs: Iterable[str], what: str = "--input") -> dict[str, str]:
    """Texts by name, of `NAME=TEXT`.

    Raises:
        InputError: one has no `=`, or a name comes twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InputError(f"{what} {pair!r}: write NAME=VALUE", field=what)
        if name in found:
            raise InputError(f"{what} {name} is given twice", field=what)
        found[name] = text
    return found


def read_texts(pairs: Iterable[str], dtypes: Mapping[str, DType], what: str) -> dict[str, Any]:
    """Arrays by name, of `NAME=VALUE` as `--input` takes it.

    Raises:
        InputError: a value is none; the message says which.
    """
    texts = parse_pairs(pairs, what)
    return {name: _of_text(name, text, dtypes.get(name)) for name, text in texts.items()}


def read_values(values: Mapping[str, Any], dtypes: Mapping[str, DType], folder: Path) -> Any:
    """Arrays by name, of JSON values; `"@FILE"` is a file in or below `folder`.

    Raises:
        InputError: a value is none; the message says which.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"arrays by name are wanted, got {values!r}")
    return {name: _of_json(name, value, dtypes.get(name), folder) for name, value in values.items()}


def input_dtypes(graph: Graph) -> dict[str, DType]:
    """The dtype of each input."""
    return {item.name: item.type.dtype for item in graph.inputs}


def output_dtypes(graph: Graph) -> dict[str, DType]:
    """The dtype of each output."""
    return {item.name: graph.types[item.value].dtype for item in graph.outputs}


def _of_text(name: str, text: str, dtype: DType | None) -> Any:
    if text.startswith("@"):
        return _of_file(name, text[1:], dtype, Path())
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    return _of_json(name, value, dtype, Path())


def _of_json(name: str, value: Any, dtype: DType | None, folder: Path) -> Any:
    if isinstance(value, str) and value.startswith("@"):
        return _of_file(name, value[1:], dtype, folder)
    try:
        return as_array(name, _numbers(value), dtype)
    except ValueError:
        raise InputError(
            f"{name!r}: {str(value)[:80]!r} is neither a number, nor a JSON list of numbers, nor "
            '@FILE; a complex number is text such as "1.0-2.5j"',
            field=f"inputs.{name}",
        ) from None


def _numbers(value: Any) -> Any:
    """The value with texts turned into the numbers that JSON has none for: not finite, complex."""
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, str):
        if value.lstrip("+-").lower() in _WORDS:
            return float(value)
        if not value.endswith("j"):
            raise ValueError(value)
        return complex(value)
    return value


def _of_file(name: str, file: str, dtype: DType | None, folder: Path) -> Any:
    """The array in a file; text formats hold plain numbers, which take the graph's dtype."""
    start, colon, key = file.partition(".npz:")
    path = folder / (f"{start}.npz" if colon else file)
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        if path.suffix == ".npz":
            return _of_archive(name, path, key)
        if path.suffix == ".json":
            return _of_json(name, json.loads(path.read_text()), dtype, path.parent)
        if path.suffix in (".csv", ".txt"):
            delimiter = "," if path.suffix == ".csv" else None
            return as_array(name, np.loadtxt(path, delimiter=delimiter), dtype)
    except OSError as error:
        raise InputError(
            f"{name!r}: {path} cannot be read: {error.strerror or error}", field=f"inputs.{name}"
        ) from None
    except ValueError as error:
        raise InputError(
            f"{name!r}: {path} does not parse: {error}", field=f"inputs.{name}"
        ) from None
    raise InputError(
        f"{name!r}: {path} is of no known kind; use .npy, .npz, .json, .csv or .txt",
        field=f"inputs.{name}",
    )


def _of_archive(name: str, path: Path, key: str) -> Any:
    with np.load(path, allow_pickle=False) as archive:
        key = key or (archive.files[0] if len(archive.files) == 1 else "")
        if key not in archive.files:
            raise InputError(
                f"{name!r}: {path} holds {', '.join(archive.files)}; write @{path}:KEY",
                field=f"inputs.{name}",
            )
        return archive[key]
