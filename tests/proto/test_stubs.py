"""The committed stubs import, as they are installed, on every runtime the project supports."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest

from tests.proto.schema import PROTO, stub_modules

MESSAGES = stub_modules(pattern="*_pb2.py")
SERVICES = stub_modules(pattern="*_pb2_grpc.py")
STUBS = [PROTO / (name.replace(".", "/") + ".py") for name in MESSAGES + SERVICES]
PROJECT = tomllib.loads((PROTO.parent / "pyproject.toml").read_text())

# Run in a fresh interpreter, since this one has long imported everything.
PROBE = """
import sys
{imports}
print("grpc" in sys.modules)
"""


def loads_grpc(modules: list[str]) -> str:
    """`True` or `False`: whether a fresh interpreter holds grpc after importing `modules`."""
    probe = PROBE.format(imports="\n".join(f"import {name}" for name in modules))
    command = [sys.executable, "-W", "error", "-c", probe]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def floors() -> dict[str, tuple[int, ...]]:
    """The oldest supported release by distribution, from the project's requirements."""
    project = PROJECT["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["server"]
    return {
        name: version(floor)
        for name, floor in re.findall(r"^(\S+?)>=([\d.]+)", "\n".join(lines), re.M)
    }


def version(text: str) -> tuple[int, ...]:
    """A release as numbers."""
    return tuple(map(int, text.split(".")))


def generator_versions(pattern: str) -> set[tuple[int, ...]]:
    """What the stubs say of the release that generated them."""
    found = (re.search(pattern, path.read_text()) for path in STUBS)
    return {version(match[1]) for match in found if match}


def test_there_are_stubs():
    """The lists the other tests go through are not empty."""
    assert "pullback_proto.v1.job_pb2" in MESSAGES
    assert "pullback_proto.internal.v1.dispatch_pb2" in MESSAGES
    assert "pullback_proto.v1.service_pb2_grpc" in SERVICES


def test_messages_import_without_grpc():
    """The graph language reads messages and knows no transport; no import warns either."""
    assert loads_grpc(MESSAGES) == "False"


def test_services_import_with_grpc():
    """And so the test above can fail: the same probe sees grpc where it is loaded."""
    assert loads_grpc(SERVICES) == "True"


@pytest.mark.parametrize("path", STUBS, ids=lambda path: path.stem)
def test_stubs_name_each_other_by_package(path):
    """A bare `import job_pb2` would need the stubs' own folder on the path."""
    assert not re.findall(r"^import \w+_pb2", path.read_text(), re.M)


def test_the_oldest_supported_runtimes_take_the_stubs():
    """Stubs refuse a runtime older than their generator, so no floor lies below it."""
    (protobuf,) = generator_versions(r"Protobuf Python Version: ([\d.]+)")
    (grpcio,) = generator_versions(r"GRPC_GENERATED_VERSION = '([\d.]+)'")
    oldest = floors()
    grpc_floors = {name: floor for name, floor in oldest.items() if name.startswith("grpcio")}
    assert len(grpc_floors) == 4
    assert (*oldest["protobuf"], 0)[:3] >= protobuf
    assert set(grpc_floors.values()) == {grpcio}
