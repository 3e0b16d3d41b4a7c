"""What the guides show is so: links lead somewhere, graphs parse, flags exist."""

from __future__ import annotations

import re
from inspect import signature
from pathlib import Path

import pytest

from pullback_graph.text import parse
from pullback_server.command import serve

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
GRAPH = re.compile(r"^graph\(.*?^}$", re.MULTILINE | re.DOTALL)
FLAG = re.compile(r"`(--[a-z-]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    """A relative link names a file or folder of the repository."""
    text = page.read_text()
    assert [path for path in LINK.findall(text) if not (page.parent / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_graphs_parse(page):
    """Every graph a guide shows is one, and prints to something that parses to it again."""
    for text in GRAPH.findall(page.read_text()):
        graph = parse(text)
        assert parse(str(graph)) == graph


def test_flags_of_the_operations_guide_exist():
    """Each flag is one of `pullback serve`."""
    flags = {"--" + name.replace("_", "-") for name in signature(serve).parameters}
    text = (ROOT / "docs" / "operations.md").read_text()
    assert set(FLAG.findall(text)) - {"--help"} <= flags
