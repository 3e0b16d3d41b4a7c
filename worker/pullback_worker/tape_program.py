"""A tape compiled for what a job wants: values and derivatives by sweeps, with no symbolic work.

A program takes the job's inputs, then its seeds, and gives values, then derivatives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from pullback_graph.errors import Cancelled, OutOfMemory
from pullback_graph.tape import Tape
from pullback_graph.tape.rows import NDArray
from pullback_graph.want import DerivativeKey, Names, Value, Want
from pullback_worker.executor import CancelFlag
from pullback_worker.tape_code import Code, link
from pullback_worker.tape_forward import linearise, linearise_twice
from pullback_worker.tape_plain import Plain, is_plain, wrong_count, wrong_size
from pullback_worker.tape_scratch import SCRATCH
from pullback_worker.tape_sweeps import (
    MAX_SEEDS,
    forward_seeds,
    reverse,
    reverse_seeds,
    reverse_twice,
)
from pullback_worker.tape_wants import Asked, Mode, asked_of, cut
from pullback_worker.tape_warm import warm

_LANE_BYTES = 1 << 19
"""Seeds are swept side by side while their adjoints stay near."""
_LEAST_LANES = 8
_MOST_BYTES = 1 << 29


class TapeProgram:
    """A tape ready to run. Safe to call from several threads at once.

    Attributes:
        tape, want: what it was compiled from.
        inputs: the arrays it takes: the tape's inputs, then the seeds.
        value_count: how many of its results are values.
        derivatives: what each further result is.
        independent: names in `wrt` that nothing wanted depends on; their derivatives are zeros.
        adjoints: how many adjoints of nodes its reverse sweeps finish.
        mode, mode_reason: how derivatives are computed, in words; empty for values.
        point_count: at how many points it runs at once.
    """

    point_count = 1

    def __init__(self, tape: Tape, want: Want) -> None:
        self.tape = tape
        self.want = want
        asked = asked_of(tape, want)
        warm(tape.dtype, asked.mode)
        values = [tape.outputs[position].values for position in asked.values]
        self._code = link(tape, values, asked.seeded_outputs)
        self._asked = asked
        self.mode, self.mode_reason = asked.told
        self._plain = Plain(tape, self._code, asked) if is_plain(asked) else None
        self.inputs = tape.inputs + tuple([item for group in asked.given for item in group])
        self.value_count = len(asked.values)
        self.derivatives: tuple[DerivativeKey, ...] = asked.keys
        self.independent = self._independent()
        sweeps = {Mode.REVERSE: len(asked.seeds), Mode.SECOND: 1}.get(asked.mode, 0)
        self.adjoints = self._code.flowing * sweeps

    def __call__(
        self, arrays: Sequence[NDArray], cancel: CancelFlag | None = None
    ) -> list[NDArray]:
        """Values, then derivatives, for inputs and seeds in order.

        Raises:
            InputError: a wrong number of arrays, or one of another size.
            Cancelled: the flag was set while it ran.
            OutOfMemory: the machine's arrays could not be allocated.
        """
        if self._plain is not None:
            look(cancel)
            try:
                return self._plain(arrays)
            except MemoryError:
                raise self._too_large() from None
        flat = self._flat(arrays)
        try:
            run = _Run(self._code, self._asked, self.tape, flat, cancel)
            results = run.values()
            if self.derivatives:
                results += cut(self._asked, run.derivatives())
        except MemoryError:
            raise self._too_large() from None
        return results

    def _too_large(self) -> OutOfMemory:
        return OutOfMemory(
            f"not enough memory to run a tape of {len(self.tape)} nodes; send a smaller one, "
            "or fewer seeds at once"
        )

    @property
    def peak_bytes(self) -> int:
        """Estimated bytes the machine holds at its fullest moment."""
        per_node = {Mode.NONE: 1, Mode.REVERSE: 4, Mode.FORWARD: 4, Mode.SECOND: 8}
        lanes = _lanes(self._code.size) if len(self._asked.seeds) > 1 else 1
        scalars = self._code.size * (per_node[self._asked.mode] + 2 * (lanes - 1))
        return scalars * self.tape.dtype.itemsize

    @property
    def result_names(self) -> list[str]:
        """Names of its results: of the outputs wanted, then of derivatives."""
        wanted = self.want.outputs if isinstance(self.want, Value) else ()
        return [*(wanted or self.tape.output_names), *[key.title for key in self.derivatives]]

    @property
    def scalars(self) -> tuple[bool, ...]:
        """Which of its results are 0-d."""
        asked = self._asked
        shapes = [self.tape.outputs[position].shape for position in asked.values]
        shapes += [row + column for row in asked.rows for column in asked.columns]
        return tuple([shape == () for shape in shapes])

    def _flat(self, arrays: Sequence[NDArray]) -> list[NDArray]:
        """The arrays in one dimension, each of the size it should have."""
        if len(arrays) != len(self.inputs):
            raise wrong_count(len(self.inputs), arrays)
        flat = [np.asarray(array).reshape(-1) for array in arrays]
        for item, array in zip(self.inputs, flat, strict=True):
            if len(array) != item.type.size:
                raise wrong_size(item, len(array))
        return flat

    def _independent(self) -> Names:
        flows, first, found = self._code.flows, 0, []
        for name, type in self.tape.inputs:
            if name in self._asked.wrt and not flows[first : first + type.size].any():
                found.append(name)
            first += type.size
        return tuple([name for name in self._asked.wrt if name in found])


def compile_tape(tape: Tape, want: Want) -> TapeProgram:
    """The program of a checked tape; time and memory linear in its nodes.

    Raises:
        GraphError: the tape is malformed after all.
        InputError, NotDifferentiable, LimitExceeded: the want does not fit the tape.
    """
    return TapeProgram(tape, want)


def look(cancel: CancelFlag | None) -> None:
    """Stop where the flag is set.

    Raises:
        Cancelled: it is.
    """
    if cancel is not None and cancel.is_set:
        raise Cancelled("the job was cancelled while its program ran")


# --- one evaluation -------------------------------------------------------------------------------


class _Run:
    """One evaluation of what is not plain: the machine's arrays at a point."""

    def __init__(
        self,
        code: Code,
        asked: Asked,
        tape: Tape,
        flat: Sequence[NDArray],
        cancel: CancelFlag | None,
    ) -> None:
        self._code, self._asked, self._tape, self._cancel = code, asked, tape, cancel
        self._seeds = flat[len(tape.inputs) :]
        self._v = v = SCRATCH.take("v", code.size, tape.dtype)
        first = 0
        for array in flat[: len(tape.inputs)]:
            v[first : first + len(array)] = array
            first += len(array)
        v[first : code.start] = tape.constants
        self._forward()

    def _forward(self) -> None:
        look(self._cancel)
        code, nodes, dtype = self._code, len(self._code.code), self._tape.dtype
        arrays = [code.code, code.operands, code.start, self._v]
        self._p = SCRATCH.take("p", 2 * nodes, dtype)
        if self._asked.mode is not Mode.SECOND:
            linearise(*arrays, self._p)
            return
        self._q = SCRATCH.take("q", 3 * nodes, dtype)
        linearise_twice(*arrays, self._p, self._q)

    def values(self) -> list[NDArray]:
        """The values asked for."""
        outputs = [self._tape.outputs[position] for position in self._asked.values]
        return [
            self._v.take(self._code.places(item.values)).reshape(item.shape) for item in outputs
        ]

    def derivatives(self) -> NDArray:
        """What every sweep gives: `(sweeps, gathered)`."""
        asked, dtype = self._asked, self._tape.dtype
        gathered = self._code.places(asked.gathered)
        swept = np.empty((len(asked.seeds), len(gathered)), dtype)
        if asked.mode is Mode.REVERSE and len(asked.seeds) == 1:
            swept[0] = self._adjoints(next(self._seeded()))[gathered]
            return swept
        if asked.mode is Mode.SECOND:
            one = np.ones(1, dtype)
            self._g = self._adjoints((self._code.places(asked.twice), one))
        sweep = {
            Mode.REVERSE: self._pull,
            Mode.FORWARD: self._push,
            Mode.SECOND: self._push_and_pull,
        }[asked.mode]
        seeds, first, lanes = self._seeded(), 0, _lanes(self._code.size)
        while first < len(swept):
            look(self._cancel)
            some = list(islice(seeds, lanes))
            swept[first : first + len(some)] = sweep(some)[gathered].T
            first += len(some)
        return swept

    def _seeded(self) -> Iterator[tuple[NDArray, NDArray]]:
        """The places and values of each seed."""
        one, taken = np.ones(1, self._tape.dtype), 0
        for number, scalars in enumerate(self._asked.seeds):
            places = self._code.places(scalars)
            if not self._asked.given:
                yield places, one
                continue
            count = len(self._asked.given[number])
            yield places, np.concatenate(self._seeds[taken : taken + count])
            taken += count

    def _adjoints(self, seed: tuple[NDArray, NDArray]) -> NDArray:
        """The adjoint of every scalar that an input's needs, for one seed."""
        g = SCRATCH.take("g", self._code.size, self._tape.dtype)
        g.fill(0.0)
        np.add.at(g, *seed)
        reverse(self._code.code, self._code.edges, self._code.start, self._p, g)
        return g

    def _lanes_of(
        self, name: str, seeds: Sequence[tuple[NDArray, NDArray]]
    ) -> tuple[NDArray, NDArray]:
        """Zeros with a seed in each lane, and the mask of where they are."""
        size, count = self._code.size, len(seeds)
        lanes = SCRATCH.take(name, size * count, self._tape.dtype).reshape(size, count)
        mask = SCRATCH.take("mask", size, np.dtype(np.uint64))
        lanes.fill(0.0)
        mask.fill(0)
        for lane, (places, values) in enumerate(seeds):
            np.add.at(lanes[:, lane], places, values)
            mask[places] |= np.uint64(1 << lane)
        return lanes, mask

    def _pull(self, seeds: Sequence[tuple[NDArray, NDArray]]) -> NDArray:
        g, mask = self._lanes_of("lanes", seeds)
        code = self._code
        reverse_seeds(code.code, code.operands, code.start, self._p, g, mask)
        return g

    def _push(self, seeds: Sequence[tuple[NDArray, NDArray]]) -> NDArray:
        t, mask = self._lanes_of("lanes", seeds)
        code = self._code
        forward_seeds(code.code, code.operands, code.start, self._p, t, mask)
        return t

    def _push_and_pull(self, seeds: Sequence[tuple[NDArray, NDArray]]) -> NDArray:
        t, code = self._push(seeds), self._code
        h = SCRATCH.take("second", t.size, t.dtype).reshape(t.shape)
        h.fill(0.0)
        reverse_twice(code.edges, code.operands, code.start, self._p, self._q, t, self._g, h)
        return h


def _lanes(scalars: int) -> int:
    """How many seeds are swept side by side over so many scalars."""
    near = min(_LANE_BYTES // (8 * scalars + 1), MAX_SEEDS)
    return max(near, min(_LEAST_LANES, _MOST_BYTES // (8 * scalars + 1)), 1)
