"""What a job wants of a graph: its value, or one of its derivatives. Names only; seeds are data.

A want with seeds says which outputs (vjp) or inputs (jvp, hvp) each seed covers; the seed arrays
travel beside the inputs, as the inputs `seed_name(k, name)` of the lowered graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

Names: TypeAlias = tuple[str, ...]

SPARSE = "sparse"
"""The feature, and the field of a want, by which derivatives come as sparse matrices."""


class _Featured:
    """A want that may need more than the first version of the wire has."""

    __slots__ = ()

    @property
    def features(self) -> Names:
        """What whoever answers it must know, so as to answer it as it is meant."""
        return (SPARSE,) if getattr(self, SPARSE, False) else ()


@dataclass(frozen=True, slots=True)
class Value(_Featured):
    """Outputs by name; none named means all."""

    outputs: Names = ()


@dataclass(frozen=True, slots=True)
class Gradient(_Featured):
    """Gradient of one scalar output (empty: the only one) with respect to `wrt`."""

    wrt: Names
    output: str = ""


@dataclass(frozen=True, slots=True)
class Vjp(_Featured):
    """For each seed, the cotangents of `wrt` given cotangents of the named outputs."""

    wrt: Names
    seeds: tuple[Names, ...]


@dataclass(frozen=True, slots=True)
class Jvp(_Featured):
    """For each seed, the tangents of all outputs given tangents of the named inputs."""

    seeds: tuple[Names, ...]


@dataclass(frozen=True, slots=True)
class Hvp(_Featured):
    """For each seed, the Hessian of one scalar output times a direction in the named inputs."""

    wrt: Names
    seeds: tuple[Names, ...]
    output: str = ""


@dataclass(frozen=True, slots=True)
class Jacobian(_Featured):
    """The Jacobian of each named output (none named: all): shape output.shape + input.shape.

    A sparse one is a matrix of output.size rows and input.size columns, without its zeros.
    """

    wrt: Names
    outputs: Names = ()
    sparse: bool = False


@dataclass(frozen=True, slots=True)
class Hessian(_Featured):
    """The Hessian of one scalar output, a block per pair: shape first.shape + second.shape.

    A sparse one is a matrix of first.size rows and second.size columns, without its zeros.
    """

    wrt: Names
    output: str = ""
    sparse: bool = False


Want: TypeAlias = "Value | Gradient | Vjp | Jvp | Hvp | Jacobian | Hessian"


class DerivativeKey(NamedTuple):
    """Which derivative an array is: of `output`, by `input` (and `second_input`), for one seed.

    A jvp has no input; a gradient, vjp or jacobian no second input; without seeds `seed` is 0.
    """

    output: str
    input: str = ""
    second_input: str = ""
    seed: int = 0

    @property
    def title(self) -> str:
        """The name of an output that holds it: `d(output)/d(input)`, with `@k` after seed k."""
        below = f"/d({self.input})" if self.input else ""
        return f"d({self.output}){below}" + (f"@{self.seed}" if self.seed else "")


def seed_name(seed: int, name: str) -> str:
    """Name of the lowered graph's input that holds seed number `seed` for `name`."""
    return f"seed:{seed}:{name}"


def want_name(want: Want) -> str:
    """`value`, `gradient`, `vjp`, ...: the name used on the wire and in metric labels."""
    return type(want).__name__.lower()
