"""`at(x)[index].set(y)`: a copy of an array changed at an index, since traced arrays cannot change.

All of NumPy's indices work, as in `x[index]`. At places that come up more than once, `add` adds
every value and `set` keeps the last.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.tracing.apply import Value, apply, as_value, cast
from pullback.tracing.indexing import Index, canonical_index, take_at
from pullback_graph.types import INT64


class Updates:
    """`at(x)`: index it to say where."""

    __slots__ = ("_x",)

    def __init__(self, x: Value) -> None:
        self._x = x

    def __getitem__(self, index: Any) -> Update:
        return Update(self._x, canonical_index(self._x.shape, index))


class Update:
    """`at(x)[index]`: what to do there. Values broadcast, and are cast to the array's dtype."""

    __slots__ = ("_index", "_x")

    def __init__(self, x: Value, index: Index) -> None:
        self._x = x
        self._index = index

    def get(self) -> Any:
        """The elements there: `x[index]`."""
        return take_at(self._x, self._index)

    def set(self, y: Any) -> Any:
        """The array with `y` there."""
        if self._index.is_basic and set(self._index.steps) <= {1}:
            starts = np.asarray(self._index.starts, INT64)
            return apply("dynamic_update_slice", self._x, self._block(y), starts)
        places, values = self._flat(y)
        return self._written(places, values)

    def add(self, y: Any) -> Any:
        """The array with `y` added there."""
        x, index = self._x, self._index
        if index.is_basic:
            placed = apply(
                "unslice", self._block(y), shape=x.shape, starts=index.starts, steps=index.steps
            )
            return apply("add", x, placed)
        places, values = self._flat(y)
        flat = apply("reshape", x, shape=(x.size,))
        added = apply("scatter_add", flat, places, values, axis=0)
        return apply("reshape", added, shape=x.shape)

    def subtract(self, y: Any) -> Any:
        """The array with `y` subtracted there."""
        return self.add(apply("negative", self._values(y)))

    def multiply(self, y: Any) -> Any:
        """The array with its elements there multiplied by `y`."""
        return self.set(apply("multiply", self.get(), self._values(y)))

    # --- inside -----------------------------------------------------------------------------------

    def _values(self, y: Any) -> Value:
        return cast(as_value(y), self._x.dtype)

    def _block(self, y: Any) -> Value:
        """`y` in the shape of the slice that a basic index takes, no axis dropped or added."""
        index, shape = self._index, self._x.shape
        sizes = [
            len(range(*bounds))
            for bounds in zip(index.starts, index.stops, index.steps, strict=True)
        ]
        kept = [size for axis, size in enumerate(sizes) if axis not in index.positions]
        for axis in index.new_axes:
            kept.insert(axis, 1)
        values = apply("broadcast_to", self._values(y), shape=tuple(kept))
        block: Value = apply("reshape", values, shape=tuple(sizes))
        assert len(sizes) == len(shape), "a slice keeps the rank"
        return block

    def _flat(self, y: Any) -> tuple[Value, Value]:
        """The places of the elements in the flat array, and the values that go there."""
        order = np.arange(self._x.size, dtype=INT64).reshape(self._x.shape)
        places = as_value(take_at(order, self._index))
        values = apply("broadcast_to", self._values(y), shape=places.shape)
        return (
            apply("reshape", places, shape=(places.size,)),
            apply("reshape", values, shape=(places.size,)),
        )

    def _written(self, places: Value, values: Value) -> Any:
        """Values at flat places: of those for one place, the last."""
        x = self._x
        if not places.size:
            return x
        order = apply("argsort", places, axis=0)
        places = apply("take", places, order, axis=0)
        values = apply("take", values, order, axis=0)
        after = apply("slice", places, starts=(1,), stops=(places.size,), steps=(1,))
        before = apply("slice", places, starts=(0,), stops=(places.size - 1,), steps=(1,))
        last = apply("concat", apply("not_equal", before, after), np.ones(1, bool), axis=0)
        blank = np.zeros((x.size,), x.dtype)
        one = apply("astype", last, dtype=INT64)
        touched = apply("scatter_add", np.zeros((x.size,), INT64), places, one, axis=0)
        kept = apply("where", last, values, np.zeros((), x.dtype))
        written = apply("scatter_add", blank, places, kept, axis=0)
        flat = apply("reshape", x, shape=(x.size,))
        changed = apply("where", apply("greater", touched, np.asarray(0)), written, flat)
        return apply("reshape", changed, shape=x.shape)


def at(x: Any) -> Updates:
    """`at(x)[index].set(y)` or `.add(y)`: a copy of `x` changed at an index."""
    return Updates(as_value(x))
