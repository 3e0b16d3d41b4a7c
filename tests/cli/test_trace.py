"""`pullback trace` and `eval --trace`: the timeline as a file that Perfetto opens."""

from __future__ import annotations

import json
from math import inf, nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback.command_line.chrome_trace import trace
from pullback.command_line.trace import told
from pullback.remote.descriptions import Task
from pullback_graph.job import Metrics
from pullback_graph.timeline import TaskSpan
from tests.cli.running import SQUARES, run
from tests.cli.trace_events import check_events

NANOSECOND = 1e-3


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
    assert (first["ts"], round(first["dur"]), first["tid"]) == (5e5, 2.5e5, 2)
    assert first["args"] == {"task": 0, "attempts": 2, "executor": "numpy-2"}
    assert second["dur"] <= NANOSECOND
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


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """A file with the sum of squares of three numbers."""
    path = tmp_path / "squares.graph"
    path.write_text(SQUARES)
    return path


def test_the_command_runs_a_job_and_saves_its_trace(squares: Path, tmp_path: Path):
    """Inputs are given as to `eval`; it says what it wrote and where to open it."""
    path = tmp_path / "run.json"
    done = run("trace", squares, "-i", "x=[1,2,3]", "-g", "x", "--local", "-o", path)
    assert done.status == 0
    assert done.output.startswith(f"{path}: 1 task without a worker in ")
    assert "ui.perfetto.dev" in done.output
    made = json.loads(path.read_text())
    check_events(made)
    assert [event["name"] for event in made["traceEvents"] if event["ph"] == "X"] == ["fused 0"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-i", "x=[1,2]"), "x"),
        (("-i", "x=[1,2,3]", "-i", "x=[1,2,3]"), "twice"),
        (("-i", "x=@nowhere.npy"), "nowhere.npy"),
        (("-i", "x=[1,2,3]", "-g", "w"), "w"),
        (("-i", "x=[1,2,3]", "--option", "timelines=true"), "timelines"),
        (("-i", "x=[1,2,3]", "--want", "vjp"), "seed"),
        (("-i", "x=[1,2,3]", "--server", "localhost:1"), "both"),
        ((), "x"),
    ],
)
def test_a_job_at_fault_leaves_no_trace(
    squares: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
):
    """Exit status 2, a line that says what is wrong, and no file."""
    path = tmp_path / "run.json"
    done = run("trace", squares, *arguments, "--local", "-o", path)
    assert (done.status, done.output) == (2, "")
    assert said in done.errors
    assert not path.exists()


def test_a_trace_is_named(squares: Path):
    """There is no name that would be written over unasked."""
    done = run("trace", squares, "-i", "x=[1,2,3]", "--local")
    assert done.status == 2
    assert "--output" in done.errors


def test_where_a_trace_cannot_go_is_said_before_the_job_runs(squares: Path, tmp_path: Path):
    """A folder, or a file in none; a job that is at fault as well shows which was looked at."""
    for path, said in ((tmp_path, "is a folder"), (tmp_path / "no" / "run.json", "no such folder")):
        done = run("trace", squares, "-i", "x=[1,2]", "--local", "-o", path)
        assert done.status == 2
        assert said in done.errors


def test_no_server_is_no_trace(squares: Path, tmp_path: Path):
    """Exit status 1, as of any command that does not reach its server."""
    path = tmp_path / "run.json"
    done = run(
        "trace", squares, "-i", "x=[1,2,3]", "--server", "localhost:1", "-o", path,
        "--option", "deadline_s=0.2",
    )  # fmt: skip
    assert done.status == 1
    assert not path.exists()


def test_fetching_compiling_and_running_are_slices_of_their_own():
    """One behind the other on the worker's thread."""
    span = TaskSpan(3, "forward", "1", 1.0, 2.0, 1, "xla-1", compiling_s=0.25, transferring_s=0.5)
    made = trace(Metrics(timeline=(span,)))
    check_events(made)
    found = [
        (e["name"], e["cat"], e["ts"], round(e["dur"]))
        for e in made["traceEvents"]
        if e["ph"] == "X"
    ]
    assert found == [
        ("fetch 3", "transfer", 5e5, 5e5),
        ("compile 3", "compile", 1e6, 2.5e5),
        ("forward 3", "forward", 1.25e6, 7.5e5),
    ]


