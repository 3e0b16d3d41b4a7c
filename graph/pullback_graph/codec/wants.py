"""What a job wants: one message per want, and each field of it read by its name.

A want's seeds travel inside its message, names and arrays together; in a Job they stand apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pullback_graph.codec.tensors import decode_named, encode_named
from pullback_graph.errors import InputError
from pullback_graph.job import Tensor
from pullback_graph.limits import Limits
from pullback_graph.want import (
    Gradient,
    Hessian,
    Hvp,
    Jacobian,
    Jvp,
    Value,
    Vjp,
    Want,
    want_name,
)
from pullback_proto.v1 import job_pb2

Seeds = tuple[Mapping[str, Tensor], ...]

WANTS: dict[str, Any] = {
    kind.__name__.lower(): kind for kind in (Value, Gradient, Vjp, Jvp, Hvp, Jacobian, Hessian)
}
"""The wants by the name of their member of Job.want."""

_FIELDS = {name: tuple(item.name for item in fields(kind)) for name, kind in WANTS.items()}


def encode_want(job: Any, want: Want, seeds: Seeds) -> None:
    """Set Job.want.

    Raises:
        InputError: the seeds are not those that the want names.
    """
    name = want_name(want)
    message = getattr(job, name)
    message.SetInParent()
    for field in _FIELDS[name]:
        value = getattr(want, field)
        if field == "seeds":
            _encode_seeds(message.seeds, value, seeds, name)
        elif isinstance(value, str | bool):
            setattr(message, field, value)
        else:
            getattr(message, field).extend(value)
    if "seeds" not in _FIELDS[name] and seeds:
        raise InputError(f"a {name} takes no seeds, got {len(seeds)}", field="seeds")


def want_bytes(want: Want) -> bytes:
    """What a want without seeds is on the wire; of one with seeds, its names."""
    name = want_name(want)
    if "seeds" in _FIELDS[name]:
        return repr(want).encode()
    job = job_pb2.Job()
    encode_want(job, want, ())
    data: bytes = getattr(job, name).SerializeToString()
    return data


def decode_want(job: Any, limits: Limits) -> tuple[Want, Seeds]:
    """The want and its seeds.

    Raises:
        InputError: none is set, or a seed names one array twice.
        LimitExceeded: there are too many seeds or names.
    """
    name = job.WhichOneof("want")
    if name is None:
        known = ", ".join(WANTS)
        raise InputError(f"the job says not what is wanted; set one of {known}", field="want")
    message = getattr(job, name)
    values: dict[str, Any] = {}
    seeds: Seeds = ()
    for field in _FIELDS[name]:
        value = getattr(message, field)
        if field == "seeds":
            seeds = _decode_seeds(value, limits, name)
            value = tuple([tuple(seed) for seed in seeds])
        elif not isinstance(value, str | bool):
            limits.check("max_outputs", len(value), "names", f"{name}.{field}")
            value = tuple(value)
        values[field] = value
    want: Want = WANTS[name](**values)
    return want, seeds


def _encode_seeds(target: Any, named: tuple[tuple[str, ...], ...], seeds: Seeds, want: str) -> None:
    if [set(names) for names in named] != [set(seed) for seed in seeds]:
        raise InputError(
            f"the {want} names seeds {[list(names) for names in named]}, the job brings "
            f"{[list(seed) for seed in seeds]}; give an array for each name",
            field=f"{want}.seeds",
        )
    for names, seed in zip(named, seeds, strict=True):
        tensors = target.add().tensors
        for name in names:
            encode_named(tensors.add(), name, seed[name])


def _decode_seeds(items: Any, limits: Limits, want: str) -> Seeds:
    limits.check("max_seeds", len(items), "seeds", f"{want}.seeds")
    seeds = []
    for position, seed in enumerate(items):
        field = f"{want}.seeds[{position}]"
        limits.check("max_inputs", len(seed.tensors), "arrays in a seed", field)
        seeds.append(decode_named(seed.tensors, limits, field))
    return tuple(seeds)
