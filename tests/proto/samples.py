"""Messages with every field set, and the wire of a release to come, both made from descriptors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

NEW_FIELD, NEW_NUMBER = "added_later", 1000
TEXTS = {FieldDescriptor.TYPE_STRING: "é name", FieldDescriptor.TYPE_BYTES: b"\x00\xff"}
DEPTH = 3  # messages within messages; a graph may hold graphs


def samples(kind: type[Message]) -> Iterator[Message]:
    """Messages of `kind` that together set every field, one per member of its oneofs."""
    plain = kind()
    members = []
    for field in kind.DESCRIPTOR.fields:
        oneof = field.containing_oneof
        if oneof is None or len(oneof.fields) == 1:
            fill(plain, field, DEPTH)
        else:
            members.append(field)
    for field in members:
        sample = kind()
        sample.CopyFrom(plain)
        fill(sample, field, DEPTH)
        yield sample
    if not members:
        yield plain


def fill(message: Message, field: Any, depth: int) -> None:
    """Set the field of that descriptor to something that is not its default."""
    if field.message_type is not None:
        _fill_message(message, field, depth)
    elif field.is_repeated:
        getattr(message, field.name).extend([_scalar(field)] * 2)
    else:
        setattr(message, field.name, _scalar(field))


def later_classes(files: list[FileDescriptor]) -> dict[str, type[Message]]:
    """The classes of a later release, by full name: a field is added to every message."""
    pool = DescriptorPool()
    for file in _with_dependencies(files):
        later = FileDescriptorProto()
        file.CopyToProto(later)
        if file in files:
            _grow(later)
        pool.Add(later)
    names = [kind.full_name for file in files for kind in file.message_types_by_name.values()]
    return {name: GetMessageClass(pool.FindMessageTypeByName(name)) for name in names}


def _fill_message(message: Message, field: Any, depth: int) -> None:
    if not depth:
        return
    part = getattr(message, field.name)
    target = part.add() if field.is_repeated else part
    target.SetInParent()
    for inner in target.DESCRIPTOR.fields:
        fill(target, inner, depth - 1)


def _scalar(field: Any) -> Any:
    if field.enum_type is not None:
        return field.enum_type.values[-1].number
    return TEXTS.get(field.type, 1)


def _with_dependencies(files: list[FileDescriptor]) -> list[FileDescriptor]:
    """The files and all they import, each after what it imports."""
    ordered: list[FileDescriptor] = []
    for file in files:
        for needed in [*_with_dependencies(list(file.dependencies)), file]:
            if needed not in ordered:
                ordered.append(needed)
    return ordered


def _grow(file: FileDescriptorProto) -> None:
    for message in file.message_type:
        _add_field(message)
        for nested in message.nested_type:
            _add_field(nested)


def _add_field(message: DescriptorProto) -> None:
    message.field.add(
        name=NEW_FIELD,
        number=NEW_NUMBER,
        type=FieldDescriptorProto.TYPE_STRING,
        label=FieldDescriptorProto.LABEL_OPTIONAL,
    )
