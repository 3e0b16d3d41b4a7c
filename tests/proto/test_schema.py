"""The public wire only grows: no number, name, type or cardinality changes."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

from tests.proto.schema import GOLDEN, breaks, public_files, schema_lines

GOLDEN_LINES = [line for line in GOLDEN.read_text().splitlines() if not line.startswith("#")]


def with_change(change):
    """The lines of the wire after `change` of the message Options."""
    files = public_files()
    messages = {message.name: message for file in files for message in file.message_type}
    change(messages["Options"])
    return schema_lines(files)


def field(message: DescriptorProto, name: str) -> FieldDescriptorProto:
    """The field called `name`."""
    return next(item for item in message.field if item.name == name)


def half_retire(message: DescriptorProto) -> None:
    """Take `priority` away and leave its number, not its name, reserved."""
    message.field.remove(field(message, "priority"))
    message.reserved_range.add(start=2, end=3)


def retire(message: DescriptorProto) -> None:
    """Take `priority` away and leave its number and its name reserved."""
    half_retire(message)
    message.reserved_name.append("priority")


def test_nothing_that_was_published_has_changed():
    """Every line of the golden list still holds, or its number and name are reserved."""
    assert breaks(GOLDEN_LINES, schema_lines(public_files())) == []


def test_everything_published_is_on_the_list():
    """An addition is written down with it, by `python -m tests.proto.schema`."""
    assert sorted(GOLDEN_LINES) == schema_lines(public_files())


@pytest.mark.parametrize(
    "change",
    [
        lambda m: setattr(field(m, "priority"), "number", 99),
        lambda m: setattr(field(m, "priority"), "name", "urgency"),
        lambda m: setattr(field(m, "priority"), "type", FieldDescriptorProto.TYPE_INT32),
        lambda m: setattr(field(m, "priority"), "label", FieldDescriptorProto.LABEL_REPEATED),
        lambda m: field(m, "deadline_s").ClearField("proto3_optional"),
        lambda m: setattr(field(m, "split"), "type_name", ".pullback.v1.Block"),
        lambda m: m.field.remove(field(m, "priority")),
        half_retire,
    ],
    ids=["number", "name", "type", "label", "presence", "message", "dropped", "half reserved"],
)
def test_a_breaking_change_is_seen(change):
    """Renumbering, renaming, retyping and dropping each break the list."""
    assert len(breaks(GOLDEN_LINES, with_change(change))) == 1


def test_a_dropped_field_may_leave_its_number_and_name_reserved():
    """That is the one way for a field to go."""
    assert breaks(GOLDEN_LINES, with_change(retire)) == []


def test_an_added_field_breaks_nothing():
    """Growth is free."""
    added = FieldDescriptorProto(name="tenant", number=50, type=FieldDescriptorProto.TYPE_STRING)
    assert breaks(GOLDEN_LINES, with_change(lambda message: message.field.append(added))) == []


def test_numbers_that_travel_most_take_one_byte():
    """A field tag above 15 costs a second byte, per node and per tensor here."""
    hot = {"Tensor", "TensorType", "NamedTensor", "Graph", "Node", "Attribute", "Input", "Output"}
    messages = [m for file in public_files() for m in file.message_type if m.name in hot]
    assert {message.name for message in messages} == hot
    assert all(field.number < 16 for message in messages for field in message.field)
