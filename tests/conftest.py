"""What every test runs under: JAX on the CPU in float64, Hypothesis repeatable and untimed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Read when JAX is first imported: the oracle works in the precision under test.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_ENABLE_X64", "1")

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("slow", deadline=None, max_examples=2000)
settings.load_profile("repeatable")

SYSTEM_TESTS = Path(__file__).parent / "system"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in tests/system, so that `-m "not system"` leaves the pure tests."""
    for item in items:
        if SYSTEM_TESTS in item.path.parents:
            item.add_marker(pytest.mark.system)
