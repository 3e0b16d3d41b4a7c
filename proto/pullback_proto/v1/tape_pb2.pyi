from pullback_proto.v1 import graph_pb2 as _graph_pb2
from pullback_proto.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Tape(_message.Message):
    __slots__ = ("dtype", "inputs", "constants", "ops", "opcodes", "operands", "outputs", "op_table_version")
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    CONSTANTS_FIELD_NUMBER: _ClassVar[int]
    OPS_FIELD_NUMBER: _ClassVar[int]
    OPCODES_FIELD_NUMBER: _ClassVar[int]
    OPERANDS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    OP_TABLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    dtype: _tensor_pb2.DType
    inputs: _containers.RepeatedCompositeFieldContainer[_graph_pb2.Input]
    constants: bytes
    ops: _containers.RepeatedScalarFieldContainer[str]
    opcodes: bytes
    operands: bytes
    outputs: _containers.RepeatedCompositeFieldContainer[TapeOutput]
    op_table_version: int
    def __init__(self, dtype: _Optional[_Union[_tensor_pb2.DType, str]] = ..., inputs: _Optional[_Iterable[_Union[_graph_pb2.Input, _Mapping]]] = ..., constants: _Optional[bytes] = ..., ops: _Optional[_Iterable[str]] = ..., opcodes: _Optional[bytes] = ..., operands: _Optional[bytes] = ..., outputs: _Optional[_Iterable[_Union[TapeOutput, _Mapping]]] = ..., op_table_version: _Optional[int] = ...) -> None: ...

class TapeOutput(_message.Message):
    __slots__ = ("name", "shape", "values")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    name: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    values: bytes
    def __init__(self, name: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., values: _Optional[bytes] = ...) -> None: ...
