"""A plan as an SVG picture: a lane a home, a column a step of the longest way, a box a task.

The plan itself says where a task belongs, so nothing is searched for: tasks of one home stand in
one lane, each a column behind the last one it reads (docs/decisions/0021).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.etree import ElementTree as Xml

from pullback.command_line.top_frame import duration
from pullback.remote.descriptions import PlanReport, Task

COLUMN, BOX_WIDTH, BOX_HEIGHT, ROW_GAP, LANE_GAP = 220, 150, 40, 8, 16
MARGIN, HEAD_LINE, LANE_TITLE = 24, 20, 60
MOST_DRAWN = 2000
"""Tasks of the largest picture: a browser shows more, but nobody reads it."""
FILLS = {
    "forward": "#cfe3f7",
    "backward": "#f9d9c3",
    "fused": "#dcd3ee",
    "reduce": "#d3ead2",
}
OTHER_FILL = "#e6e6e6"
"""Of a phase without a name here: a newer server's."""
_LONGEST_LINE = 150
_LETTER = 6.6
"""Width of a letter of the head, about, and of nearly all text at most."""


class _Box(NamedTuple):
    """Where a task stands."""

    x: float
    y: float


class _Layout(NamedTuple):
    """Where everything stands: a box a task, each lane's home, top and height, and the size."""

    boxes: list[_Box]
    lanes: list[tuple[int, float, float]]
    width: float
    height: float


def draw_plan(report: PlanReport) -> str:
    """The picture of a plan, as the text of an SVG file."""
    tasks = report.tasks[:MOST_DRAWN]
    head = [*_head(report)]
    letters = min(max(map(len, head)), _LONGEST_LINE)
    layout = _layout(
        tasks, top=MARGIN + HEAD_LINE * (len(head) + 2), least=2 * MARGIN + letters * _LETTER
    )
    svg = Xml.Element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {layout.width:g} {layout.height:g}",
        width=f"{layout.width:g}",
        height=f"{layout.height:g}",
    )
    svg.set("font-family", "Helvetica, Arial, sans-serif")
    svg.set("font-size", "12")
    Xml.SubElement(svg, "rect", width="100%", height="100%", fill="white")
    for line, text in enumerate(head):
        _text(svg, MARGIN, MARGIN + HEAD_LINE * line, text, bold=line == 0)
    _legend(svg, tasks, MARGIN + HEAD_LINE * len(head))
    for home, top, height in layout.lanes:
        _lane(svg, home, top, height, layout.width)
    for number, task in enumerate(tasks):
        for before in _before(task, number):
            _edge(svg, layout.boxes[before], layout.boxes[number])
    for number, (task, box) in enumerate(zip(tasks, layout.boxes, strict=True)):
        _task(svg, number, task, box)
    Xml.indent(svg)
    return Xml.tostring(svg, encoding="unicode") + "\n"


def _head(report: PlanReport) -> Iterator[str]:
    """What is said above the picture."""
    yield f"split {report.split}, {len(report.tasks)} tasks"
    yield report.split_reason
    yield (
        f"{report.nodes} nodes, {report.flops:.3g} FLOPs, "
        f"largest task {in_bytes(report.peak_bytes)}, inputs {in_bytes(report.input_bytes)}"
    )
    for item in report.predictions:
        if item.workers in (1, 4, 16):
            yield (
                f"predicted on {item.workers} worker{'s' * (item.workers > 1)}: "
                f"{duration(item.estimated_s)}, {in_bytes(item.moved_bytes)} moved, "
                f"at most {in_bytes(item.worker_bytes)} held by one"
            )
    if len(report.tasks) > MOST_DRAWN:
        yield f"the first {MOST_DRAWN} tasks of {len(report.tasks)}"


def _before(task: Task, number: int) -> list[int]:
    """The earlier tasks that a task reads; what a reply says of others is left out."""
    return [before for before in task.depends_on if 0 <= before < number]


# --- where things stand ---------------------------------------------------------------------------


