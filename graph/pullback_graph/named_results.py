"""A job's results by name: a dict that, asked for what it has not, says what it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from pullback_graph.errors import UnknownResult

Key = TypeVar("Key")
MOST_NAMED = 20
"""Results listed in an error."""


class NamedResults(dict[Key, Any]):
    """Arrays by name (or by a pair of names), in order.

    Args:
        title: what they are, for the error: `output`, `gradient`, ...

    Raises:
        UnknownResult: on a look-up of what is not there; a KeyError too.
    """

    __slots__ = ("title",)

    def __init__(self, title: str, items: Mapping[Key, Any] | Iterable[tuple[Key, Any]]) -> None:
        dict.__init__(self, items)
        self.title = title

    def __missing__(self, key: Any) -> Any:
        raise UnknownResult(f"there is no {self.title} {_shown(key)}; {self._there_are(key)}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.title, dict(self))

    def _there_are(self, key: Any) -> str:
        if not self:
            return f"the job gave none: ask for the {self.title} with the job"
        names = [_shown(name) for name in list(self)[:MOST_NAMED]]
        more = f" and {len(self) - MOST_NAMED} more" if len(self) > MOST_NAMED else ""
        near = get_close_matches(_shown(key), [_shown(name) for name in self], n=1, cutoff=0.75)
        hint = f"did you mean {near[0]}? " if near else ""
        return f"{hint}there {'is' if len(self) == 1 else 'are'}: {', '.join(names)}{more}"


def _shown(key: Any) -> str:
    text = repr(tuple(key) if isinstance(key, tuple) else key)
    return text if len(text) <= 80 else text[:77] + "..."
