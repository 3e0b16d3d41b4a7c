"""Results for people, for programs (JSON) and for NumPy (npz). Every array has one name in all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pullback_graph.errors import RequestError
from pullback_graph.job import Metrics, NDArray, Result
from pullback_graph.quantities import counted, duration, in_bytes, in_flops
from pullback_graph.text.literals import number_text
from pullback_graph.want import DerivativeKey, Want, want_name

_TITLES = {
    "gradient": "d {output} / d {input}",
    "jacobian": "d {output} / d {input}",
    "hessian": "d2 {output} / d {input} d {second_input}",
    "vjp": "cotangent of {input}, seed {seed}",
    "jvp": "tangent of {output}, seed {seed}",
    "hvp": "Hessian of {output} times seed {seed}, {input}",
}
"""How a derivative is headed, by the want's name."""

SHOWN_PLACES = 40
"""Places of a sparse matrix that are shown to people."""


def result_text(result: Result, want: Want) -> str:
    """A result for people: an array a paragraph."""
    title = _TITLES.get(want_name(want), "")
    lines = [_paragraph(name, array) for name, array in result.outputs.items()]
    for key, array in result.derivatives.items():
        paragraph = _paragraph if isinstance(array, np.ndarray) else _sparse_paragraph
        lines.append(paragraph(title.format(**key._asdict()), array))
    return "\n".join(lines)


def metrics_text(metrics: Metrics) -> str:
    """What a job cost, in a line."""
    hit = ", program cached" if metrics.program_cache_hit else ""
    return (
        f"{duration(metrics.total_s)}; {counted(metrics.nodes, 'node')}, "
        f"{counted(metrics.adjoint_evaluations, 'adjoint')}, {in_flops(metrics.flops)}; "
        f"{metrics.executor}, split {metrics.split}, {_where(metrics)}{hit}{_moved(metrics)}"
        f"{_mode(metrics)}{_findings(metrics)}"
    )


def _where(metrics: Metrics) -> str:
    """How many tasks there were, and who ran them."""
    tasks = counted(metrics.tasks, "task")
    return f"{tasks} on {counted(metrics.workers, 'worker')}" if metrics.workers else tasks


def _moved(metrics: Metrics) -> str:
    """What workers were handed, where they are on several machines."""
    if not metrics.network_bytes:
        return ""
    moved, network = in_bytes(metrics.moved_bytes), in_bytes(metrics.network_bytes)
    return f", {moved} moved, {network} between machines"


def _mode(metrics: Metrics) -> str:
    """How a derivative was computed."""
    return f"\nmode {metrics.mode}: {metrics.mode_reason}" if metrics.mode else ""


def _findings(metrics: Metrics) -> str:
    """What the options asked for and the job found."""
    found = ""
    if metrics.recompute_factor:
        found += (
            f"\nwithin {in_bytes(metrics.peak_bytes)} by {metrics.recompute_factor:.3g} x the work"
        )
    if metrics.certificate_error is not None:
        found += f"\nforward and reverse mode differ by {metrics.certificate_error:.2g}"
    if metrics.bad_node is not None:
        found += f"\n{metrics.bad_node}"
    return found


def result_json(result: Result, want: Want) -> dict[str, Any]:
    """A result as JSON takes it; what is not finite is `"NaN"`, `"Infinity"` or `"-Infinity"`.

    A complex number is text: `json_value` says how.
    """
    derivatives = [
        {**{k: v for k, v in key._asdict().items() if v != ""}, **_json_derivative(array)}
        for key, array in result.derivatives.items()
    ]
    shown: dict[str, Any] = {
        "outputs": {name: json_value(array) for name, array in result.outputs.items()},
        "want": want_name(want),
    }
    if want_name(want) == "gradient":
        shown["gradients"] = {x["input"]: x["value"] for x in derivatives}
    elif derivatives:
        shown["derivatives"] = derivatives
    return {**shown, "metrics": metrics_json(result.metrics)}


def metrics_json(metrics: Metrics) -> dict[str, Any]:
    """Metrics as JSON takes them."""
    shown = {name: _worded(value) for name, value in asdict(metrics).items()}
    if metrics.bad_node is not None:
        operands = [_worded(list(item)) for item in metrics.bad_node.operands]
        shown["bad_node"] = {**metrics.bad_node._asdict(), "operands": operands}
    return shown


def _json_derivative(array: Any) -> dict[str, Any]:
    """A derivative as JSON takes it: nested lists, or the rows of a sparse matrix one by one."""
    if isinstance(array, np.ndarray):
        return {"value": json_value(array)}
    sparse = {
        "shape": list(array.shape),
        "row_starts": array.indptr.tolist(),
        "columns": array.indices.tolist(),
        "values": json_value(array.data),
    }
    return {"sparse": sparse}


def json_value(array: NDArray) -> Any:
    """An array as nested lists; a complex number is text such as `"1.0-2.5j"`, as in graphs."""
    if array.dtype.kind == "c":
        texts = [number_text(item) for item in array.reshape(-1)]
        return np.array(texts, object).reshape(array.shape).tolist()
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return array.tolist()
    return _worded(array.tolist())


def named_arrays(result: Result, want: Want) -> Iterator[tuple[str, NDArray]]:
    """Every array of a result with its name in an npz: `outputs/y`, `gradient/y/x`, `vjp/0/x`.

    Of a sparse matrix: `jacobian/y/x/data`, and `indices`, `indptr` and `shape` beside it.
    """
    for name, array in result.outputs.items():
        yield f"outputs/{name}", array
    kind = want_name(want)
    for key, array in result.derivatives.items():
        name = derivative_name(kind, key)
        if isinstance(array, np.ndarray):
            yield name, array
            continue
        for part in ("data", "indices", "indptr"):
            yield f"{name}/{part}", getattr(array, part)
        yield f"{name}/shape", np.array(array.shape)


def derivative_name(kind: str, key: DerivativeKey) -> str:
    """The name of a derivative in an npz."""
    parts = [kind, str(key.seed) if kind in ("vjp", "jvp", "hvp") else ""]
    parts += [key.output, key.input, key.second_input]
    return "/".join([part for part in parts if part])


def save_npz(path: Path, arrays: Mapping[str, NDArray]) -> None:
    """Write arrays by name.

    Raises:
        RequestError: the file cannot be written.
    """
    try:
        with path.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # names are ours
    except OSError as error:
        raise RequestError(f"{path} cannot be written: {error.strerror or error}") from None


def _paragraph(title: str, array: NDArray) -> str:
    if array.ndim == 0:
        return f"{title} = {array.item()!r}"
    shape = ",".join(map(str, array.shape))
    shown = np.array2string(array, threshold=100, separator=", ")
    return f"{title}: {array.dtype.name}[{shape}] =\n{shown}"


def _sparse_paragraph(title: str, matrix: Any) -> str:
    """A sparse matrix: its first places, one a line."""
    height, width = matrix.shape
    lines = [f"{title}: {matrix.dtype.name}[{height},{width}], {matrix.nnz} places ="]
    rows = np.repeat(np.arange(height), np.diff(matrix.indptr))
    shown = [part[:SHOWN_PLACES].tolist() for part in (rows, matrix.indices, matrix.data)]
    lines += [f"  ({i}, {j}) {value!r}" for i, j, value in zip(*shown, strict=True)]
    if matrix.nnz > SHOWN_PLACES:
        lines.append(f"  ... and {matrix.nnz - SHOWN_PLACES} more")
    return "\n".join(lines)


def _worded(value: Any) -> Any:
    if isinstance(value, list):
        return [_worded(item) for item in value]
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return value