def _layout(tasks: Sequence[Task], top: float, least: float) -> _Layout:
    depths: list[int] = []
    for number, task in enumerate(tasks):
        depths.append(max((depths[before] + 1 for before in _before(task, number)), default=0))
    taken: dict[tuple[int, int], int] = {}
    rows: list[int] = []
    for task, depth in zip(tasks, depths, strict=True):
        rows.append(taken.get((task.home, depth), 0))
        taken[task.home, depth] = rows[-1] + 1
    lanes: list[tuple[int, float, float]] = []
    tops: dict[int, float] = {}
    for home in sorted({task.home for task in tasks}):
        count = max(number for (own, _), number in taken.items() if own == home)
        height = count * (BOX_HEIGHT + ROW_GAP) + ROW_GAP
        lanes.append((home, top, height))
        tops[home] = top + ROW_GAP
        top += height + LANE_GAP
    boxes = [
        _Box(MARGIN + LANE_TITLE + depth * COLUMN, tops[task.home] + row * (BOX_HEIGHT + ROW_GAP))
        for task, depth, row in zip(tasks, depths, rows, strict=True)
    ]
    right = MARGIN + LANE_TITLE + max(depths, default=0) * COLUMN + BOX_WIDTH + ROW_GAP
    return _Layout(boxes, lanes, max(right + MARGIN, least, 900), top + MARGIN - LANE_GAP)


# --- what is drawn --------------------------------------------------------------------------------


def _lane(svg: Xml.Element, home: int, top: float, height: float, width: float) -> None:
    band = Xml.SubElement(svg, "rect", x=f"{MARGIN}", y=f"{top:g}", rx="6", fill="#f6f6f6")
    band.set("width", f"{width - 2 * MARGIN:g}")
    band.set("height", f"{height:g}")
    title = "any" if home < 0 else f"lane {home}"
    _text(svg, MARGIN + 8, top + height / 2 + 4, title, fill="#777777")


def _edge(svg: Xml.Element, start: _Box, end: _Box) -> None:
    x, y = start.x + BOX_WIDTH, start.y + BOX_HEIGHT / 2
    far, low = end.x, end.y + BOX_HEIGHT / 2
    bend = min((far - x) / 2, COLUMN / 2)
    curve = f"M{x:g} {y:g}C{x + bend:g} {y:g} {far - bend:g} {low:g} {far:g} {low:g}"
    path = Xml.SubElement(svg, "path", d=curve, fill="none", stroke="#555555")
    path.set("stroke-opacity", "0.45")


def _task(svg: Xml.Element, number: int, task: Task, box: _Box) -> None:
    group = Xml.SubElement(svg, "g")
    tip = f"task {number}: {task.phase}, {task.nodes} nodes, {task.flops:.3g} FLOPs, "
    tip += f"{in_bytes(task.peak_bytes)}, about {duration(task.estimated_s)}"
    Xml.SubElement(group, "title").text = _plain(tip)
    rect = Xml.SubElement(group, "rect", x=f"{box.x:g}", y=f"{box.y:g}", rx="5")
    rect.set("width", f"{BOX_WIDTH}")
    rect.set("height", f"{BOX_HEIGHT}")
    rect.set("fill", FILLS.get(task.phase, OTHER_FILL))
    rect.set("stroke", "#555555")
    _text(group, box.x + 8, box.y + 16, f"{number} {task.phase}", bold=True)
    size = f"{duration(task.estimated_s)}, {in_bytes(task.peak_bytes)}"
    _text(group, box.x + 8, box.y + 32, size)


def _legend(svg: Xml.Element, tasks: Sequence[Task], y: float) -> None:
    x = float(MARGIN)
    for phase in dict.fromkeys(task.phase for task in tasks):
        swatch = Xml.SubElement(svg, "rect", x=f"{x:g}", y=f"{y - 10:g}", width="14", height="14")
        swatch.set("fill", FILLS.get(phase, OTHER_FILL))
        swatch.set("stroke", "#555555")
        count = sum(task.phase == phase for task in tasks)
        _text(svg, x + 20, y + 2, f"{phase} ({count})")
        x += 140


def _text(
    parent: Xml.Element, x: float, y: float, text: str, *, bold: bool = False, fill: str = "#222222"
) -> None:
    element = Xml.SubElement(parent, "text", x=f"{x:g}", y=f"{y:g}", fill=fill)
    if bold:
        element.set("font-weight", "bold")
    plain = _plain(text)
    element.text = plain if len(plain) <= _LONGEST_LINE else f"{plain[: _LONGEST_LINE - 1]}…"


def in_bytes(size: float) -> str:
    """A size in the unit it is read best in."""
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size:.0f} B"


def _plain(text: str) -> str:
    """The text without what XML has no place for."""
    return "".join(c if c.isprintable() else " " for c in text)
