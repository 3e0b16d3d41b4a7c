"""Every generated file of the repository, one row each, and the check that none has drifted.

A row's files are made into an empty folder laid out as the repository, so that a check never
touches the work tree and a file that is no longer generated shows as well.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Generated:
    """One row: a set of committed files and what makes them.

    Attributes:
        name: as the command line names it.
        files: glob patterns from the root; everything they match is generated.
        make: writes the files under the folder it is given, laid out as the repository.
    """

    name: str
    files: tuple[str, ...]
    make: Callable[[Path], None]


def make_stubs(root: Path) -> None:
    """Write the protobuf stubs; the generator finds, or makes, a venv of its own.

    Raises:
        SystemExit: the generator failed; it has printed why.
    """
    command = [sys.executable, str(ROOT / "proto" / "generate.py"), "--out", str(root / "proto")]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit("proto/generate.py failed, see above")


def make_dashboard(root: Path) -> None:
    """Write the Grafana dashboard from its table of panels."""
    _run_module("deploy.grafana.dashboard", root / "deploy/grafana/dashboards/pullback.json")


def make_metrics_reference(root: Path) -> None:
    """Write the reference of all metrics from their table."""
    _run_module("deploy.metrics_reference", root / "deploy/METRICS.md")


def _run_module(module: str, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", module, "--out", str(out)]
    if subprocess.run(command, check=False, cwd=ROOT).returncode:
        raise SystemExit(f"{module} failed, see above")


def _pages() -> ModuleType:
    """docs/pages.py, loaded only when a page is made: it imports the whole project."""
    sys.path.insert(0, str(ROOT / "docs"))
    return import_module("pages")


TABLE: tuple[Generated, ...] = (
    Generated(
        name="stubs",
        files=("proto/**/*_pb2.py", "proto/**/*_pb2.pyi", "proto/**/*_pb2_grpc.py"),
        make=make_stubs,
    ),
    Generated(
        name="operators",
        files=("docs/operators.md",),
        make=lambda root: _pages().make_operators(root),
    ),
    Generated(
        name="architecture",
        files=("ARCHITECTURE.md",),
        make=lambda root: _pages().make_architecture(root),
    ),
    Generated(
        name="dashboard",
        files=("deploy/grafana/dashboards/pullback.json",),
        make=make_dashboard,
    ),
    Generated(
        name="metrics",
        files=("deploy/METRICS.md",),
        make=make_metrics_reference,
    ),
)


def differences(row: Generated, root: Path = ROOT) -> list[str]:
    """The row's committed files that differ from freshly made ones, each with what is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        row.make(Path(folder))
        fresh, committed = _read(Path(folder), row.files), _read(root, row.files)
    return [
        f"{path}: {_verdict(path, fresh, committed)}"
        for path in sorted(fresh.keys() | committed.keys())
        if fresh.get(path) != committed.get(path)
    ]


def rewrite(row: Generated, root: Path = ROOT) -> list[str]:
    """Make the row's files anew in the work tree and return the paths that changed."""
    with tempfile.TemporaryDirectory() as folder:
        row.make(Path(folder))
        fresh, committed = _read(Path(folder), row.files), _read(root, row.files)
    for path in committed.keys() - fresh.keys():
        (root / path).unlink()
    changed = sorted(path for path in fresh if fresh[path] != committed.get(path))
    for path in changed:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(fresh[path])
    return changed + sorted(committed.keys() - fresh.keys())


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrite the generated files, or with `--check` compare them; 1 if any has drifted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only, change nothing")
    parser.add_argument("names", nargs="*", help="rows to make; all without it")
    options = parser.parse_args(arguments)
    rows = _select(options.names)
    if not options.check:
        print(*(f"wrote {path}" for row in rows for path in rewrite(row)), sep="\n")
        return 0
    drift = [line for row in rows for line in differences(row)]
    print(*(drift or [f"none drifted: {', '.join(row.name for row in rows)}"]), sep="\n")
    return 1 if drift else 0


def _select(names: Iterable[str]) -> Sequence[Generated]:
    rows = {row.name: row for row in TABLE}
    unknown = sorted(set(names) - rows.keys())
    if unknown:
        raise SystemExit(f"no such row: {', '.join(unknown)}; there are: {', '.join(rows)}")
    return [rows[name] for name in names] or TABLE


def _read(root: Path, patterns: Iterable[str]) -> dict[str, bytes]:
    paths = (path for pattern in patterns for path in root.glob(pattern))
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def _verdict(path: str, fresh: dict[str, bytes], committed: dict[str, bytes]) -> str:
    if path not in committed:
        return "not committed; run `make docs` and commit it"
    if path not in fresh:
        return "no longer generated; run `make docs` and commit its removal"
    return "differs from what is generated; run `make docs` and commit it"


if __name__ == "__main__":
    sys.exit(main())
