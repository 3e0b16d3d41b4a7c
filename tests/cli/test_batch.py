"""`pullback batch` in this process: rows, results, failures in place, going on after a stop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pullback_graph.codec import encode_graph
from pullback_graph.text import parse
from tests.cli.running import SQUARES, Finished, run

SQUARE = "graph(x: float64[]) { %1 = multiply(x, x) return y = %1 }"


def write_rows(path: Path, *rows: Any) -> Path:
    """A JSONL file of rows; a text is a line as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


def batch(source: Path, *flags: object) -> Finished:
    """Run it into the folder `out` beside the source."""
    return run("batch", source, "-o", source.parent / "out", "--local", *flags)


def results(source: Path) -> dict[str, Any]:
    """The last line of each id."""
    text = (source.parent / "out" / "results.jsonl").read_text()
    return {line["id"]: line for line in map(json.loads, text.splitlines())}


def test_jobs_from_lines(tmp_path: Path):
    """Every line its job, each with its own graph, inputs and want; blank lines are none."""
    source = write_rows(
        tmp_path / "jobs.jsonl",
        {"id": "a", "graph": SQUARE, "inputs": {"x": 3}, "gradient": ["x"]},
        "",
        {"id": "b", "graph": SQUARES, "inputs": {"x": [1, 2, 3]}, "want": "hessian"},
        {"graph": SQUARE, "inputs": {"x": 2.0}, "want": "jvp", "seeds": [{"x": 1}, {"x": 5}]},
    )
    done = batch(source)
    assert done.status == 0
    assert "3 done, 0 failed, 0 skipped" in done.output
    found = results(source)
    assert found["a"]["outputs"] == {"y": 9.0}
    assert found["a"]["gradients"] == {"x": 6.0}
    assert found["b"]["derivatives"][0]["value"][1] == [0.0, 2.0, 0.0]
    assert [d["value"] for d in found["4"]["derivatives"]] == [4.0, 20.0]


def test_failures_stand_in_their_place_and_are_listed(tmp_path: Path):
    """One line per broken job, with the class and the message; the others have their results."""
    source = write_rows(
        tmp_path / "jobs.jsonl",
        {"id": "good", "graph": SQUARE, "inputs": {"x": 3}},
        {"id": "shape", "graph": SQUARE, "inputs": {"x": [1, 2]}},
        {"id": "missing", "graph": SQUARE},
        {"id": "syntax", "graph": "graph("},
        {"id": "path", "graph": "x.graph"},
        {"id": "both", "graph": SQUARE, "graph_file": "x.graph"},
        {"id": "none", "inputs": {}},
        {"id": "key", "graph": SQUARE, "input": {"x": 1}},
        {"id": "want", "graph": SQUARE, "inputs": {"x": 1}, "want": "everything"},
        {"id": "names", "graph": SQUARE, "inputs": {"x": 1}, "gradient": [1]},
        {"id": "arrays", "graph": SQUARE, "inputs": [1]},
        {"id": "option", "graph": SQUARE, "inputs": {"x": 1}, "options": {"speed": 1}},
        "not json",
        "[1, 2]",
        {"id": "last", "graph": SQUARE, "inputs": {"x": 4}},
    )
    done = batch(source)
    assert done.status == 1
    assert "2 done, 13 failed" in done.output
    found = results(source)
    assert [name for name, line in found.items() if line["ok"]] == ["good", "last"]
    assert found["syntax"]["error"]["type"] == "ParseError"
    assert found["shape"]["error"]["type"] == "InputError"
    assert "graph_file" in found["path"]["error"]["message"]
    for name in ("shape", "missing", "13", "14", "key"):
        assert f"  {name}: " in done.errors
    assert "Traceback" not in done.errors


def test_a_second_run_does_what_is_left(tmp_path: Path):
    """Finished jobs are skipped, failed and changed ones run again, and the last line counts."""
    rows = [{"id": str(i), "graph": SQUARE, "inputs": {"x": float(i)}} for i in range(5)]
    rows[3]["inputs"] = {}
    source = write_rows(tmp_path / "jobs.jsonl", *rows)
    assert batch(source).status == 1
    rows[3]["inputs"] = {"x": 3.0}
    rows[4]["inputs"] = {"x": 40.0}
    write_rows(source, *rows)
    done = batch(source)
    assert done.status == 0
    assert "2 done, 0 failed, 3 skipped" in done.output
    assert [line["outputs"]["y"] for line in results(source).values()] == [0, 1, 4, 9, 1600]
    assert "0 done, 0 failed, 5 skipped" in batch(source).output
    assert "5 done" in batch(source, "--gradient", "x").output


