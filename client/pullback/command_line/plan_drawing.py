"""A plan as an SVG picture, written with the standard library (docs/decisions/0021, 0043).

What a server says is text and never markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from math import log2
from typing import NamedTuple
from xml.etree import ElementTree as Xml

from pullback.command_line.plan_layout import (
    ALL_LANES,
    BOX_HEIGHT,
    BOX_WIDTH,
    COLUMN,
    MARGIN,
    ROW_GAP,
    Box,
    Edge,
    Lane,
    Layout,
    lay_out,
)
from pullback.remote.descriptions import PlanReport, Prediction, Task
from pullback_graph.quantities import counted, duration, in_bytes, in_flops

HEAD_LINE = 20
FILLS = {
    "forward": "#cfe3f7",
    "backward": "#f9d9c3",
    "fused": "#dcd3ee",
    "reduce": "#d3ead2",
}
OTHER_FILL = "#e6e6e6"
"""Of a phase without a name here: a newer server's."""
MEANINGS = {
    "fused": "fused: forward and backward in one",
    "reduce": "reduce: sums or joins what others found",
}
_HINT = (
    "A box reads from those left of it; its time is predicted, its memory the most it needs. "
    "A lane's tasks go to one worker where they can."
)
_HEADS = ("workers", "time", "moved between workers", "peak memory of a worker")
_ENDS = (50, 130, 280, 440)
"""Where the columns of the table of predictions end, behind the margin."""
_LONGEST_LINE = 150
_LETTER = 6.6
"""Width of a letter, about, and of nearly all text at most."""
_LINE, _TEXT, _FAINT = "#555555", "#222222", "#666666"


class _Style(NamedTuple):
    """How text is set."""

    bold: bool = False
    fill: str = _TEXT
    ends: bool = False


_PLAIN = _Style()


def draw_plan(report: PlanReport) -> str:
    """The picture of a plan, as the text of an SVG file."""
    tasks = report.tasks
    head, table = [*_head(report)], [*_table(report.predictions)]
    top = MARGIN + HEAD_LINE * (len(head) + len(table) + 3.4)
    layout = lay_out(tasks, top=top)
    letters = min(max(map(len, [*head, _HINT])), _LONGEST_LINE)
    width = max(layout.width, 2 * MARGIN + letters * _LETTER, 900)
    svg = Xml.Element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {layout.height:g}",
        width=f"{width:g}",
        height=f"{layout.height:g}",
    )
    svg.set("font-family", "Helvetica, Arial, sans-serif")
    svg.set("font-size", "12")
    Xml.SubElement(svg, "rect", width="100%", height="100%", fill="white")
    _draw_head(svg, head, table)
    _legend(svg, tasks, top - HEAD_LINE * 2.5)
    _text(svg, MARGIN, top - HEAD_LINE * 1.2, _hint(layout), _Style(fill=_FAINT))
    for lane in layout.lanes:
        _lane(svg, lane, width)
    for edge in layout.edges:
        _edge(svg, layout.boxes[edge.start], layout.boxes[edge.end], edge)
    for box in layout.boxes:
        _box(svg, box, [tasks[number] for number in box.tasks])
    Xml.indent(svg)
    return Xml.tostring(svg, encoding="unicode") + "\n"


def _head(report: PlanReport) -> Iterator[str]:
    """What is said above the picture."""
    yield f"split {report.split}, {counted(len(report.tasks), 'task')}"
    yield report.split_reason
    yield (
        f"{counted(report.nodes, 'node')}, {in_flops(report.flops)}, "
        f"about {duration(report.estimated_s)} on one core"
        f"{f' ({report.rates})' if report.rates else ''}; "
        f"largest task {in_bytes(report.peak_bytes)}, inputs {in_bytes(report.input_bytes)}"
    )


def _hint(layout: Layout) -> str:
    """How to read the picture, and what it leaves out."""
    omitted = layout.omitted
    return f"The last {counted(omitted, 'task')} are left out. {_HINT}" if omitted else _HINT


def _table(predictions: Sequence[Prediction]) -> Iterator[tuple[str, ...]]:
    """Predictions for numbers of workers, up to the last one that changes anything."""
    rows = [
        (
            str(item.workers),
            duration(item.estimated_s),
            in_bytes(item.moved_bytes),
            in_bytes(item.worker_bytes),
        )
        for item in predictions
    ]
    if rows:
        yield _HEADS
    for _, alike in groupby(rows, key=lambda row: row[1:]):
        yield next(alike)


# --- what is drawn --------------------------------------------------------------------------------


def _draw_head(svg: Xml.Element, head: Sequence[str], table: Sequence[Sequence[str]]) -> None:
    for line, text in enumerate(head):
        _text(svg, MARGIN, MARGIN + HEAD_LINE * line, text, _Style(bold=line == 0))
    for line, row in enumerate(table):
        y = MARGIN + HEAD_LINE * (len(head) + line + 0.4)
        for cell, end in zip(row, _ENDS, strict=True):
            _text(svg, MARGIN + end, y, cell, _Style(fill=_TEXT if line else _FAINT, ends=True))


