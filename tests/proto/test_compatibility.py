"""An older and a newer peer understand each other, in both directions."""

from __future__ import annotations

from importlib import import_module

import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet

from pullback_proto.v1.job_pb2 import Job, Value
from pullback_proto.v1.tensor_pb2 import Tensor
from tests.proto.samples import NEW_FIELD, NEW_NUMBER, later_classes, samples
from tests.proto.schema import stub_modules

FILES = [import_module(name).DESCRIPTOR for name in stub_modules("pullback_proto/v1")]
CLASSES = {
    kind.full_name: GetMessageClass(kind)
    for file in FILES
    for kind in file.message_types_by_name.values()
}
LATER = later_classes(FILES)
every_message = pytest.mark.parametrize("name", sorted(CLASSES))


def unknown_numbers(message: Message) -> list[int]:
    """Numbers of the fields that this release has no name for."""
    unknown = UnknownFieldSet(message)
    return [unknown[i].field_number for i in range(len(unknown))]


def later_sample(name: str, sample: Message) -> Message:
    """The sample as a later release would send it: with a field this release does not know."""
    later = LATER[name].FromString(sample.SerializeToString())
    setattr(later, NEW_FIELD, "new")
    return later


@every_message
def test_every_field_survives_the_wire(name):
    """What is set on one side is read on the other."""
    for sample in samples(CLASSES[name]):
        assert CLASSES[name].FromString(sample.SerializeToString()) == sample


@every_message
def test_a_newer_message_is_read_by_this_release(name):
    """An unknown field disturbs no known one: each reads as the sender set it."""
    for sample in samples(CLASSES[name]):
        read = CLASSES[name].FromString(later_sample(name, sample).SerializeToString())
        assert unknown_numbers(read) == [NEW_NUMBER]
        read.DiscardUnknownFields()
        assert read == sample


@every_message
def test_an_unknown_field_survives_being_passed_on(name):
    """A process that stores or forwards a message loses nothing of it."""
    for sample in samples(CLASSES[name]):
        later = later_sample(name, sample)
        passed_on = CLASSES[name].FromString(later.SerializeToString()).SerializeToString()
        assert LATER[name].FromString(passed_on) == later


@every_message
def test_this_release_is_read_by_a_newer_one(name):
    """A field that was not there reads as its default, which means what was done before."""
    for sample in samples(CLASSES[name]):
        later = LATER[name].FromString(sample.SerializeToString())
        assert getattr(later, NEW_FIELD) == ""
        assert later.SerializeToString() == sample.SerializeToString()


def test_a_want_this_release_does_not_know_reads_as_none():
    """So it is an error there, and never taken for another want."""
    job = Job(id="a").SerializeToString() + bytes([0x8A, 0x01, 0x00])  # number 17, empty
    assert Job.FromString(job).WhichOneof("want") is None
    assert unknown_numbers(Job.FromString(job)) == [17]


def test_the_last_want_wins():
    """Two wants in one message are one: the oneof holds what came last."""
    both = (
        Job(value=Value()).SerializeToString() + Job(id="a", fingerprint=b"f").SerializeToString()
    )
    assert Job.FromString(both).WhichOneof("want") == "value"


def test_an_enum_number_without_a_name_is_kept():
    """It can be refused, or shown, by its number; it does not turn into the default."""
    sent = bytes([0x08, 0xE7, 0x07])  # field 1, the number 999
    assert Tensor.FromString(sent).dtype == 999
    assert Tensor.FromString(sent).SerializeToString() == sent


def test_the_defaults_of_a_job_take_no_bytes():
    """Every default is the wire's own: what a client leaves out, it leaves to the service."""
    assert Job().SerializeToString() == b""
