"""Job options as they are written: `--option deadline_s=2 --option split=shard(4)`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pullback.command_line.values import parse_pairs
from pullback.job_arguments import make_options


def read_options(pairs: Iterable[str]) -> dict[str, Any]:
    """Options by name; numbers, true and false are read as such.

    Raises:
        RequestError: one is unknown or out of its range.
    """
    options = {name: _value(text) for name, text in parse_pairs(pairs, "--option").items()}
    make_options(options)
    return options


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
