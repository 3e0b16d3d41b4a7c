"""The drift check of generated files sees each kind of drift, and `make docs` mends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import generate
from docs.pages import dtypes
from pullback_graph.table import OPS

FILES = {"docs/made/one.md": b"one\n", "docs/made/two.md": b"two\n"}


def write_files(root: Path, files: dict[str, bytes] = FILES) -> None:
    """Write files under a folder; as a row's `make`, the ones that the row generates."""
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


ROW = generate.Generated("made", ("docs/made/*.md",), write_files)


@pytest.mark.parametrize(
    ("committed", "verdict"),
    [
        pytest.param({"docs/made/two.md": None}, "not committed", id="missing"),
        pytest.param({"docs/made/two.md": b"2\n"}, "differs", id="edited"),
        pytest.param({"docs/made/old.md": b"old\n"}, "no longer generated", id="left over"),
    ],
)
def test_each_kind_of_drift_is_named_and_mended(
    tmp_path: Path, committed: dict[str, bytes | None], verdict: str
):
    """A missing, an edited and a left-over file are reported by path, and rewriting cures them."""
    write_files(tmp_path, {k: v for k, v in (FILES | committed).items() if v is not None})
    (path,) = committed
    (line,) = generate.differences(ROW, tmp_path)
    assert line.startswith(f"{path}: {verdict}")
    assert generate.rewrite(ROW, tmp_path) == [path]
    assert generate.differences(ROW, tmp_path) == []


def test_an_unknown_row_is_refused_with_the_rows_there_are():
    """A misspelt row name stops with the names that exist."""
    with pytest.raises(SystemExit, match=r"no such row: stub; there are: stubs"):
        generate.main(["--check", "stub"])


def test_the_table_says_which_dtypes_a_row_takes():
    """Read from the type rules: arithmetic takes complex numbers, an order does not."""
    expected = {
        "add": "integer, real, complex",
        "less": "bool, integer, real",
        "fft": "complex",
        "logical_or": "bool",
        "eye": "",
        "scan": "its graphs'",
    }
    assert {name: dtypes(OPS[name]) for name in expected} == expected
