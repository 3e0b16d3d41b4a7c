"""The generator makes what is committed, and its check sees a change of source or of stub."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.proto.schema import PROTO, stub_modules

ROOT = PROTO.parent
PYTHON = ROOT / ".venv-proto" / "bin" / "python"

# Where the generator's venv is missing, it is made first, which takes a package index.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of the generator's venv."""
    if not PYTHON.exists():
        subprocess.run(["make", "--silent", ".venv-proto/.ready"], cwd=ROOT, check=True)
    return PYTHON


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of proto/ to change."""
    return Path(shutil.copytree(PROTO, tmp_path / "proto"))


def check(python: Path, tree: Path) -> tuple[int, str]:
    """Exit status and output of `generate.py --check` on a tree."""
    generator = PROTO / "generate.py"
    command = [str(python), str(generator), "--check", f"--source={tree}", f"--out={tree}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text that stands in a file exactly once."""
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_what_is_committed_is_what_is_generated(python, tree):
    """The stubs are those of the `.proto` files beside them."""
    assert check(python, tree) == (0, "stubs: none drifted\n")


def test_a_changed_source_is_drift(python, tree):
    """A field added to a `.proto` file without `make proto` is reported with what differs."""
    edit(
        tree / "pullback_proto/v1/tensor.proto",
        "bytes data = 3;\n",
        "bytes data = 3; bool x = 9;\n",
    )
    status, output = check(python, tree)
    assert status == 1
    assert "pullback_proto/v1/tensor_pb2.py: " in output
    assert "pullback_proto/v1/tensor_pb2.pyi: " in output
    assert "+    x: bool" in output
    assert "graph_pb2" not in output


def test_an_edited_a_missing_and_a_left_over_stub_are_drift(python, tree):
    """Each is named with what to do about it."""
    folder = tree / "pullback_proto/v1"
    edit(folder / "tape_pb2.py", "# NO CHECKED-IN PROTOBUF GENCODE\n", "")
    (folder / "plan_pb2.pyi").unlink()
    shutil.copy(folder / "job_pb2.py", folder / "old_pb2.py")
    status, output = check(python, tree)
    assert status == 1
    assert "v1/tape_pb2.py: 1 lines differ; run `make proto`" in output
    assert "v1/plan_pb2.pyi: missing; run `make proto`" in output
    assert "v1/old_pb2.py: no longer generated; remove it" in output


def test_a_broken_source_fails(python, tree):
    """The fault is shown with its file and line, and the check does not pass."""
    edit(tree / "pullback_proto/v1/tensor.proto", "bytes data = 3;\n", "bytes data = 2;\n")
    status, output = check(python, tree)
    assert status == 1
    assert "pullback_proto/v1/tensor.proto:" in output
    assert "protoc failed" in output


def test_the_oldest_runtimes_import_the_stubs(python):
    """The generator's venv holds the oldest supported protobuf and grpcio."""
    imports = [f"import {name}" for name in stub_modules() + stub_modules(pattern="*_pb2_grpc.py")]
    program = f"import sys; sys.path.insert(0, {str(PROTO)!r})\n" + "\n".join(imports)
    subprocess.run([python, "-W", "error", "-B", "-c", program], check=True)
