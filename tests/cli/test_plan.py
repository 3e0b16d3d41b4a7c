"""`pullback plan`: what it says and draws, with the planner of this process, and how it fails."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from pullback.command_line import plan as plan_command
from pullback.command_line.plan_drawing import OTHER_FILL, draw_plan
from pullback.command_line.plan_layout import BOX_HEIGHT, BOX_WIDTH, MOST_DRAWN, lay_out
from pullback.command_line.plan_table import report_text
from pullback.remote.descriptions import PlanReport, Prediction, Task
from pullback_server.local_plan import plan_reply
from tests.cli.running import PRODUCT, run

BATCH = """
graph(x: float64[12, 4], w: float64[4]) {
  %2 = matmul(x, w)
  %3 = square(%2)
  %4 = sum(%3, axes=(0,), keepdims=false)
  return loss = %4
}
"""
SVG = "{http://www.w3.org/2000/svg}"


class _Planner:
    """The entry point of a planner."""

    @staticmethod
    def load() -> object:
        return plan_reply


@pytest.fixture(autouse=True)
def planner(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's planner, as if installed beside the client."""
    monkeypatch.setattr(plan_command, "entry_points", lambda group: [_Planner()])


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    """A file with a loss over a batch."""
    path = tmp_path / "batch.graph"
    path.write_text(BATCH)
    return path


def _task(number: int, **given: object) -> Task:
    fields = {
        "phase": "forward",
        "placement": "cpu",
        "nodes": 1,
        "flops": 1.0,
        "size_bytes": 8.0,
        "peak_bytes": 8,
        "depends_on": (number - 1,) if number else (),
        "home": number % 4,
    }
    return Task(**{**fields, **given})  # type: ignore[arg-type]  # fields by name


def _report(tasks: list[Task], reason: str = "because") -> PlanReport:
    return PlanReport(
        nodes=1,
        adjoint_evaluations=0,
        flops=1.0,
        size_bytes=1.0,
        peak_bytes=8,
        split="shard(2)",
        split_reason=reason,
        estimated_s=1.0,
        executor="numpy",
        digest="d",
        front_end=False,
        text="",
        tasks=tuple(tasks),
        predictions=(Prediction(1, 1.0, 0.0, 8),),
    )


def test_a_plan_is_made_here(batch: Path):
    """Split, reason, tasks by phase, predictions: without a server, before anything runs."""
    done = run("plan", batch, "-g", "w", "--local", "--option", "split=shard(3)")
    assert done.status == 0
    assert "split shard(3): 99% of the work runs along axis 0 of 'x' of length 12" in done.output
    assert "3 fused (forward and backward in one), 2 reduce" in done.output
    words = [line.split() for line in done.output.splitlines()]
    assert ["workers", "time", "speed-up"] in [line[:3] for line in words]
    assert ["1", "1.00", "x"] in [[*line[:1], *line[3:5]] for line in words]
    assert ["4", "reduce", "cpu", "numpy"] in [line[:4] for line in words]


def test_numbers_of_workers_that_change_nothing_are_left_out(batch: Path):
    """Three shards have no use for a fourth worker."""
    done = run("plan", batch, "-g", "w", "--local", "--option", "split=shard(3)")
    assert "more than 4 workers would change nothing" in done.output


def test_many_tasks_are_listed_by_kind():
    """A line for those of one phase and size, what is most of each; none is left uncounted."""
    tasks = [_task(k, flops=k * 1e3, depends_on=()) for k in range(30)]
    tasks += [_task(30, phase="reduce", depends_on=tuple(range(30)), nodes=2)]
    lines = report_text(_report(tasks)).splitlines()
    assert [line.split()[:2] for line in lines[2:4]] == [["30", "forward"], ["1", "reduce"]]
    assert "29k" in lines[2]
    tasks = [_task(k, nodes=k) for k in range(40)]
    assert "and 20 tasks of other kinds" in report_text(_report(tasks))
    few = report_text(_report([_task(0), _task(1, depends_on=tuple(range(9)))]))
    assert few.splitlines()[-1].endswith("0, 1, 2, 3, 4, 5 and 3 more")


def test_a_plan_as_json_has_homes_and_predictions(batch: Path):
    """Everything a program may want of it."""
    done = run("plan", batch, "-g", "w", "--local", "--option", "split=shard(3)", "--json")
    report = json.loads(done.output)
    assert [task["home"] for task in report["tasks"]] == [0, 1, 2, 0, 0]
    assert [item["workers"] for item in report["predictions"]] == [1, 2, 4, 8, 16, 32]
    assert report["input_bytes"] == 8 * (48 + 4)


def test_a_forced_split_that_cannot_be_says_why(batch: Path, tmp_path: Path):
    """The planner's own words, and status 2."""
    done = run("plan", batch, "-g", "w", "--local", "--option", "split=branch(9)")
    assert done.status == 2
    assert "independent part" in done.errors
    product = tmp_path / "product.graph"
    product.write_text(PRODUCT)
    done = run("plan", product, "--local", "--option", "split=stage(2)")
    assert done.status == 2
    assert "fewer than two nodes" in done.errors


