"""What a batch leaves behind: a folder with a line of JSON per job, and an npz for big arrays.

Lines are only ever appended, so that a batch that was stopped goes on where it was: what has a
result is not run again, what failed is. Where an id has several lines, the last one counts.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from pullback.command_line.batch_rows import Row
from pullback.command_line.printing import named_arrays, result_json, save_npz
from pullback.remote.job_window import Outcome
from pullback_graph.errors import PullbackError, RequestError
from pullback_graph.job import NDArray, Result
from pullback_graph.want import Want

RESULTS, ARRAYS = "results.jsonl", "arrays"
_NAME_CHARACTERS = 150
INLINE_ELEMENTS = 1024
"""A job whose arrays hold more than this goes to an npz of its own."""


class BatchOutput:
    """The folder, open for appending. Use as a context manager.

    Attributes:
        finished: digest of the row, by id, of each job that has a result.

    Raises:
        RequestError: the folder cannot be written, or holds something else.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / RESULTS
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.finished = _finished(self.path)
            _end_line(self.path)
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise RequestError(f"{folder} cannot be written: {error.strerror or error}") from None

    def add(self, row: Row, want: Want | None, outcome: Outcome) -> None:
        """Append the outcome of a row."""
        line: dict[str, Any] = {"id": row.id, "row": row.digest}
        if isinstance(outcome, PullbackError):
            fault = {"type": type(outcome).__name__, "message": outcome.message}
            line |= {
                "ok": False,
                "error": fault | ({"field": outcome.field} if outcome.field else {}),
            }
        else:
            assert want is not None, "what gave a result was a job"
            line |= {"ok": True, **self._result(row.id, outcome, want)}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def _result(self, id: str, result: Result, want: Want) -> dict[str, Any]:
        arrays: dict[str, NDArray] = dict(named_arrays(result, want))
        if sum(array.size for array in arrays.values()) <= INLINE_ELEMENTS:
            return result_json(result, want)
        folder = self.folder / ARRAYS
        folder.mkdir(exist_ok=True)
        path = folder / f"{_file_name(id)}.npz"
        save_npz(path, arrays)
        shown = result_json(Result({}, {}, result.metrics), want)
        return {**shown, "arrays": str(path.relative_to(self.folder)), "names": list(arrays)}


def _file_name(id: str) -> str:
    """A file name for an id: the id itself where it can be one."""
    name = quote(id, safe="")
    return name if len(name) <= _NAME_CHARACTERS else hashlib.sha256(id.encode()).hexdigest()


def _finished(path: Path) -> dict[str, str]:
    """Id to digest of each job whose last line has a result; lines cut short say nothing."""
    finished: dict[str, str] = {}
    if not path.exists():
        return finished
    with path.open(encoding="utf-8", errors="replace") as file:
        for text in file:
            try:
                line = json.loads(text)
                id, digest, ok = line["id"], line["row"], line["ok"]
            except (ValueError, KeyError, TypeError):
                continue
            if ok:
                finished[id] = digest
            else:
                finished.pop(id, None)
    return finished


def _end_line(path: Path) -> None:
    """Close a last line that was cut short, so that the next one starts anew."""
    if path.exists() and path.stat().st_size:
        with path.open("rb+") as file:
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")
