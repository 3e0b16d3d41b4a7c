"""Line charts as SVG text, axes linear or logarithmic: the same text for the same figures.

Plotting libraries write dates, random identifiers and fonts into their SVG; these files are
reviewed and compared like the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from typing import TypeAlias

WIDTH, HEIGHT = 560, 340
LEFT, RIGHT, TOP, BOTTOM = 84, 44, 40, 60
STEPS = 5
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b")
FONT = 'font-family="sans-serif" font-size="12"'

Points: TypeAlias = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Axis:
    """What is drawn along one side, from the least to the most; logarithmic where it says so."""

    label: str
    least: float
    most: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Where a value is, from 0 to 1."""
        low, high, value = (
            log10(v) if self.logarithmic else v for v in (self.least, self.most, value)
        )
        return (value - low) / (high - low) if high > low else 0.5

    def ticks(self) -> Iterator[float]:
        """Values to name: powers of ten, or even steps of a round size."""
        if self.logarithmic:
            yield from (
                10.0**k
                for k in range(floor(log10(self.least)), ceil(log10(self.most)) + 1)
                if self.least <= 10.0**k <= self.most
            )
            return
        step = _step(self.most - self.least)
        yield from (
            self.least + step * k for k in range(round((self.most - self.least) / step) + 1)
        )


def axis_of(
    label: str, values: Sequence[float], *, logarithmic: bool, from_zero: bool = False
) -> Axis:
    """An axis that holds the values and ends at powers of ten, or at round steps."""
    if logarithmic:
        low, high = floor(log10(min(values))), ceil(log10(max(values)))
        return Axis(label, 10.0**low, 10.0 ** max(high, low + 1), logarithmic=True)
    low_end, high_end = 0.0 if from_zero else min(values), max(values)
    step = _step(high_end - low_end)
    return Axis(label, step * floor(low_end / step), step * ceil(high_end / step))


def _step(span: float) -> float:
    """One, two or five times a power of ten, so that there are about STEPS of them in the span."""
    least = (span or 1.0) / STEPS
    power = 10.0 ** floor(log10(least))
    return next(power * times for times in (1.0, 2.0, 5.0, 10.0) if power * times >= 0.999 * least)


def _named(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:g}"


def line_chart(title: str, across: Axis, up: Axis, lines: Mapping[str, Points]) -> str:
    """The chart of named lines."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(WIDTH / 2, 20, title, "middle"),
        *_frame(across, up),
        *(
            part
            for number, line in enumerate(lines.items())
            for part in _line(number, line, across, up)
        ),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _frame(across: Axis, up: Axis) -> Iterator[str]:
    for value in across.ticks():
        x = _x(across, value)
        yield f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>'
        yield _text(x, HEIGHT - BOTTOM + 16, _named(value), "middle")
    for value in up.ticks():
        y = _y(up, value)
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>'
        yield _text(LEFT - 6, y + 4, _named(value), "end")
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 36, across.label, "middle")
    yield _text(LEFT, TOP - 6, up.label, "start")


def _line(number: int, line: tuple[str, Points], across: Axis, up: Axis) -> Iterator[str]:
    name, points = line
    colour = COLOURS[number % len(COLOURS)]
    places = [(_x(across, x), _y(up, y)) for x, y in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places)
    x = LEFT + 10 + number * 120
    yield f'<rect x="{x}" y="{HEIGHT - 16}" width="10" height="10" fill="{colour}"/>'
    yield _text(x + 14, HEIGHT - 7, name, "start")


def _x(axis: Axis, value: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * axis.place(value)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * axis.place(value)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {FONT}>{escape(text)}</text>'