def test_a_drawing_has_a_box_a_task_and_a_curve_a_dependency(batch: Path, tmp_path: Path):
    """The file is well-formed, and every box and curve lies within it."""
    path = tmp_path / "plan.svg"
    done = run("plan", batch, "-g", "w", "--local", "--option", "split=shard(3)", "--draw", path)
    assert done.status == 0
    svg = Xml.parse(path).getroot()
    assert len(svg.findall(f"{SVG}g")) == 5
    assert len(svg.findall(f"{SVG}path")) == 4
    _, _, width, height = map(float, svg.attrib["viewBox"].split())
    for rect in svg.iter(f"{SVG}rect"):
        if rect.get("x"):
            assert float(rect.attrib["x"]) + float(rect.attrib["width"]) <= width
            assert float(rect.attrib["y"]) + float(rect.attrib["height"]) <= height


def test_a_long_head_and_the_last_box_have_room():
    """A picture is as wide as what is said above it; no box touches the end of its lane."""
    tasks = [_task(k, depends_on=(k - 1,) if k else (), home=0) for k in range(4)]
    svg = Xml.fromstring(draw_plan(_report(tasks, reason="w" * 149)))
    width = float(svg.attrib["width"])
    assert width >= 149 * 6 + 48
    lane = next(r for r in svg.findall(f"{SVG}rect") if r.get("fill") == "#f6f6f6")
    end = float(lane.attrib["x"]) + float(lane.attrib["width"])
    boxes = [rect for group in svg.findall(f"{SVG}g") for rect in group.findall(f"{SVG}rect")]
    assert max(float(b.attrib["x"]) + float(b.attrib["width"]) for b in boxes) <= end - 8


@pytest.mark.parametrize("count", [40, 400])
def test_no_two_boxes_of_a_drawing_overlap(count: int):
    """Whatever the homes and dependencies are; every task is in one box, alone or with its like."""
    tasks = [_task(k, depends_on=(), home=k % 3 - 1) for k in range(count)]
    tasks += [_task(count + k, depends_on=tuple(range(count)), home=0) for k in range(20)]
    boxes = lay_out(tasks, top=0.0).boxes
    for number, box in enumerate(boxes):
        for other in boxes[:number]:
            apart = abs(box.x - other.x) >= BOX_WIDTH or abs(box.y - other.y) >= BOX_HEIGHT
            assert apart
    assert sorted(k for box in boxes for k in box.tasks) == [*range(len(tasks))]
    assert len(boxes) == (len(tasks) if count == 40 else 4)


def test_many_tasks_share_boxes_by_lane_or_by_column():
    """Few lanes are kept apart, many are not; edges are counted, and lead from left to right."""
    piped = [_task(k, home=k % 4, depends_on=(k - 1,) if k % 4 else ()) for k in range(400)]
    layout = lay_out(piped, top=0.0)
    assert [len(box.tasks) for box in layout.boxes] == [100] * 4
    assert [edge.pairs for edge in layout.edges] == [100] * 3
    assert all(layout.boxes[e.start].column < layout.boxes[e.end].column for e in layout.edges)
    sharded = [_task(k, home=k, depends_on=()) for k in range(100)]
    assert [len(box.tasks) for box in lay_out(sharded, top=0.0).boxes] == [100]


def test_an_edge_over_several_columns_passes_behind_no_box():
    """It runs below the row that it ends in."""
    tasks = [_task(k, home=0) for k in range(3)] + [_task(3, home=0, depends_on=(0, 2))]
    svg = Xml.fromstring(draw_plan(_report(tasks)))
    (far,) = [p.attrib["d"] for p in svg.findall(f"{SVG}path") if "H" in p.attrib["d"]]
    level = float(far.split("H")[0].split()[-1])
    boxes = lay_out(tasks, top=0.0).boxes
    tops = {
        float(rect.attrib["y"]) for g in svg.findall(f"{SVG}g") for rect in g.findall(f"{SVG}rect")
    }
    assert len({box.y for box in boxes}) == len(tops) == 1
    assert tops.pop() + BOX_HEIGHT < level


def test_hostile_replies_are_drawn_as_text():
    """Markup, control characters, absurd edges and phases of a newer server do no harm."""
    hostile = _task(
        1, phase="</text><script>\x00\n", depends_on=(1, 99, 4294967295), home=-(1 << 31)
    )
    drawn = draw_plan(_report([_task(0), hostile], reason="<&\x07" + "long " * 1000))
    svg = Xml.fromstring(drawn)
    assert not list(svg.iter(f"{SVG}script"))
    assert not svg.findall(f"{SVG}path")
    assert OTHER_FILL in drawn
    assert max(len(text.text or "") for text in svg.iter(f"{SVG}text")) <= 200


def test_a_huge_plan_is_drawn_in_part():
    """The picture has an end, and says what it leaves out; an empty plan is drawn as well."""
    drawn = draw_plan(_report([_task(k) for k in range(MOST_DRAWN + 5)]))
    assert "The last 5 tasks are left out" in drawn
    assert Xml.fromstring(draw_plan(_report([]))).tag == f"{SVG}svg"


def test_a_drawing_that_cannot_be_written(batch: Path, tmp_path: Path):
    """The error names the file."""
    done = run("plan", batch, "--local", "--draw", tmp_path / "none" / "plan.svg")
    assert done.status == 2
    assert "plan.svg cannot be written" in done.errors


def test_without_a_planner_local_says_what_to_install(batch: Path, monkeypatch: pytest.MonkeyPatch):
    """The client alone has no planner."""
    monkeypatch.setattr(plan_command, "entry_points", lambda group: [])
    done = run("plan", batch, "--local")
    assert done.status == 2
    assert "pip install 'pullback[server]'" in done.errors
