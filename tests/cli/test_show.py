"""`pullback show`: the text form, the fingerprint, the cost, and the other form."""

from __future__ import annotations

from pathlib import Path

from pullback_graph.text import parse, to_text
from tests.cli.running import SQUARES, run


def test_the_text_form_parses_back(tmp_path: Path):
    """What is printed is the graph."""
    path = tmp_path / "squares.graph"
    path.write_text(SQUARES)
    done = run("show", path)
    assert done.status == 0
    assert parse(done.output) == parse(SQUARES)


def test_fingerprint(tmp_path: Path):
    """The fingerprint alone, for scripts."""
    path = tmp_path / "squares.graph"
    path.write_text(SQUARES)
    assert run("show", path, "--fingerprint").output.strip() == parse(SQUARES).fingerprint


def test_cost(tmp_path: Path):
    """The first row is the sum of the others."""
    path = tmp_path / "squares.graph"
    path.write_text(SQUARES)
    rows = [line.split() for line in run("show", path, "--cost").output.splitlines()[1:]]
    total, *others = [[int(cell) for cell in row[1:]] for row in rows]
    assert total == [sum(column) for column in zip(*others, strict=True)]
    assert {row[0] for row in rows} == {"all", "multiply", "sum"}


def test_the_graph_of_a_gradient(tmp_path: Path):
    """--gradient shows what is run for it."""
    path = tmp_path / "squares.graph"
    path.write_text(SQUARES)
    shown = parse(run("show", path, "--gradient", "x").output)
    assert shown.output_names == ("y", "d(y)/d(x)")


def test_either_form_is_written(tmp_path: Path):
    """`.pb` is the serialised message, anything else the text form; both read back."""
    path = tmp_path / "squares.graph"
    path.write_text(SQUARES)
    for name in ("out.pb", "out.graph"):
        assert run("show", path, "-o", tmp_path / name).status == 0
        assert run("show", tmp_path / name).output.strip() == to_text(parse(SQUARES)).strip()
    assert (tmp_path / "out.pb").read_bytes() != (tmp_path / "out.graph").read_bytes()
    done = run("show", path, "-o", tmp_path / "no" / "folder.pb")
    assert done.status == 2
    assert "cannot be written" in done.errors
