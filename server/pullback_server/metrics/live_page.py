"""The live page: its markup, style and script put into one document that loads nothing else."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def live_page() -> bytes:
    """The page as UTF-8 HTML."""
    folder = files(__package__) / "page"
    page = (folder / "page.html").read_text("utf-8")
    for name in ("page.css", "numbers.js", "charts.js", "page.js"):
        page = page.replace(f"{{{{{name}}}}}", (folder / name).read_text("utf-8"))
    return page.encode()
