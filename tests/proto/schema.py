"""The public wire as lines of text, one per field, enum value and method; comments leave no trace.

`python -m tests.proto.schema` rewrites the golden list; read the difference before committing it.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
)

PROTO = Path(__file__).parents[2] / "proto"
GOLDEN = Path(__file__).parent / "schema.golden.txt"
HEAD = "# The public wire. A line may be added, or become `reserved`; none may change or go.\n"


def stub_modules(folder: str = "pullback_proto", pattern: str = "*_pb2.py") -> list[str]:
    """Full names of the stub modules under `folder` of proto/, sorted."""
    paths = (PROTO / folder).rglob(pattern)
    return sorted(".".join(p.relative_to(PROTO).with_suffix("").parts) for p in paths)


def public_files() -> list[FileDescriptorProto]:
    """The descriptors of package `pullback.v1`, as committed."""
    return [_file(import_module(name)) for name in stub_modules("pullback_proto/v1")]


def schema_lines(files: list[FileDescriptorProto]) -> list[str]:
    """Everything a peer relies on, sorted."""
    return sorted(line for file in files for line in _file_lines(file))


def breaks(old: list[str], new: list[str]) -> list[str]:
    """Lines of the old wire that the new one neither has nor keeps reserved."""
    kept = set(new)
    return [line for line in old if line not in kept and not _is_reserved(line, kept)]


def _is_reserved(line: str, kept: set[str]) -> bool:
    """Whether a dropped field or enum value has left its number and its name behind."""
    name, _, rest = line.partition(" = ")
    owner, _, field = name.rpartition(".")
    return {f"{owner} reserved {rest.split(' ')[0]}", f"{owner} reserved {field}"} <= kept


def _file(module: ModuleType) -> FileDescriptorProto:
    file = FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(file)
    return file


def _file_lines(file: FileDescriptorProto) -> Iterator[str]:
    for message in file.message_type:
        yield from _message_lines(file.package, message)
    for enum in file.enum_type:
        yield from _enum_lines(file.package, enum)
    for service in file.service:
        for method in service.method:
            yield _method_line(f"{file.package}.{service.name}", method)


def _message_lines(scope: str, message: DescriptorProto) -> Iterator[str]:
    name = f"{scope}.{message.name}"
    for field in message.field:
        yield _field_line(name, message, field)
    for span in message.reserved_range:
        yield from (f"{name} reserved {number}" for number in range(span.start, span.end))
    yield from (f"{name} reserved {reserved}" for reserved in message.reserved_name)
    for nested in message.nested_type:
        yield from _message_lines(name, nested)
    for enum in message.enum_type:
        yield from _enum_lines(name, enum)


def _field_line(owner: str, message: DescriptorProto, field: FieldDescriptorProto) -> str:
    kind = field.type_name.lstrip(".") or FieldDescriptorProto.Type.Name(field.type)[5:].lower()
    label = "repeated " if field.label == FieldDescriptorProto.LABEL_REPEATED else ""
    if field.proto3_optional:
        label = "optional "
    elif field.HasField("oneof_index"):
        label = f"oneof {message.oneof_decl[field.oneof_index].name} "
    return f"{owner}.{field.name} = {field.number} {label}{kind}"


def _enum_lines(scope: str, enum: EnumDescriptorProto) -> Iterator[str]:
    name = f"{scope}.{enum.name}"
    yield from (f"{name}.{value.name} = {value.number}" for value in enum.value)
    for span in enum.reserved_range:  # of an enum, both ends belong to it
        yield from (f"{name} reserved {number}" for number in range(span.start, span.end + 1))
    yield from (f"{name} reserved {reserved}" for reserved in enum.reserved_name)


def _method_line(service: str, method: MethodDescriptorProto) -> str:
    given = "stream " * method.client_streaming + method.input_type.lstrip(".")
    answer = "stream " * method.server_streaming + method.output_type.lstrip(".")
    return f"{service}/{method.name} ({given}) -> ({answer})"


if __name__ == "__main__":
    GOLDEN.write_text(HEAD + "".join(f"{line}\n" for line in schema_lines(public_files())))