def planned(*before: int) -> Task:
    """A task of a plan that reads what those found."""
    return Task("fused", "cpu", 3, 2e9, 0.0, 64, before, estimated_s=0.5)


def test_arrows_lead_from_a_task_to_those_that_read_it():
    """From the end of what found a value to the start of what read it, on the workers' threads."""
    spans = (
        TaskSpan(0, "forward", "1", 0.0, 1.0),
        TaskSpan(1, "forward", "2", 0.0, 2.0),
        TaskSpan(2, "reduce", "1", 3.0, 4.0, transferring_s=0.5),
    )
    made = trace(Metrics(timeline=spans, tasks=3), [planned(), planned(), planned(0, 1)])
    check_events(made)
    ends = [(e["ph"], e["tid"], round(e["ts"], 1)) for e in made["traceEvents"] if e["ph"] in "sf"]
    assert ends == [("s", 1, 1e6), ("f", 1, 2.5e6), ("s", 2, 2e6), ("f", 1, 2.5e6)]
    args = next(e["args"] for e in made["traceEvents"] if e["ph"] == "X")
    assert (args["nodes"], args["estimated_bytes"], args["estimated_ms"]) == (3, 64, "500")


def test_counters_say_what_runs_and_what_it_holds():
    """At each moment that it changes; memory only where the plan is known, and of this job."""
    spans = (TaskSpan(0, "forward", "1", 0.0, 1.0), TaskSpan(1, "forward", "2", 0.5, 1.0))
    made = trace(Metrics(timeline=spans, tasks=2), [planned(), planned()])
    check_events(made)
    steps = [(e["ts"], *e["args"].values()) for e in made["traceEvents"] if e["ph"] == "C"]
    assert steps == [(0, 1), (5e5, 2), (1e6, 0), (0, 64), (5e5, 128), (1e6, 0)]
    other = trace(Metrics(timeline=spans, tasks=2), [planned()])["traceEvents"]
    assert [e["args"] for e in other if e["ph"] == "C"] == [{"tasks": n} for n in (1, 2, 0)]


SECONDS = st.floats() | st.floats(0, 10)
SPANS = st.builds(
    TaskSpan,
    task=st.integers(0, 1 << 32),
    phase=st.sampled_from(["forward", "reduce", "77", ""]),
    worker=st.sampled_from(["1", "2", "front end", "", "²", "9" * 5000]) | st.text(max_size=3),
    start_s=SECONDS,
    end_s=SECONDS,
    compiling_s=SECONDS,
    transferring_s=SECONDS,
)


@given(st.lists(SPANS, max_size=6), st.lists(st.lists(st.integers(0, 9)), max_size=6))
def test_any_timeline_makes_a_trace(spans: list[TaskSpan], before: list[list[int]]):
    """What replies tell may be late, out of order or impossible: the file is still one."""
    metrics = Metrics(timeline=tuple(spans), timeline_omitted=3, tasks=len(before))
    check_events(trace(metrics, [planned(*own) for own in before]))
    assert told(metrics)


@pytest.mark.parametrize("seconds", [nan, inf, -inf, -1.0, 1.7e308])
def test_impossible_times_are_none(seconds: float):
    """A slice of no length to speak of, at the start."""
    made = trace(Metrics(timeline=(TaskSpan(0, "fused", "1", seconds, seconds),)))
    (last,) = [event for event in made["traceEvents"] if event["ph"] == "X"]
    assert (last["ts"], last["dur"]) == (0.0, NANOSECOND)


def test_the_summary_counts_what_was_left_out():
    """A server without timelines is said to be one."""
    spans = (TaskSpan(0, "fused", "1", 0.0, 0.5), TaskSpan(1, "reduce", "2", 0.5, 1.5))
    assert told(Metrics(timeline=spans)) == "2 tasks on 2 workers in 1.5 s"
    assert "2 tasks of 9" in told(Metrics(timeline=spans, timeline_omitted=7))
    assert "keeps none" in told(Metrics())
