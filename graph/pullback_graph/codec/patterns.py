"""Patterns of sparse matrices: two vectors of integers, checked to be what they claim."""

from __future__ import annotations

import numpy as np

from pullback_graph.codec.tensors import decode_tensor, encode_tensor
from pullback_graph.errors import WireError
from pullback_graph.pattern import Indices, Pattern
from pullback_graph.types import DTYPES
from pullback_proto.v1 import job_pb2, tensor_pb2

_INTEGERS = (DTYPES["int32"], DTYPES["int64"])
_MOST = np.iinfo(np.int64).max


def encode_pattern(pattern: Pattern) -> job_pb2.Pattern:
    """The message of a pattern."""
    rows, columns = pattern.shape
    return job_pb2.Pattern(
        rows=rows,
        columns=columns,
        row_starts=encode_tensor(pattern.starts),
        column_indices=encode_tensor(pattern.columns),
    )


def decode_pattern(message: job_pb2.Pattern, field: str) -> Pattern:
    """The pattern of a message.

    Raises:
        WireError: the vectors are no pattern of so many rows and columns.
    """
    starts = _integers(message.row_starts, f"{field}.row_starts")
    columns = _integers(message.column_indices, f"{field}.column_indices")
    if len(starts) != message.rows + 1 or message.columns > _MOST:
        raise WireError(
            f"{len(starts)} row starts for {message.rows} rows of {message.columns} columns; one "
            "more than rows is needed",
            field=f"{field}.row_starts",
        )
    if starts[0] != 0 or starts[-1] != len(columns) or (starts[1:] < starts[:-1]).any():
        raise WireError(
            f"row starts do not run from 0 to {len(columns)}, the number of column indices",
            field=f"{field}.row_starts",
        )
    if len(columns):
        _check_columns(starts, columns, message.columns, f"{field}.column_indices")
    return Pattern((int(message.rows), int(message.columns)), starts, columns)


def _check_columns(starts: Indices, columns: Indices, width: int, field: str) -> None:
    """Refuse columns out of range, or not ascending within a row."""
    if columns.min() < 0 or columns.max() >= width:
        raise WireError(f"a column index is not within 0 to {width - 1}", field=field)
    ascends = np.ones(len(columns), bool)
    ascends[1:] = columns[1:] > columns[:-1]
    ascends[starts[:-1][np.diff(starts) > 0]] = True
    if not ascends.all():
        raise WireError("a row's column indices are not ascending, each once", field=field)


def _integers(message: tensor_pb2.Tensor, field: str) -> Indices:
    array = decode_tensor(message, None, field)
    if array.dtype not in _INTEGERS or array.ndim != 1:
        raise WireError(
            f"{array.dtype.name} of shape {array.shape} is no vector of int32 or int64", field=field
        )
    return array
