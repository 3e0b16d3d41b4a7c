"""What `import pullback` offers, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pullback as pb
from pullback_graph.errors import ERRORS


def test_all_is_what_there_is():
    """`__all__` is sorted, without repeats, and every name is there."""
    assert len(set(pb.__all__)) == len(pb.__all__)
    assert all(hasattr(pb, name) for name in pb.__all__)


def test_nothing_else_is_public():
    """What is neither exported nor a submodule is not visible."""
    public = {name for name in vars(pb) if not name.startswith("_")}
    submodules = {name for name in public if f"pullback.{name}" in sys.modules}
    assert public - submodules <= set(pb.__all__)


def test_every_error_is_exported():
    """Each class of the error tree can be caught by a name of the package."""
    assert {name: getattr(pb, name) for name in ERRORS} == ERRORS


def test_the_names_of_the_design():
    """The calls that the documentation shows exist."""
    for name in [
        "trace",
        "parse",
        "grad",
        "value_and_grad",
        "jacobian",
        "hessian",
        "vjp",
        "jvp",
        "hvp",
        "vmap",
        "check_gradient",
        "local",
        "connect",
        "aconnect",
        "Graph",
        "Job",
        "Result",
        "Options",
    ]:
        assert name in pb.__all__
    for verb in [
        "evaluate",
        "map",
        "value_and_grad",
        "grad",
        "jacobian",
        "hessian",
        "vjp",
        "jvp",
        "hvp",
        "put_tensor",
    ]:
        assert callable(getattr(pb.LocalService, verb))


LIGHT = ("scipy", "grpc", "google.protobuf", "pullback_proto", "rich", "ray", "jax", "typer")
PROBE = """
import sys
import pullback
import pullback.numpy
print(*sorted(set({names!r}) & set(sys.modules)))
"""


def test_importing_is_light():
    """Neither the wire nor SciPy nor anything heavy is loaded before it is needed."""
    probe = PROBE.format(names=LIGHT)
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
