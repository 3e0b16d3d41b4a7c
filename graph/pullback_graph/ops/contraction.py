"""The row `einsum`: explicit subscripts, closed under differentiation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from string import ascii_letters
from typing import NamedTuple

from pullback_graph.attributes import Attribute, Kind, Lead
from pullback_graph.errors import ArityError, AttributeFault, ShapeError
from pullback_graph.op import VARIADIC, Axes, Both, Cost, Example, Factors, Moves, Op
from pullback_graph.ops.rules import NUMERIC, check_kind, check_same_dtype, moved_bytes, reals
from pullback_graph.ref import Ref, do
from pullback_graph.types import ArrayType, Shape

MAX_OPERANDS = 64
"""The derivative by n operands is n contractions of n operands each."""


class Subscripts(NamedTuple):
    """Subscripts taken apart: the labels of each operand, and of the result."""

    terms: tuple[str, ...]
    output: str


@lru_cache(maxsize=1024)
def parsed(subscripts: str) -> Subscripts:
    """The parts of explicit subscripts such as `ij,jk->ik`.

    Raises:
        AttributeFault: they are not explicit, use an ellipsis or other characters, or the output
            repeats a label or has one of its own.
    """
    left, arrow, output = subscripts.partition("->")
    terms = tuple(left.split(","))
    labels = "".join(terms)
    if not arrow or not set(labels + output) <= set(ascii_letters):
        raise AttributeFault(
            f"subscripts {subscripts!r} must be letters, commas and one ->, as in 'ij,jk->ik'; "
            "write every axis as a letter"
        )
    if len(set(output)) < len(output) or not set(output) <= set(labels):
        raise AttributeFault(
            f"subscripts {subscripts!r}: the output {output!r} must name labels of the operands, "
            "each once"
        )
    return Subscripts(terms, output)


def _sizes(terms: Sequence[str], operands: Sequence[ArrayType]) -> dict[str, int]:
    """The size of every label."""
    sizes: dict[str, int] = {}
    for term, operand in zip(terms, operands, strict=True):
        if len(term) != operand.rank:
            raise ShapeError(
                f"term {term!r} has {len(term)} labels for an operand of shape {operand.shape}; "
                "give one per axis"
            )
        for label, size in zip(term, operand.shape, strict=True):
            if sizes.setdefault(label, size) != size:
                raise ShapeError(
                    f"label {label!r} stands for sizes {sizes[label]} and {size}; transpose or "
                    "reshape one operand"
                )
    return sizes


def _type(*operands: ArrayType, subscripts: str) -> ArrayType:
    terms, output = parsed(subscripts)
    if len(terms) != len(operands):
        raise ArityError(f"subscripts {subscripts!r} are for {len(terms)} operand(s)")
    if len(terms) > MAX_OPERANDS:
        raise ArityError(
            f"{len(terms)} operands, where at most {MAX_OPERANDS} are taken; contract in steps"
        )
    check_same_dtype(*operands)
    check_kind(operands[0], NUMERIC)
    sizes = _sizes(terms, operands)
    return ArrayType(operands[0].dtype, tuple([sizes[label] for label in output]))


# --- derivative -----------------------------------------------------------------------------------


def _jvp(tangents: Sequence[Ref | None], z: Ref, *operands: Ref, subscripts: str) -> Ref | None:
    """The sum over the operands of the same contraction with one replaced by its tangent."""
    total: Ref | None = None
    for i, tangent in enumerate(tangents):
        if tangent is not None:
            replaced = [*operands[:i], tangent, *operands[i + 1 :]]
            term = do.einsum(*replaced, subscripts=subscripts)
            total = term if total is None else total + term
    return total


def _vjp(g: Ref, z: Ref, *operands: Ref, subscripts: str) -> list[Ref | None]:
    return [
        _cotangent(i, g, operands, parsed(subscripts)) if x.type.is_floating else None
        for i, x in enumerate(operands)
    ]


def _cotangent(i: int, g: Ref, operands: Sequence[Ref], subscripts: Subscripts) -> Ref:
    """g contracted with the other operands, spread over labels that operand `i` alone has."""
    terms, output = subscripts
    others = [j for j in range(len(operands)) if j != i]
    given = [output, *[terms[j] for j in others]]
    unique = "".join(dict.fromkeys(terms[i]))
    reached = "".join([label for label in unique if label in "".join(given)])
    z: Ref = do.einsum(
        g, *[operands[j] for j in others], subscripts=f"{','.join(given)}->{reached}"
    )
    if reached != unique:
        z = _spread(z, reached, unique, dict(zip(terms[i], operands[i].shape, strict=True)))
    return z if unique == terms[i] else _on_diagonal(z, unique, terms[i], operands[i].shape)


def _spread(z: Ref, reached: str, unique: str, sizes: dict[str, int]) -> Ref:
    """`z` repeated along the labels it lacks."""
    missing = tuple([axis for axis, label in enumerate(unique) if label not in reached])
    expanded = do.expand_dims(z, axes=missing)
    spread: Ref = do.broadcast_to(expanded, shape=tuple([sizes[label] for label in unique]))
    return spread


def _on_diagonal(z: Ref, unique: str, term: str, shape: Shape) -> Ref:
    """`z` where repeated labels agree, zero elsewhere: a product with identity matrices."""
    spare = iter([label for label in ascii_letters if label not in term])
    seen: set[str] = set()
    output, identities, factors = "", [], []
    for label, size in zip(term, shape, strict=True):
        own = next(spare) if label in seen else label
        if own != label:
            identities.append(label + own)
            factors.append(z.builder.add("eye", rows=size, columns=size, k=0, dtype=z.dtype))
        seen.add(label)
        output += own
    terms = ",".join([unique, *identities])
    placed: Ref = do.einsum(z, *factors, subscripts=f"{terms}->{output}")
    return placed


# --- mapping, axes, cost -------------------------------------------------------------------------


def _with_label(subscripts: str, lead: Lead) -> str | None:
    """A new label for the leading axis; None where no letter is left."""
    terms, output = parsed(subscripts)
    spare = next((letter for letter in ascii_letters if letter not in subscripts), None)
    if spare is None:
        return None
    named = [spare * flag + term for term, flag in zip(terms, lead.mapped, strict=True)]
    return f"{','.join(named)}->{spare}{output}"


def _axes(operands: Sequence[ArrayType], results: Sequence[ArrayType], *, subscripts: str) -> Axes:
    """Labels are factors, contracted by addition; one repeated in an operand must stay whole."""
    terms, output = parsed(subscripts)
    blocked = {label for term in terms for label in term if term.count(label) > 1}
    labels = [c for c in dict.fromkeys(output + "".join(terms)) if c not in blocked]
    numbers = {label: number for number, label in enumerate(labels)}

    def factors(term: str) -> Factors:
        return tuple([numbers.get(label) for label in term])

    contracted = [numbers[label] for label in labels if label not in output]
    return Axes(tuple(map(factors, terms)), (factors(output),), dict.fromkeys(contracted, "add"))


def _cost(operands: Sequence[ArrayType], results: Sequence[ArrayType], *, subscripts: str) -> Cost:
    """Operands contracted from left to right, a label being summed once nothing later needs it."""
    terms, output = parsed(subscripts)
    sizes = _sizes(terms, operands)
    itemsize = operands[0].dtype.itemsize
    size_bytes = moved_bytes(operands, results)
    if len(terms) == 1:
        return Cost(float(operands[0].size) if len(output) < len(terms[0]) else 0.0, size_bytes)
    flops, done = 0.0, set(terms[0])
    for position, term in enumerate(terms[1:], 1):
        step = done | set(term)
        done = step & (set(output) | set("".join(terms[position + 1 :])))
        flops += prod([sizes[label] for label in step]) * (1.0 if done == step else 2.0)
        if position < len(terms) - 1:
            size_bytes += 2.0 * itemsize * prod([sizes[label] for label in done])
    return Cost(flops, size_bytes)


def _scratch(operands: Sequence[ArrayType], *, subscripts: str) -> int:
    """Bytes of the largest two partial contractions that stand side by side."""
    terms, output = parsed(subscripts)
    sizes = _sizes(terms, operands)
    done, before, largest = set(terms[0]), 0, 0
    for position, term in enumerate(terms[1:-1], 1):
        done = (done | set(term)) & (set(output) | set("".join(terms[position + 1 :])))
        after = prod([sizes[label] for label in done])
        largest, before = max(largest, before + after), after
    return largest * operands[0].dtype.itemsize


_EINSUM = Op(
    "einsum",
    operands=VARIADIC,
    attributes=(Attribute("subscripts", Kind.STRING, leading=_with_label),),
    type=_type,
    run=lambda k, *, subscripts: k.einsum(subscripts),
    derivative=Both(_jvp, _vjp),
    axes=_axes,
    cost=_cost,
    domain=reals(
        1,
        examples=[
            Example(((2, 3), (3, 4)), {"subscripts": "ij,jk->ik"}),
            Example(((4, 2, 3), (4, 3, 2)), {"subscripts": "bij,bjk->bki"}),
            Example(((2, 3), (2, 3)), {"subscripts": "ij,ij->i"}),
            Example(((2,), (3,)), {"subscripts": "i,j->ji"}),
            Example(((3, 3),), {"subscripts": "ii->"}),
            Example(((3, 3, 2),), {"subscripts": "iij->ji"}),
            Example(((2, 2, 2),), {"subscripts": "iii->i"}),
            Example(((2, 3),), {"subscripts": "ij->j"}),
            Example(((2, 3), ()), {"subscripts": "ij,->j"}),
            Example(((2, 2, 3), (3, 3, 4)), {"subscripts": "iij,jjk->ik"}),
            Example(((2, 3), (3, 4), (4, 2)), {"subscripts": "ij,jk,kl->il"}),
            Example(((2, 0), (0, 3)), {"subscripts": "ij,jk->ik"}),
        ],
    ),
    scratch=_scratch,
    moves=Moves.MULTIPLIES,
    doc="Einstein summation of up to 64 operands, contracted from left to right.",
)

ROWS: tuple[Op, ...] = (_EINSUM,)
