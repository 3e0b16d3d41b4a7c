"""What `import pullback` costs: nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("ray", "jax", "numba")

# Run in a fresh interpreter, since this one has long imported everything.
PROBE = """
import sys
import {module}
print(*sorted({{name.partition(".")[0] for name in sys.modules}} & set({heavy!r})))
"""


def heavy_imports(module: str) -> list[str]:
    """The heavy libraries that a fresh interpreter holds after `import module`."""
    probe = PROBE.format(module=module, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_importing_pullback_loads_nothing_heavy():
    """`import pullback` loads neither Ray nor JAX nor numba."""
    assert heavy_imports("pullback") == []


@pytest.mark.parametrize("module", ["ray", "jax"])
def test_a_heavy_import_is_caught(module: str):
    """The check above can fail: a module that imports a heavy library is reported."""
    assert module in heavy_imports(module)
