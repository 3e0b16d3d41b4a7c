"""Makes the stubs beside their `.proto` files, or with `--check` says which have drifted.

The generator lives in a venv of its own, `.venv-proto` (`make` sets it up): it is pinned to the
oldest protobuf and grpcio the project supports, because stubs refuse a runtime older than what
generated them, while a runtime takes stubs of its own and of the previous major release.
"""

from __future__ import annotations

import argparse
import difflib
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

PROTO = Path(__file__).resolve().parent
ROOT = PROTO.parent
VENV = ROOT / ".venv-proto"
PACKAGE = "pullback_proto"
STUBS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py")
DIFF_LINES = 12


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the stubs, or compare them: 1 if any has drifted, with what changed on stdout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only, change nothing")
    parser.add_argument("--source", type=Path, default=PROTO, help="folder of the .proto files")
    parser.add_argument("--out", type=Path, default=PROTO, help="folder of the stubs")
    options = parser.parse_args(arguments)
    enter_venv()
    if not options.check:
        generate(options.source, options.out)
        return 0
    with tempfile.TemporaryDirectory() as fresh:
        generate(options.source, Path(fresh))
        drift = differences(Path(fresh), options.out)
    print(*(drift or ["stubs: none drifted"]), sep="\n")
    return 1 if drift else 0


def enter_venv() -> None:
    """Go on in the generator's venv, made first if it is missing; return where already in it."""
    if Path(sys.prefix).resolve() == VENV.resolve():
        return
    subprocess.run(["make", "--silent", ".venv-proto/.ready"], cwd=ROOT, check=True)
    python = VENV / "bin" / "python"
    os.execv(python, [str(python), *sys.argv])


def generate(source: Path, out: Path) -> None:
    """Write the stubs of every `.proto` file under `source` to `out`, laid out alike.

    Raises:
        SystemExit: protoc failed; it has printed the file, the line and the fault.
    """
    out.mkdir(parents=True, exist_ok=True)
    files = proto_files(source)
    services = [file for file in files if "\nservice " in (source / file).read_text()]
    _protoc(source, files, f"--python_out={out}", f"--pyi_out={out}")
    _protoc(source, services, f"--grpc_python_out={out}")


def proto_files(source: Path) -> list[str]:
    """The `.proto` files under `source`, as paths from it, sorted."""
    return sorted(
        path.relative_to(source).as_posix() for path in source.glob(f"{PACKAGE}/**/*.proto")
    )


def differences(fresh: Path, committed: Path) -> list[str]:
    """What differs between two folders of stubs: a line per file, with the head of its diff."""
    new, old = _read(fresh), _read(committed)
    drifted = sorted(path for path in new.keys() | old.keys() if new.get(path) != old.get(path))
    return [line for path in drifted for line in _summary(path, old.get(path), new.get(path))]


def _protoc(source: Path, files: Sequence[str], *outputs: str) -> None:
    includes = [f"-I{source}", f"-I{sysconfig.get_path('purelib')}"]
    command = [sys.executable, "-m", "grpc_tools.protoc", *includes, *outputs, *files]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit("protoc failed, see above")


def _read(folder: Path) -> dict[str, list[str]]:
    paths = (path for pattern in STUBS for path in folder.glob(f"{PACKAGE}/**/{pattern}"))
    return {path.relative_to(folder).as_posix(): path.read_text().splitlines() for path in paths}


def _summary(path: str, old: list[str] | None, new: list[str] | None) -> list[str]:
    if old is None:
        return [f"{path}: missing; run `make proto` and commit it"]
    if new is None:
        return [f"{path}: no longer generated; remove it"]
    diff = [
        line for line in difflib.unified_diff(old, new, n=0) if line[:2] not in ("--", "++", "@@")
    ]
    head = [f"    {line[:96]}" for line in diff[:DIFF_LINES]]
    return [f"{path}: {len(diff)} lines differ; run `make proto` and commit it", *head]


if __name__ == "__main__":
    sys.exit(main())
