"""What the shapes of the messages promise: isolation, small overhead, and refusal of garbage."""

from __future__ import annotations

from contextlib import suppress

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from pullback_proto.internal.v1.dispatch_pb2 import DispatchReplies, DispatchRequests
from pullback_proto.v1.graph_pb2 import Attribute, Graph, Node
from pullback_proto.v1.job_pb2 import Job, JobBatch, JobReply, ReplyBatch, Value
from pullback_proto.v1.tensor_pb2 import DTYPE_FLOAT64, NamedTensor, Tensor

READ_BY_SERVERS = [Job, JobBatch, Graph, DispatchRequests, DispatchReplies]


def test_a_broken_job_leaves_its_neighbours_readable():
    """A batch carries jobs as bytes, so one that does not parse fails alone."""
    good = Job(id="good", value=Value()).SerializeToString()
    batch = JobBatch.FromString(JobBatch(jobs=[good, b"\xff\xff", good]).SerializeToString())
    with pytest.raises(DecodeError):
        Job.FromString(batch.jobs[1])
    assert [Job.FromString(batch.jobs[i]).id for i in (0, 2)] == ["good", "good"]


def test_a_reply_finds_its_job_without_an_id():
    """The position on the stream tells which job failed where its bytes gave no id."""
    reply = JobReply(position=1)
    reply.error.code = 3
    batch = ReplyBatch.FromString(
        ReplyBatch(replies=[reply.SerializeToString()]).SerializeToString()
    )
    read = JobReply.FromString(batch.replies[0])
    assert (read.id, read.position, read.WhichOneof("outcome")) == ("", 1, "error")


@pytest.mark.parametrize("kind", READ_BY_SERVERS)
@given(data=st.binary(max_size=200))
def test_random_bytes_parse_or_are_refused(kind, data):
    """No bytes bring out anything but a message or a DecodeError."""
    with suppress(DecodeError):
        assert isinstance(kind.FromString(data), kind)


@given(cut=st.integers(min_value=1))
def test_a_truncated_job_is_refused_or_lacks_its_end(cut):
    """A message cut short never reads as the whole one."""
    job = Job(inputs=[NamedTensor(name="x", tensor=Tensor(data=b"12345678"))], value=Value())
    data = job.SerializeToString()
    with suppress(DecodeError):
        assert Job.FromString(data[: cut % len(data)]) != job


def test_a_tensor_costs_little_more_than_its_data():
    """Dtype and shape take some bytes, whatever the data's size."""
    data = bytes(1 << 20)
    sent = Tensor(dtype=DTYPE_FLOAT64, shape=[1 << 10, 1 << 7], data=data).SerializeToString()
    assert len(sent) - len(data) <= 16


def test_numbers_of_a_node_are_packed():
    """One tag for all operands and for all integers, a byte or so each after it."""
    node = Node(op="add", operands=range(100))
    node.attributes.append(Attribute(name="axes"))
    node.attributes[0].ints_value.values.extend(range(-50, 50))
    assert len(node.SerializeToString()) < 260


def test_presence_tells_a_zero_from_nothing():
    """A deadline of zero seconds is a deadline; subgraph 0 is a subgraph."""
    job = Job.FromString(Job(options={"deadline_s": 0.0}).SerializeToString())
    assert job.options.HasField("deadline_s")
    assert not job.options.HasField("memory_cap_bytes")
    attribute = Attribute.FromString(Attribute(subgraph_value=0).SerializeToString())
    assert attribute.WhichOneof("value") == "subgraph_value"
