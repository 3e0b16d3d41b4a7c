"""Replies of a stream: a serialised result goes into its reply without being parsed again."""

from __future__ import annotations

import pytest

from pullback_graph.codec import encode_reply
from pullback_proto.v1 import job_pb2, metrics_pb2


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 3_000_000])
def test_a_reply_parses_to_what_was_put_in(size: int) -> None:
    """Id, position and result of any length come out as a parser of the message sees them."""
    result = job_pb2.JobResult(metrics=metrics_pb2.JobMetrics(digest="d" * size))
    reply = job_pb2.JobReply.FromString(encode_reply("job 7", size, result.SerializeToString()))
    assert (reply.id, reply.position) == ("job 7", size)
    assert reply.WhichOneof("outcome") == "result"
    assert reply.result == result
