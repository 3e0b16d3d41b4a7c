"""Nested containers are taken apart and put together without loss."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback.structure import LEAF, flatten, map_leaves
from pullback_graph.errors import InputError


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass(frozen=True)
class Layer:
    w: Any
    b: Any = 0
    name: str = field(default="layer", kw_only=True)

    def __post_init__(self) -> None:
        if self.w is None:
            raise ValueError("w is needed")


leaves = st.none() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=2)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.sampled_from("abc"), inner)
        | st.builds(Pair, inner, inner)
        | st.builds(Layer, inner.filter(lambda x: x is not None), inner)
    ),
    max_leaves=8,
)


@given(tree=trees)
def test_round_trip(tree: Any):
    """Unflattening the leaves gives the tree again, and the structure has a path per leaf."""
    flat, structure = flatten(tree)
    assert structure.unflatten(flat) == tree
    assert structure.leaf_count == len(flat) == len(structure.paths)
    again = flatten(structure.unflatten(flat))[1]
    assert again == structure
    assert hash(again) == hash(structure)


@given(tree=trees)
def test_every_leaf_is_at_its_path(tree: Any):
    """A leaf is found at its path, at its place."""
    _, structure = flatten(tree)
    for place, path in enumerate(structure.paths):
        assert structure.at(path) == (LEAF, place)


def test_paths_and_subtrees():
    """Paths join keys, positions and fields with dots; a subtree knows its first leaf."""
    tree = {"layers": [Layer(1, 2), Layer(3, 4)], "pair": Pair(5, {"x": 6})}
    flat, structure = flatten(tree)
    assert structure.paths == (
        "layers.0.w",
        "layers.0.b",
        "layers.0.name",
        "layers.1.w",
        "layers.1.b",
        "layers.1.name",
        "pair.left",
        "pair.right.x",
    )
    subtree, first = structure.at("layers.1")
    assert subtree.unflatten(flat[first : first + subtree.leaf_count]) == Layer(3, 4)
    assert structure.at("pair.right")[1] == 7


def test_keys_with_dots():
    """A key that holds a dot is found all the same."""
    flat, structure = flatten({"a": 1, "a.b": {"c": 2}})
    assert flat[structure.at("a.b.c")[1]] == 2


def test_an_unknown_path_lists_what_is_known():
    """Asking for what is not there is an error that lists what is."""
    _, structure = flatten({"w": 1, "b": 2})
    with pytest.raises(InputError, match="no 'x'; known: w, b"):
        structure.at("x")


def test_post_init_is_not_run():
    """A dataclass is put together without its checks, which leaves of another kind may not pass."""
    assert map_leaves(lambda _: None, Layer(1)).w is None


def test_subclasses_of_dict_come_back_as_dicts():
    """An ordered dict is a dict in its order."""
    flat, structure = flatten(OrderedDict(b=1, a=2))
    assert flat == [1, 2]
    assert structure.unflatten(flat) == {"b": 1, "a": 2}


def test_a_class_is_a_leaf():
    """A class, even of a dataclass, is no container."""
    assert flatten(Layer) == ([Layer], LEAF)
