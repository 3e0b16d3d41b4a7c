"""What the graph room shows: its names, and that importing it stays light."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pullback_graph
from pullback_graph import codec, text
from pullback_graph.errors import ERRORS

PROBE = "import sys, {module}; print('google.protobuf' in sys.modules)"


def loads_protobuf(module: str) -> bool:
    """Whether a fresh interpreter holds protobuf after importing a module."""
    command = [sys.executable, "-c", PROBE.format(module=module)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip() == "True"


@pytest.mark.parametrize("module", [pullback_graph, codec, text], ids=lambda m: m.__name__)
def test_every_exported_name_is_there(module) -> None:
    """`__all__` lists names that exist, each once."""
    assert len(set(module.__all__)) == len(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)


def test_every_error_is_exported() -> None:
    """The whole error tree can be caught by names from the room's surface."""
    assert set(ERRORS) <= set(pullback_graph.__all__)


def test_only_the_codec_loads_protobuf() -> None:
    """The language alone needs no protobuf; the codec does, so the probe can tell."""
    assert not loads_protobuf("pullback_graph")
    assert not loads_protobuf("pullback_graph.text")
    assert loads_protobuf("pullback_graph.codec")


@pytest.mark.parametrize("package", ["vmap", "derivative", "recompute", "rewrite", "tape"])
def test_a_package_can_be_the_first_to_be_imported(package: str) -> None:
    """None needs another to be there before it."""
    command = [sys.executable, "-c", f"import pullback_graph.{package}"]
    subprocess.run(command, check=True)