def _lane(svg: Xml.Element, lane: Lane, width: float) -> None:
    band = Xml.SubElement(svg, "rect", x=f"{MARGIN}", y=f"{lane.top:g}", rx="6", fill="#f6f6f6")
    band.set("width", f"{width - 2 * MARGIN:g}")
    band.set("height", f"{lane.height:g}")
    title = "all lanes" if lane.home == ALL_LANES else f"lane {lane.home}"
    title = "any" if lane.home == -1 else title
    _text(svg, MARGIN + 8, lane.top + lane.height / 2 + 4, title, _Style(fill=_FAINT))


def _edge(svg: Xml.Element, start: Box, end: Box, edge: Edge) -> None:
    x, y = start.x + BOX_WIDTH, start.y + BOX_HEIGHT / 2
    far, low = end.x, end.y + BOX_HEIGHT / 2
    bend = (COLUMN - BOX_WIDTH) / 2
    if end.column - start.column < 2:
        curve = f"M{x:g} {y:g}C{x + bend:g} {y:g} {far - bend:g} {low:g} {far:g} {low:g}"
    else:  # below the row it ends in, so that it passes behind no box
        under = end.y + BOX_HEIGHT + ROW_GAP / 2
        leaves, arrives = x + 2 * bend, far - 2 * bend
        curve = (
            f"M{x:g} {y:g}C{x + bend:g} {y:g} {leaves - bend:g} {under:g} {leaves:g} {under:g}"
            f"H{arrives:g}C{arrives + bend:g} {under:g} {far - bend:g} {low:g} {far:g} {low:g}"
        )
    path = Xml.SubElement(svg, "path", d=curve, fill="none", stroke=_LINE)
    path.set("stroke-opacity", "0.5")
    path.set("stroke-width", f"{1 + log2(edge.pairs) / 3:.3g}")


def _box(svg: Xml.Element, box: Box, tasks: Sequence[Task]) -> None:
    group = Xml.SubElement(svg, "g")
    first, count = tasks[0], len(tasks)
    Xml.SubElement(group, "title").text = _plain(_tip(box, tasks))
    for behind in (6, 3, 0) if count > 1 else (0,):
        rect = Xml.SubElement(group, "rect", x=f"{box.x + behind:g}", y=f"{box.y + behind:g}")
        rect.set("rx", "5")
        rect.set("width", f"{BOX_WIDTH}")
        rect.set("height", f"{BOX_HEIGHT}")
        rect.set("fill", FILLS.get(first.phase, OTHER_FILL))
        rect.set("stroke", _LINE)
    title = f"{count} × {first.phase}" if count > 1 else f"{box.tasks[0]} {first.phase}"
    _text(group, box.x + 8, box.y + 16, title, _Style(bold=True))
    size = f"{duration(_most_s(tasks))}, {in_bytes(_most_bytes(tasks))}"
    _text(group, box.x + 8, box.y + 32, size + (" each" if count > 1 else ""))


def _tip(box: Box, tasks: Sequence[Task]) -> str:
    """What a box says when it is pointed at."""
    first, own = tasks[0], ", ".join(map(str, box.tasks[:20]))
    tasks_of = f"task {own}" if len(tasks) == 1 else f"tasks {own}"
    more = f" and {len(tasks) - 20} more" if len(tasks) > 20 else ""
    return (
        f"{tasks_of}{more}: {first.phase}, {counted(first.nodes, 'node')}, "
        f"{in_flops(max(task.flops for task in tasks))}, {in_bytes(_most_bytes(tasks))}, "
        f"about {duration(_most_s(tasks))}"
    )


def _most_s(tasks: Sequence[Task]) -> float:
    return max(task.estimated_s for task in tasks)


def _most_bytes(tasks: Sequence[Task]) -> float:
    return max(task.peak_bytes for task in tasks)


def _legend(svg: Xml.Element, tasks: Sequence[Task], y: float) -> None:
    x = float(MARGIN)
    for phase in dict.fromkeys(task.phase for task in tasks):
        swatch = Xml.SubElement(svg, "rect", x=f"{x:g}", y=f"{y - 11:g}", width="14", height="14")
        swatch.set("fill", FILLS.get(phase, OTHER_FILL))
        swatch.set("stroke", _LINE)
        count = sum(task.phase == phase for task in tasks)
        told = f"{MEANINGS.get(phase, phase)} ({count})"
        _text(svg, x + 20, y, told)
        x += 50 + len(told) * _LETTER


def _text(parent: Xml.Element, x: float, y: float, text: str, style: _Style = _PLAIN) -> None:
    element = Xml.SubElement(parent, "text", x=f"{x:g}", y=f"{y:g}", fill=style.fill)
    if style.bold:
        element.set("font-weight", "bold")
    if style.ends:
        element.set("text-anchor", "end")
    plain = _plain(text)
    element.text = plain if len(plain) <= _LONGEST_LINE else f"{plain[: _LONGEST_LINE - 1]}…"


def _plain(text: str) -> str:
    """The text without what XML has no place for."""
    return "".join(c if c.isprintable() else " " for c in text)
