"""The generated pages: the operator table's reference, and the architecture with its diagrams.

Everything in them is read from the code, so that neither can say what is no longer so.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from pullback_graph.attributes import canonical
from pullback_graph.errors import DTypeError
from pullback_graph.op import VARIADIC, Both, Example, JointTranspose, Op, Partials, Transpose, Zero
from pullback_graph.ops import FAMILIES
from pullback_graph.types import BOOL, DTYPES, INT64, ArrayType, DType
from pullback_server.scheduler import diagram

ROOT = Path(__file__).resolve().parent.parent
ROOMS = {
    "pullback": "client",
    "pullback_server": "server",
    "pullback_worker": "worker",
    "pullback_graph": "graph",
    "pullback_proto": "proto",
}
DERIVATIVES = {
    Partials: "partials",
    Transpose: "transpose",
    JointTranspose: "joint transpose",
    Both: "written jvp and vjp",
    Zero: "zero",
}
KINDS: dict[str, DType] = {
    "bool": DTYPES["bool"],
    "integer": DTYPES["int64"],
    "real": DTYPES["float64"],
    "complex": DTYPES["complex128"],
}
"""A dtype of each kind, by what the table calls it."""


def make_operators(root: Path) -> None:
    """Write docs/operators.md: every row of the operator table."""
    lines = [
        "# Operators",
        "",
        "Every row of the operator table, by family; generated from the rows by `make docs`.",
        "What a row means at a kink, a tie or out of range is in its note. Dtypes are those of the",
        "operands that are no conditions or indices: bool, integer, real or complex floats.",
    ]
    for family, rows in FAMILIES.items():
        lines += ["", f"## {family.replace('_', ' ')}", ""]
        lines += [
            "| operator | operands | dtypes | attributes | derivative | note |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_operator(op) for op in rows]
    _write(root / "docs" / "operators.md", lines)


def make_architecture(root: Path) -> None:
    """Write ARCHITECTURE.md: docs/architecture.template.md with the diagrams put in."""
    text = (ROOT / "docs" / "architecture.template.md").read_text()
    text = text.replace("{{rooms}}", room_diagram()).replace("{{task_states}}", diagram().strip())
    _write(root / "ARCHITECTURE.md", text.rstrip().splitlines())


def room_diagram() -> str:
    """Mermaid: which room imports which, read from the import statements of every module."""
    edges = sorted({(a, b) for name, a in ROOMS.items() for b in _imported(name) if a != b})
    return "\n".join(["flowchart LR", *[f"  {a} --> {b}" for a, b in edges]])


def _imported(package: str) -> Iterator[str]:
    for path in (ROOT / ROOMS[package] / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            for module in _modules(node):
                room = ROOMS.get(module.split(".")[0])
                if room is not None:
                    yield room


def _modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def _operator(op: Op) -> str:
    count = "one or more" if op.operands == VARIADIC else str(op.operands)
    attributes = ", ".join(f"{a.name}: {a.kind.value}" for a in op.attributes)
    derivative = DERIVATIVES.get(type(op.derivative), "none")
    cells = (f"`{op.name}`", count, dtypes(op), attributes, derivative, " ".join(op.doc.split()))
    return f"| {' | '.join(cells)} |"


def dtypes(op: Op) -> str:
    """Kinds of dtypes that the row's type rule takes, on the shapes that it is tested with."""
    if op.graphs:
        return "its graphs'"
    return ", ".join([kind for kind, dtype in KINDS.items() if _takes(op, dtype)])


def _takes(op: Op, dtype: DType) -> bool:
    own = op.domain.operands
    example = op.domain.examples[0] if op.domain.examples else Example(((),) * len(own))
    drawn = [BOOL if x.boolean else INT64 if x.integer else None for x in own]
    if None not in drawn:
        return dtype in drawn
    types = [
        ArrayType(known or dtype, shape)
        for known, shape in zip(cycle(drawn), example.shapes, strict=False)
    ]
    try:
        op.type(*types, **canonical(op.attributes, example.attributes))
    except DTypeError:
        return False
    return True


def _write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
