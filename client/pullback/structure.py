"""Nested tuples, lists, dicts and dataclasses as flat leaves and back; nothing here knows arrays.

What a container is stands in one table (`_CONTAINERS`); everything else is a leaf, `None` included.
A leaf has a dotted path, `layers.0.w`: the key, position or field on each level.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any, NamedTuple, TypeAlias

from pullback_graph.errors import InputError

Tree: TypeAlias = Any
"""A leaf, or a container of trees."""


@dataclass(frozen=True, eq=True)
class Structure:
    """The shape of a tree without its leaves. Hashable; two are equal when their trees nest alike.

    A subclass of dict comes back as a dict, and a dataclass without its `__post_init__` being run.

    Attributes:
        kind: the container's class, or None for a leaf.
        keys: the name of each child: a dict's key, a position, a field.
    """

    kind: type | None = None
    keys: tuple[Any, ...] = ()
    children: tuple[Structure, ...] = ()

    @cached_property
    def leaf_count(self) -> int:
        """How many leaves the tree has."""
        return 1 if self.kind is None else sum(child.leaf_count for child in self.children)

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The dotted path of each leaf; a lone leaf has the empty path."""
        if self.kind is None:
            return ("",)
        pairs = zip(self.keys, self.children, strict=True)
        return tuple([joined(str(key), path) for key, child in pairs for path in child.paths])

    def unflatten(self, leaves: Sequence[Any]) -> Tree:
        """The tree of this structure with the given leaves, in order."""
        assert len(leaves) == self.leaf_count, "a leaf for every place"
        return self._build(iter(leaves))

    def at(self, path: str) -> tuple[Structure, int]:
        """The subtree at a dotted path, and the number of its first leaf.

        Raises:
            InputError: nothing is there; the message lists what is.
        """
        if not path:
            return self, 0
        starts = accumulate([child.leaf_count for child in self.children], initial=0)
        inside = [
            (str(key), child, start)
            for key, child, start in zip(self.keys, self.children, starts, strict=False)
            if path == str(key) or path.startswith(f"{key}.")
        ]
        if inside:  # keys may hold dots themselves: the longest that fits
            name, child, start = max(inside, key=lambda found: len(found[0]))
            found, offset = child.at(path[len(name) + 1 :])
            return found, start + offset
        known = ", ".join(str(key) for key in self.keys) or "nothing inside"
        raise InputError(f"there is no {path!r}; known: {known}", field=path)

    def _build(self, leaves: Iterator[Any]) -> Tree:
        if self.kind is None:
            return next(leaves)
        values = [child._build(leaves) for child in self.children]
        container = _container_of(self.kind)
        assert container is not None, "a structure is made of containers"
        return container.build(self.kind, self.keys, values)


LEAF = Structure()
"""The structure of a lone leaf."""


def flatten(tree: Tree) -> tuple[list[Any], Structure]:
    """The leaves of a tree, in order, and its structure."""
    leaves: list[Any] = []
    return leaves, _flatten(tree, leaves)


def map_leaves(function: Callable[[Any], Any], tree: Tree) -> Tree:
    """The tree with `function` applied to each leaf."""
    leaves, structure = flatten(tree)
    return structure.unflatten([function(leaf) for leaf in leaves])


def joined(*parts: str) -> str:
    """A dotted path of the parts that are not empty."""
    return ".".join([part for part in parts if part])


# --- containers -----------------------------------------------------------------------------------


class _Container(NamedTuple):
    """How one sort of container is recognised, taken apart and put together again."""

    is_kind: Callable[[type], bool]
    items: Callable[[Any], tuple[Sequence[Any], Sequence[Any]]]
    """The container -> its keys and its values."""
    build: Callable[[Any, Sequence[Any], Sequence[Any]], Any]
    """Class, keys and values -> the container."""


def _positions(value: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
    return range(len(value)), value


def _named(value: Any) -> tuple[Sequence[Any], Sequence[Any]]:
    return value._fields, value


def _fields(value: Any) -> tuple[Sequence[Any], Sequence[Any]]:
    names = [field.name for field in fields(value)]
    return names, [getattr(value, name) for name in names]


def _build_dataclass(kind: type, keys: Sequence[Any], values: Sequence[Any]) -> Any:
    """A dataclass with these fields. `__post_init__` is not run: it may refuse traced values."""
    made: Any = object.__new__(kind)
    for key, value in zip(keys, values, strict=True):
        object.__setattr__(made, key, value)
    return made


_CONTAINERS = (
    _Container(lambda kind: kind is tuple, _positions, lambda kind, keys, values: tuple(values)),
    _Container(lambda kind: kind is list, _positions, lambda kind, keys, values: list(values)),
    _Container(
        lambda kind: issubclass(kind, tuple) and hasattr(kind, "_fields"),
        _named,
        lambda kind, keys, values: kind(*values),
    ),
    _Container(
        lambda kind: issubclass(kind, dict),
        lambda value: (list(value.keys()), list(value.values())),
        lambda kind, keys, values: dict(zip(keys, values, strict=True)),
    ),
    _Container(is_dataclass, _fields, _build_dataclass),
)


@lru_cache(maxsize=1024)
def _container_of(kind: Any) -> _Container | None:
    """The row for a class, or None where its values are leaves."""
    return next((container for container in _CONTAINERS if container.is_kind(kind)), None)


def _flatten(tree: Tree, leaves: list[Any]) -> Structure:
    kind: Any = type(tree)
    container = _container_of(kind)
    if container is None:
        leaves.append(tree)
        return LEAF
    keys, values = container.items(tree)
    children = tuple([_flatten(value, leaves) for value in values])
    return Structure(kind, tuple(keys), children)
