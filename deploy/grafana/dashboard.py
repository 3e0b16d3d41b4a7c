"""The dashboard's table as Grafana's JSON: writes dashboards/pullback.json.

Run it after a change, from the root: `python -m deploy.grafana.dashboard`; `--check` only compares.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from deploy.grafana.panel import Panel
from deploy.grafana.rows import ROWS

FILE = Path(__file__).resolve().parent / "dashboards" / "pullback.json"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24

COLOURS = {
    "outcome": {
        "ok": "green",
        "internal": "dark-red",
        "unavailable": "orange",
        "deadline_exceeded": "yellow",
        "resource_exhausted": "purple",
        "invalid_argument": "blue",
        "cancelled": "text",
    },
    "phase": {
        "queued": "text",
        "planning": "purple",
        "compiling": "yellow",
        "forward": "blue",
        "backward": "semi-dark-red",
        "fused": "super-light-blue",
        "reducing": "green",
        "transferring": "orange",
    },
    "state": {"queued": "text", "planning": "purple", "running": "green"},
}
"""Label values that keep one colour over all panels, so that the eye finds them again."""


def dashboard() -> dict[str, Any]:
    """The dashboard, as Grafana provisions it."""
    return {
        "uid": "pullback",
        "title": "Pullback",
        "description": "Throughput, latency and health of servers. Written by dashboard.py.",
        "tags": ["pullback"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": list(_variables())},
        "panels": list(_panels()),
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Source", "type": "datasource", "query": "prometheus"}
    for name, label, query in (
        ("job", "Job", "label_values(pullback_build_info, job)"),
        ("instance", "Server", 'label_values(pullback_build_info{job=~"$job"}, instance)'),
    ):
        yield {
            "name": name,
            "label": label,
            "type": "query",
            "datasource": DATASOURCE,
            "query": {"query": query, "refId": name},
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "current": {"text": "All", "value": "$__all"},
        }


def _panels() -> Iterator[dict[str, Any]]:
    """Row headings and panels, placed from left to right and top to bottom."""
    y = number = 0
    for heading, panels in ROWS:
        number += 1
        place = {"x": 0, "y": y, "w": WIDTH, "h": 1}
        yield {"id": number, "type": "row", "title": heading, "collapsed": False, "gridPos": place}
        y, x = y + 1, 0
        for panel in panels:
            number += 1
            if x + panel.width > WIDTH:
                x, y = 0, y + panel.height
            place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
            yield {"id": number, "gridPos": place, **_panel(panel)}
            x += panel.width
        y += panels[-1].height


def _panel(panel: Panel) -> dict[str, Any]:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "targets": list(_targets(panel)),
        "fieldConfig": {"defaults": _defaults(panel), "overrides": list(_overrides(panel))},
        "options": OPTIONS[panel.kind](panel),
    }


def _targets(panel: Panel) -> Iterator[dict[str, Any]]:
    for letter, (query, legend) in zip("ABCDEF", panel.queries, strict=False):
        yield {
            "refId": letter,
            "datasource": DATASOURCE,
            "expr": query,
            "legendFormat": legend,
            "format": "heatmap" if panel.kind == "heatmap" else "time_series",
            "range": True,
        }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps = [
        {"color": "green", "value": None},
        *({"color": colour, "value": value} for value, colour in panel.steps),
    ]
    mappings = [
        {"type": "value", "options": {value: {"text": text, "color": colour}}}
        for value, (text, colour) in panel.names.items()
    ]
    return {
        "unit": panel.unit,
        "min": 0,
        **({} if panel.maximum is None else {"max": panel.maximum}),
        "mappings": mappings,
        "color": {"mode": "thresholds" if panel.kind == "stat" else "palette-classic"},
        "thresholds": {"mode": "absolute", "steps": steps},
        "custom": _drawing(panel) if panel.kind == "timeseries" else {},
    }


def _drawing(panel: Panel) -> dict[str, Any]:
    return {
        "lineWidth": 1,
        "fillOpacity": 35 if panel.stack else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": panel.stack or "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if panel.steps else "off"},
    }


def _overrides(panel: Panel) -> Iterator[dict[str, Any]]:
    """Colours of label values; those that did not occur are kept out of the legend."""
    label = panel.queries[0][1].strip("{}")
    for name, colour in COLOURS.get(label, {}).items():
        yield {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }
    if panel.kind == "timeseries" and "{{" in panel.queries[0][1]:
        hidden = {"legend": True, "tooltip": True, "viz": False}
        yield {
            "matcher": {
                "id": "byValue",
                "options": {"reducer": "allIsZero", "op": "gte", "value": 0},
            },
            "properties": [{"id": "custom.hideFrom", "value": hidden}],
        }


def _timeseries_options(panel: Panel) -> dict[str, Any]:
    order = "desc" if panel.stack else "none"
    legend = {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []}
    return {"legend": legend, "tooltip": {"mode": "multi", "sort": order}}


def _stat_options(panel: Panel) -> dict[str, Any]:
    """The figure over its course; where the legend holds labels, the labels instead."""
    text = ("name", "none") if "{{" in panel.queries[0][1] else ("value", "area")
    reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    return {
        "reduceOptions": reduce,
        "colorMode": "value",
        "textMode": text[0],
        "graphMode": text[1],
    }


def _heatmap_options(panel: Panel) -> dict[str, Any]:
    return {
        "calculate": False,
        "cellGap": 0,
        "color": {"mode": "scheme", "scheme": "Spectral", "steps": 64, "reverse": True},
        "yAxis": {"unit": panel.unit, "axisPlacement": "left"},
        "tooltip": {"mode": "single", "yHistogram": True},
        "legend": {"show": False},
    }


OPTIONS = {
    "timeseries": _timeseries_options,
    "stat": _stat_options,
    "heatmap": _heatmap_options,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the JSON, or with `--check` compare it; 1 if it has drifted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only, change nothing")
    parser.add_argument("--out", type=Path, default=FILE, help="file to write or compare")
    options = parser.parse_args(arguments)
    text = json.dumps(dashboard(), indent=1) + "\n"
    if options.check:
        same = options.out.is_file() and options.out.read_text("utf-8") == text
        sys.stdout.write(f"{options.out.name}: {'up to date' if same else 'drifted; run me'}\n")
        return 0 if same else 1
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