def test_a_line_cut_short_is_done_again(tmp_path: Path):
    """After a crash in the middle of a line, the next run repairs what it left."""
    rows = [{"id": str(i), "graph": SQUARE, "inputs": {"x": float(i)}} for i in range(3)]
    source = write_rows(tmp_path / "jobs.jsonl", *rows)
    batch(source)
    path = tmp_path / "out" / "results.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    assert "1 done, 0 failed, 2 skipped" in batch(source).output
    lines = path.read_text().splitlines()
    assert json.loads(lines[-1])["outputs"] == {"y": 4.0}


def test_jobs_from_a_folder(tmp_path: Path):
    """Graphs in either form with inputs beside them, and rows of JSON; ids are the files' names."""
    folder = tmp_path / "jobs"
    folder.mkdir()
    (folder / "text.graph").write_text(SQUARES)
    np.savez(folder / "text.npz", x=np.asarray([1.0, 2.0, 3.0]))
    (folder / "message.pb").write_bytes(encode_graph(parse(SQUARE)).SerializeToString())
    np.savez(folder / "message.npz", x=np.asarray(5.0))
    np.save(folder / "six.npy", np.asarray(6.0))
    (folder / "row.json").write_text(
        json.dumps({"graph_file": "message.pb", "inputs": {"x": "@six.npy"}, "want": "value"})
    )
    (folder / "lonely.graph").write_text(SQUARE)
    (folder / "README.md").write_text("nothing")
    done = batch(folder, "--gradient", "x")
    found = results(folder)
    assert done.status == 1
    assert found["text"]["gradients"] == {"x": [2.0, 4.0, 6.0]}
    assert found["message"]["gradients"] == {"x": 10.0}
    assert found["row"]["outputs"] == {"y": 36.0}
    assert not found["lonely"]["ok"]
    assert len(found) == 4


def test_large_results_are_in_files(tmp_path: Path):
    """More than a thousand elements go to an npz, named by the id, whatever it holds."""
    graph = "graph(x: float64[2000]) { %1 = multiply(x, x) return y = %1 }"
    ids = ["plain", "a/b ../c", "long" * 100]
    np.save(tmp_path / "x.npy", np.full(2000, 3.0))
    source = write_rows(
        tmp_path / "jobs.jsonl",
        *[{"id": id, "graph": graph, "inputs": {"x": "@x.npy"}} for id in ids],
    )
    assert batch(source).status == 0
    for id in ids:
        line = results(source)[id]
        path = tmp_path / "out" / line["arrays"]
        assert path.resolve().parent == (tmp_path / "out" / "arrays").resolve()
        with np.load(path) as arrays:
            assert line["names"] == list(arrays) == ["outputs/y"]
            assert arrays["outputs/y"].sum() == 18_000.0


def test_an_id_that_comes_twice(tmp_path: Path):
    """Results could not be told apart."""
    row = {"id": "a", "graph": SQUARE, "inputs": {"x": 1}}
    done = batch(write_rows(tmp_path / "jobs.jsonl", row, row))
    assert done.status == 2
    assert "'a' comes twice" in done.errors


@pytest.mark.parametrize("name", ["missing.jsonl", "missing"])
def test_no_source(tmp_path: Path, name: str):
    """A file that is not there is the caller's fault, and no folder is made."""
    done = batch(tmp_path / name)
    assert (done.status, done.output) == (2, "")
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_no_folder(tmp_path: Path):
    """A file in the way is named."""
    (tmp_path / "out").write_text("")
    done = batch(write_rows(tmp_path / "jobs.jsonl", {"graph": SQUARE}))
    assert done.status == 2
    assert "cannot be written" in done.errors


def test_the_bar_is_drawn_on_standard_error(tmp_path: Path):
    """--progress shows how many are done and how many failed."""
    source = write_rows(
        tmp_path / "jobs.jsonl",
        {"graph": SQUARE, "inputs": {"x": 1}},
        {"graph": SQUARE},
    )
    done = batch(source, "--progress")
    assert "2/2" in done.errors
    assert "1 failed" in done.errors
    assert "2/2" not in done.output
