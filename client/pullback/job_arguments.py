"""From what users write to a Job: keywords to a want and to options. The same for every service."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, TypeAlias, TypedDict

from pullback.tape import Tape as RecordedTape
from pullback_graph.errors import InputError, RequestError
from pullback_graph.graph import Graph
from pullback_graph.job import GraphHash, Job, Options, Split
from pullback_graph.tape import Tape
from pullback_graph.want import Gradient, Value, Want

Arrays: TypeAlias = Mapping[str, Any]
"""Numbers, lists, arrays of any library, or handles of arrays sent before, by name."""
Names: TypeAlias = "str | Iterable[str]"
AnyGraph: TypeAlias = "Graph | Tape | RecordedTape | GraphHash"
"""What can be evaluated: a graph, a tape finished or being recorded, a graph sent before."""
FINISHED = (Graph, Tape, GraphHash)
GRAPHS = (*FINISHED, RecordedTape)

SPLIT_KINDS = ("auto", "none", "shard", "branch", "stage")
CHECKS = ("none", "finite", "report")
EXECUTORS = ("auto", "numpy", "tape", "xla")
DEVICES = ("auto", "gpu")


class OptionFields(TypedDict, total=False):
    """Keywords that say how a job runs; see `pullback_graph.job.Options`."""

    deadline_s: float | None
    priority: int
    executor: str
    device: str
    split: str | Split
    reproducible: bool
    memory_cap_bytes: int | None
    check: str
    certificate: bool
    timeline: bool


class Asked(OptionFields, total=False):
    """Keywords that say what is wanted of a graph, and how its job runs; see `make_job`."""

    gradient: Names | None
    want: Want | None
    seeds: Sequence[Arrays]


_DEFAULTS = Options()

_SPLIT = re.compile(r"(\w+)(?:\((\d+)\))?")


def make_job(
    graph: AnyGraph,
    inputs: Arrays,
    *,
    gradient: Names | None = None,
    want: Want | None = None,
    seeds: Sequence[Arrays] = (),
    options: Mapping[str, Any] = {},
    id: str = "",
) -> Job:
    """The job of `evaluate`'s arguments; neither `gradient` nor `want` asks for the value.

    Raises:
        InputError: the graph or the inputs are none, or two wants are given.
        RequestError: an option is unknown or out of its range.
    """
    if isinstance(graph, RecordedTape):
        graph = graph.build()
    if not isinstance(graph, FINISHED):
        raise InputError(
            f"a {type(graph).__name__} is no graph; pass pullback.trace(function, ...), "
            "pullback.parse(text), a Tape or the handle that put_graph gave",
            field="graph",
        )
    if type(inputs) is not dict and not isinstance(inputs, Mapping):
        raise InputError(
            f"inputs must be arrays by name, got a {type(inputs).__name__}; pass a dict",
            field="inputs",
        )
    if gradient is not None:
        if want is not None:
            raise InputError("give gradient or want, not both", field="want")
        want = Gradient(as_names(gradient))
    return Job(graph, inputs, want or _VALUE, tuple(seeds), make_options(options), id)


def asked_job(graph: AnyGraph, inputs: Arrays, asked: Asked) -> Job:
    """The job of the keywords that `evaluate` takes.

    Raises:
        RequestError: as `make_job`.
    """
    options: dict[str, Any] = {**asked}
    gradient, want = options.pop("gradient", None), options.pop("want", None)
    seeds = options.pop("seeds", ())
    return make_job(graph, inputs, gradient=gradient, want=want, seeds=seeds, options=options)


def make_options(given: Mapping[str, Any]) -> Options:
    """The options of keywords.

    Raises:
        RequestError: one is unknown or out of its range; the message says what is known.
    """
    if not given:
        return _DEFAULTS
    for name in given:
        if name not in _ALLOWED:
            raise RequestError(
                f"there is no option {name!r}; known are {', '.join(_ALLOWED)}", field=name
            )
        allowed, wanted = _ALLOWED[name]
        if not allowed(given[name]):
            raise RequestError(f"{name} must be {wanted}, got {given[name]!r}", field=name)
    return Options(**{**given, "split": make_split(given.get("split", "auto"))})


def make_split(value: str | Split) -> Split:
    """The split written as `shard`, or `shard(4)` for four of them.

    Raises:
        RequestError: it is none.
    """
    if isinstance(value, Split):
        return value
    found = _SPLIT.fullmatch(value.strip())
    if found is None or found[1] not in SPLIT_KINDS:
        raise RequestError(
            f"{value!r} is no split; write one of {', '.join(SPLIT_KINDS)}, or shard(4) for four",
            field="split",
        )
    return Split(found[1], int(found[2] or 0))


def as_names(names: Names) -> tuple[str, ...]:
    """One name or several, as a tuple."""
    return (names,) if isinstance(names, str) else tuple(names)


_VALUE = Value()


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and isfinite(value) and value > 0


_ALLOWED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "deadline_s": (lambda x: x is None or _is_positive(x), "a positive number of seconds"),
    "priority": (lambda x: _is_whole(x) and abs(x) < 1 << 31, "a whole number of 32 bits"),
    "executor": (EXECUTORS.__contains__, f"one of {', '.join(EXECUTORS)}"),
    "device": (DEVICES.__contains__, f"one of {', '.join(DEVICES)}"),
    "split": (lambda x: isinstance(x, str | Split), "a split, such as shard(4)"),
    "reproducible": (lambda x: isinstance(x, bool), "True or False"),
    "memory_cap_bytes": (
        lambda x: x is None or (_is_whole(x) and 0 < x < 1 << 63),
        "a positive whole number of bytes",
    ),
    "certificate": (lambda x: isinstance(x, bool), "True or False"),
    "timeline": (lambda x: isinstance(x, bool), "True or False"),
    "check": (CHECKS.__contains__, f"one of {', '.join(CHECKS)}"),
}
"""What each option may be, and how to say so."""
