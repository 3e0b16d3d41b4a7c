"""Valid messages gone wrong: bytes changed blindly, and fields changed as the schema knows them."""

from __future__ import annotations

from random import Random
from typing import Any

from google.protobuf.message import Message

NUMBERS = (0, 1, 2, 3, 5, 31, 2**20, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, -1, -2, -(2**63))
FLOATS = (0.0, -0.0, 1.5, float("nan"), float("inf"), -float("inf"))
TEXTS = ("", "x", "add", "sum", "einsum", "axes", "shape", "ij,jk->ik", "->", "é", "\0", "a" * 5000)


def mutated_bytes(data: bytes, random: Random) -> bytes:
    """The bytes after a few of them were changed, lost, doubled or moved."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        place = random.randint(0, len(changed))
        length = random.choice((1, 1, 1, 2, 8, 100))
        kind = random.randrange(4)
        if kind == 0:
            changed[place : place + 1] = random.randbytes(1)
        elif kind == 1:
            del changed[place : place + length]
        elif kind == 2:
            changed[place:place] = random.randbytes(length)
        else:
            changed[place:place] = changed[: length * 4]
    return bytes(changed)


def mutate(message: Message, random: Random) -> None:
    """Change one field somewhere in a message: another value, one less, one more, one doubled."""
    target: Any = message
    while True:
        fields = target.DESCRIPTOR.fields
        field = random.choices(fields, [_weight(target, field) for field in fields])[0]
        if field.message_type is None:
            _mutate_field(target, field, random)
            return
        inner = getattr(target, field.name)
        if field.is_repeated:
            if not inner or random.random() < 0.1:
                _mutate_list(inner, random)
                return
            inner = random.choice(inner)
        target = inner


def _weight(message: Any, field: Any) -> float:
    """How likely a field is chosen: what holds something, and messages above all."""
    held = {item.name for item, _ in message.ListFields()}
    if field.name not in held:
        return 0.1
    return 1 if field.message_type is None else 4


def _mutate_list(items: Any, random: Random) -> None:
    if not items or random.random() < 0.3:
        items.add()
    elif random.random() < 0.5:
        items.append(random.choice(items))
    else:
        del items[random.randrange(len(items))]


def _mutate_field(message: Any, field: Any, random: Random) -> None:
    if not field.is_repeated:
        _set(message, field, random)
        return
    values = list(getattr(message, field.name))
    place = random.randint(0, len(values))
    kind = random.randrange(3)
    values[place : place + (kind > 0)] = [] if kind == 2 else [_value(field, random)]
    message.ClearField(field.name)
    try:
        getattr(message, field.name).extend(values)
    except (ValueError, TypeError):  # out of the field's range: leave it empty
        return


def _set(message: Any, field: Any, random: Random) -> None:
    try:
        setattr(message, field.name, _value(field, random))
    except (ValueError, TypeError):  # out of the field's range: leave it as it was
        return


def _value(field: Any, random: Random) -> Any:
    if field.type == field.TYPE_STRING:
        return random.choice(TEXTS)
    if field.type == field.TYPE_BYTES:
        return random.randbytes(random.choice((0, 1, 8, 16, 24, 32)))
    if field.type in (field.TYPE_DOUBLE, field.TYPE_FLOAT):
        return random.choice(FLOATS)
    return random.choice(NUMBERS) if random.random() < 0.5 else random.randint(-3, 14)
