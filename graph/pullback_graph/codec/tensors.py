"""Tensors: a dtype, a shape and contiguous little-endian bytes. What they claim is checked first.

Decoding shares the message's bytes: the array is a read-only view of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from pullback_graph.errors import DTypeError, InputError, PullbackError, WireError
from pullback_graph.fingerprint import NUMBERS, little_endian
from pullback_graph.job import NDArray, Tensor, TensorHash
from pullback_graph.limits import DEFAULT_LIMITS, Limits
from pullback_graph.types import BOOL, DTYPE_NAMES, DType, Shape, type_of
from pullback_proto.v1 import tensor_pb2

HASH_BYTES = 32

_DTYPES: dict[int, DType] = {number: dtype for dtype, number in NUMBERS.items()}


def encode_tensor(array: Any) -> tensor_pb2.Tensor:
    """The message of an array or NumPy scalar.

    Raises:
        DTypeError: its dtype is not one of the language.
    """
    message = tensor_pb2.Tensor()
    write_tensor(message, array)
    return message


def write_tensor(message: Any, array: Any) -> None:
    """Fill an empty Tensor, in its place in a larger message.

    Raises:
        DTypeError: as `encode_tensor` says.
    """
    array = little_endian(array)
    message.dtype = NUMBERS[array.dtype]
    if array.shape:
        message.shape.extend(array.shape)
    message.data = array.tobytes()


def write_type(message: Any, array: NDArray) -> None:
    """Fill an empty Tensor but for its data, which travel by themselves."""
    message.dtype = NUMBERS[array.dtype]
    message.shape.extend(array.shape)


def decode_tensor(
    message: tensor_pb2.Tensor,
    limits: Limits | None = None,
    field: str = "tensor",
    apart: Iterator[NDArray] | None = None,
) -> NDArray:
    """The array of a message: a read-only view of its bytes.

    Args:
        apart: arrays that came beside the message, of which one without data is the next.

    Raises:
        DTypeError: the dtype is not one of the language.
        WireError: sizes and bytes do not agree; found before anything is allocated.
        LimitExceeded: it has more axes or elements than allowed.
    """
    dtype = _DTYPES.get(message.dtype) or decode_dtype(message.dtype, field)
    shape = tuple(message.shape)
    data = message.data
    if apart is not None and not data and _elements(shape):
        array = next(apart, None)
        if array is not None:
            return _of_type(array, dtype, shape, field)
    if shape or len(data) != dtype.itemsize:
        _check_shape(shape, dtype, len(data), limits or DEFAULT_LIMITS, field)
    array = np.frombuffer(data, dtype)
    check_elements(array, field)
    if not array.flags.aligned:
        array = array.copy()
        array.flags.writeable = False
    return array if len(shape) == 1 else array.reshape(shape)


def check_elements(array: NDArray, field: str) -> None:
    """Refuse bytes that no element has.

    Raises:
        WireError: a bool is neither 0 nor 1.
    """
    if array.dtype == BOOL and array.size and array.view(np.uint8).max() > 1:
        raise WireError("a bool element is neither 0 nor 1", field=f"{field}.data")


def _of_type(array: NDArray, dtype: DType, shape: Shape, field: str) -> NDArray:
    """An array that came apart.

    Raises:
        WireError: it is of another type than the message says.
    """
    if (array.dtype, array.shape) != (dtype, shape):
        raise WireError(
            f"it has no data, and what came apart in its place is {type_of(array)}",
            field=f"{field}.data",
        )
    return array


def check_all_read(apart: Iterator[NDArray]) -> None:
    """Refuse arrays that came apart and that the message has no place for.

    Raises:
        WireError: there is one.
    """
    if next(apart, None) is not None:
        raise WireError("more arrays came apart than the message has without data", field="part")


def decode_dtype(number: int, field: str) -> DType:
    """The dtype of that number.

    Raises:
        DTypeError: the language has none.
    """
    dtype = _DTYPES.get(number)
    if dtype is None:
        name = tensor_pb2.DType.Name(number) if number in tensor_pb2.DType.values() else number
        raise DTypeError(
            f"dtype {name} is not supported; use one of {', '.join(DTYPE_NAMES)}", field=field
        )
    return dtype


def encode_named(message: Any, name: str, tensor: Tensor) -> None:
    """Fill a NamedTensor with an array, or with the hash of one sent before."""
    message.name = name
    if isinstance(tensor, TensorHash):
        message.sha256 = decode_hex(tensor.sha256, name)
    else:
        write_tensor(message.tensor, tensor)


def decode_named(
    items: Iterable[Any], limits: Limits, field: str, apart: Iterator[NDArray] | None = None
) -> dict[str, Tensor]:
    """The arrays and hashes of NamedTensors, by name; `apart` as for `decode_tensor`.

    Raises:
        InputError: a name is doubled, or comes without a tensor.
        WireError, DTypeError, LimitExceeded: as `decode_tensor` says.
    """
    found: dict[str, Tensor] = {}
    for item in items:
        name = item.name
        if name in found:
            raise InputError(f"{name[:80]!r} is given twice", field=f"{field}.{name[:80]}")
        found[name] = _decode_source(item, name, limits, field, apart)
    return found


def decode_arrays(
    items: Iterable[Any], field: str, apart: Iterator[NDArray] | None = None
) -> dict[str, NDArray]:
    """The arrays of NamedTensors that are all inline or came apart, by name.

    Raises:
        WireError: one is not inline, or does not decode.
    """
    found: dict[str, NDArray] = {}
    for name, tensor in decode_named(items, DEFAULT_LIMITS, field, apart).items():
        if isinstance(tensor, TensorHash):
            raise WireError("the array is not inline", field=f"{field}.{name}")
        found[name] = tensor
    return found


def _decode_source(
    item: Any, name: str, limits: Limits, field: str, apart: Iterator[NDArray] | None
) -> Tensor:
    """The array or hash of a NamedTensor; the error, if any, names it."""
    source = item.WhichOneof("source")
    try:
        if source == "tensor":
            return decode_tensor(item.tensor, limits, apart=apart)
        if source == "sha256":
            return TensorHash(encode_hex(item.sha256, "sha256"))
        raise InputError("it comes with neither a tensor nor a hash")
    except PullbackError as error:
        message = f"{field} {name[:80]!r}: {error.message}"
        raise type(error)(message, field=f"{field}.{name[:80]}") from None


def encode_hex(data: bytes, field: str) -> str:
    """The hexadecimal digits of a SHA-256.

    Raises:
        WireError: it is not 32 bytes long.
    """
    if len(data) != HASH_BYTES:
        raise WireError(f"a SHA-256 is {HASH_BYTES} bytes, got {len(data)}", field=field)
    return data.hex()


def decode_hex(digits: str, field: str) -> bytes:
    """The bytes of a SHA-256 given as 64 hexadecimal digits.

    Raises:
        WireError: it is something else.
    """
    try:
        data = bytes.fromhex(digits)
    except ValueError:
        data = b""
    if len(data) != HASH_BYTES:
        raise WireError(f"{digits[:80]!r} is not 64 hexadecimal digits", field=field)
    return data


def _check_shape(
    shape: Sequence[int], dtype: DType, size_bytes: int, limits: Limits, field: str
) -> None:
    """Refuse a shape that is over the limits, or that the bytes do not fill."""
    limits.check_tensor(shape, f"{field}.shape")
    needed = dtype.itemsize * _elements(shape)
    if needed != size_bytes:
        listed = ",".join(map(str, shape))
        raise WireError(
            f"{dtype.name}[{listed}] takes {needed} bytes, got {size_bytes}", field=f"{field}.data"
        )


def _elements(shape: Shape | Sequence[int]) -> int:
    elements = 1
    for size in shape:
        elements *= size
    return elements
