"""`einsum` in every form users write, brought to the explicit subscripts the row takes."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_letters
from typing import Any

from pullback.tracing.apply import Value, apply, cast
from pullback.tracing.promotion import common, promoted
from pullback_graph.errors import ShapeError, TraceError
from pullback_graph.types import INT64


def einsum(subscripts: str, /, *operands: Any, optimize: Any = False) -> Any:
    """Einstein summation: `einsum("ij,jk->ik", x, y)`; without `->`, over repeated labels.

    An ellipsis stands for axes that broadcast. Contracted from left to right; `optimize` is
    accepted and ignored.

    Raises:
        TraceError: the subscripts are not a string.
        ShapeError: they do not fit the operands.
    """
    if not isinstance(subscripts, str):
        raise TraceError("einsum takes its subscripts as a string: einsum('ij,jk->ik', x, y)")
    values = promoted(common, operands)
    values = [cast(value, INT64) if value.dtype.kind == "b" else value for value in values]
    explicit = explicit_subscripts(subscripts, [value.ndim for value in values])
    left, _, output = explicit.partition("->")
    terms, values = _without_ones(left.split(","), values)
    return apply("einsum", *values, subscripts=f"{','.join(terms)}->{output}")


def explicit_subscripts(subscripts: str, ranks: Sequence[int]) -> str:
    """Subscripts with an output and a letter for every axis, for operands of these ranks.

    Raises:
        ShapeError: a term and its operand's rank differ, or the output leaves out the ellipsis.
    """
    left, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise ShapeError(f"{subscripts!r} has {len(terms)} terms for {len(ranks)} operand(s)")
    hidden = [rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=True)]
    if any([n < 0 or (n > 0 and "..." not in t) for n, t in zip(hidden, terms, strict=True)]):
        raise ShapeError(f"{subscripts!r} does not fit operands of {list(ranks)} axes")
    spare = [letter for letter in ascii_letters if letter not in subscripts]
    names = "".join(spare[: max(hidden)])
    filled = [
        term.replace("...", names[len(names) - n :]) for term, n in zip(terms, hidden, strict=True)
    ]
    if not arrow:
        labels = sorted(set(left) - set(".,"))
        output = "..." + "".join([label for label in labels if left.count(label) == 1])
    elif names and "..." not in output:
        raise ShapeError(f"{subscripts!r} leaves the axes of ... out of its output; add ... there")
    return f"{','.join(filled)}->{output.replace('...', names)}"


def _without_ones(terms: list[str], values: list[Value]) -> tuple[list[str], list[Value]]:
    """Terms and operands without the axes of size one that another operand's broadcast."""
    sizes: dict[str, int] = {}
    for term, value in zip(terms, values, strict=True):
        for label, size in zip(term, value.shape, strict=True):
            sizes[label] = size if sizes.get(label, 1) == 1 else sizes[label]
    kept_terms, kept_values = [], []
    for term, value in zip(terms, values, strict=True):
        pairs = zip(term, value.shape, strict=True)
        ones = tuple([i for i, (c, size) in enumerate(pairs) if size == 1 and sizes[c] != 1])
        kept_terms.append("".join([c for i, c in enumerate(term) if i not in ones]))
        kept_values.append(apply("squeeze", value, axes=ones) if ones else value)
    return kept_terms, kept_values
