"""`pullback eval --trace`: the timeline as a file that Perfetto opens."""

from __future__ import annotations

import json
from pathlib import Path

from pullback.command_line.chrome_trace import trace
from pullback_graph.job import Metrics
from pullback_graph.timeline import TaskSpan
from tests.cli.running import SQUARES, run


def test_a_local_job_is_traced(tmp_path: Path):
    """One span, of this process; what is printed stays the same."""
    graph, path = tmp_path / "squares.graph", tmp_path / "trace.json"
    graph.write_text(SQUARES)
    done = run("eval", graph, "-i", "x=[1,2,3]", "-g", "x", "--local", "--trace", path)
    assert (done.status, done.output.splitlines()[0]) == (0, "y = 14.0")
    events = json.loads(path.read_text())["traceEvents"]
    spans = [event for event in events if event["ph"] == "X"]
    assert [span["name"] for span in spans] == ["fused 0"]
    assert spans[0]["dur"] >= 0


def test_what_a_tape_ran_has_a_timeline_too(tmp_path: Path):
    """Scalar code on the tape machine is one span as well."""
    graph, path = tmp_path / "product.graph", tmp_path / "trace.json"
    graph.write_text("graph(a: float64[], b: float64[]) { %2 = multiply(a, b) return y = %2 }")
    done = run(
        "eval",
        graph,
        "-i",
        "a=2",
        "-i",
        "b=3",
        "--local",
        "--option",
        "executor=tape",
        "-g",
        "a",
        "--trace",
        path,
    )
    assert done.status == 0
    spans = [e for e in json.loads(path.read_text())["traceEvents"] if e["ph"] == "X"]
    assert [(span["name"], span["args"]["executor"]) for span in spans] == [("fused 0", "tape")]


def test_workers_are_threads_in_order_of_their_numbers():
    """A name a thread, a complete event a task, times in microseconds."""
    spans = (
        TaskSpan(0, "forward", "10", 0.5, 0.75, 2, "numpy-2"),
        TaskSpan(1, "backward", "9", 1.0, 0.5),
        TaskSpan(2, "reduce", "front end", 1.0, 1.5),
    )
    made = trace(Metrics(timeline=spans, split="branch(2)", timeline_omitted=7))
    names = [e["args"]["name"] for e in made["traceEvents"] if e["name"] == "thread_name"]
    assert names == ["worker 9", "worker 10", "front end"]
    first, second, _ = [e for e in made["traceEvents"] if e["ph"] == "X"]
    assert (first["ts"], first["dur"], first["tid"]) == (5e5, 2.5e5, 2)
    assert first["args"] == {"task": 0, "attempts": 2, "executor": "numpy-2"}
    assert second["dur"] == 0.0
    assert made["otherData"]["omitted"] == "7 tasks more"


def test_a_trace_without_a_timeline_is_still_a_trace():
    """A server that knows no timelines gives an empty one."""
    made = trace(Metrics())
    assert [event["ph"] for event in made["traceEvents"]] == ["M"]


def test_a_trace_that_cannot_be_written(tmp_path: Path):
    """The error names the file; the job has run."""
    graph = tmp_path / "squares.graph"
    graph.write_text(SQUARES)
    path = tmp_path / "none" / "trace.json"
    done = run("eval", graph, "-i", "x=[1,2,3]", "--local", "--trace", path)
    assert done.status == 2
    assert "trace.json cannot be written" in done.errors
