"""The metrics for people: writes METRICS.md from the server's table of metrics.

Run it after a change, from the root: `python -m deploy.metrics_reference`; `--check` only compares.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pullback_server.metrics import labels
from pullback_server.metrics.reference import markdown

FILE = Path(__file__).resolve().parent / "METRICS.md"

LABELS = (
    ("want", labels.WANTS, "what a job asks for; `unknown` where it could not be decoded"),
    ("outcome", labels.OUTCOMES, "`ok`, or the gRPC status of the error in lower case"),
    (
        "phase",
        labels.PHASES,
        "part of a job's time; `fused` is forward and backward in one program",
    ),
    ("state", labels.STATES, "of a job; of a worker: " + ", ".join(labels.WORKER_STATES)),
    ("kind", labels.KINDS, "of a worker"),
    ("executor", labels.EXECUTORS, "what compiled a program"),
    ("result", labels.PROMOTIONS, "how XLA compares with NumPy on a graph"),
    ("reason", labels.REASONS, "why a request was turned away, or a call without a job failed"),
)

HEAD = """# Metrics

Served at `/metrics` (port 9464), in Prometheus's text format or OpenMetrics. Written by
`python -m deploy.metrics_reference` from the server's table of metrics; do not edit.

"""
MIDDLE = """
The usual metrics of the front end's process (`process_cpu_seconds_total`,
`process_resident_memory_bytes`, ...) are served beside them.

## Labels

Every label takes its values from a closed set; what lies outside is counted under `unknown` or
`other`.

| label | values | meaning |
|---|---|---|
"""


def reference() -> str:
    """METRICS.md."""
    rows = (
        f"| `{name}` | {', '.join(f'`{value}`' for value in values)} | {meaning} |"
        for name, values, meaning in LABELS
    )
    return HEAD + markdown() + MIDDLE + "\n".join(rows) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file, or with `--check` compare it; 1 if it has drifted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only, change nothing")
    parser.add_argument("--out", type=Path, default=FILE, help="file to write or compare")
    options = parser.parse_args(arguments)
    if options.check:
        same = options.out.is_file() and options.out.read_text("utf-8") == reference()
        sys.stdout.write(f"{options.out.name}: {'up to date' if same else 'drifted; run me'}\n")
        return 0 if same else 1
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(reference(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
