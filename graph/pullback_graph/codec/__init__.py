"""The wire codec: graphs, tapes, tensors, jobs, results and errors, to protobuf messages and back.

Everything that arrives is checked here, once: what decodes is sound, and what does not is a typed
error naming the field or node. No other module of the language knows protobuf.
"""

from __future__ import annotations

from pullback_graph.codec.graphs import decode_graph, encode_graph
from pullback_graph.codec.jobs import decode_job, encode_job
from pullback_graph.codec.layouts import JobLayout, Layouts, ResultLayout
from pullback_graph.codec.parts import PartsReader, parts
from pullback_graph.codec.result_form import ResultForm
from pullback_graph.codec.results import (
    decode_result,
    encode_metrics,
    encode_reply,
    encode_result,
    encode_result_apart,
    encode_standing,
)
from pullback_graph.codec.statuses import error_to_status, status_code_number, status_to_error
from pullback_graph.codec.tapes import decode_tape, encode_tape
from pullback_graph.codec.tensors import decode_tensor, encode_tensor
from pullback_graph.fingerprint import tensor_hash

__all__ = [
    "JobLayout",
    "Layouts",
    "PartsReader",
    "ResultForm",
    "ResultLayout",
    "decode_graph",
    "decode_job",
    "decode_result",
    "decode_tape",
    "decode_tensor",
    "encode_graph",
    "encode_job",
    "encode_metrics",
    "encode_reply",
    "encode_result",
    "encode_result_apart",
    "encode_standing",
    "encode_tape",
    "encode_tensor",
    "error_to_status",
    "parts",
    "status_code_number",
    "status_to_error",
    "tensor_hash",
]
