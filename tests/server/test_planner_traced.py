"""Splits of random traced programs: linear algebra, transforms, loops, complex numbers, any want.

Programs are made of `pullback.numpy` as users write it, on inputs whose axes often have one length,
so that an axis is easily mistaken for another. Every axis that can be cut is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pullback as pb
import pullback.numpy as pnp
from pullback import fft, lax, nn
from pullback_graph.derivative import lower
from pullback_graph.errors import PullbackError
from pullback_graph.graph import Graph
from pullback_graph.job import Options, Split
from pullback_graph.want import Gradient, Hessian, Hvp, Jacobian, Jvp, Value, Vjp, Want
from pullback_server.planner import Plan, make_plan
from pullback_server.planner.shard_axes import candidates
from pullback_server.planner.splits import Joint, sharded, staged
from pullback_worker.numpy_executor import NumpyExecutor, fold
from tests.server.plan_interpreter import run_plan

Step = Callable[[Random, Any], Any]
MOVES = 6
MOST_ELEMENTS, MOST_NODES = 300, 600
UNFIT = (PullbackError, ValueError, IndexError, TypeError, ZeroDivisionError)
"""What a step raises where a value does not suit it: another is drawn."""


def _axis(r: Random, x: Any) -> int:
    return r.randrange(x.ndim)


def _some(r: Random, x: Any) -> tuple[int, ...]:
    return tuple(axis for axis in range(x.ndim) if r.random() < 0.5)


def _real(x: Any) -> Any:
    return pnp.real(x) if np.dtype(x.dtype).kind == "c" else x


def _regular(x: Any) -> Any:
    return pnp.tanh(x) * (0.3 / x.shape[-1]) + pnp.eye(x.shape[-1], dtype=x.dtype)


def _normalised(r: Random, x: Any) -> Any:
    mean = pnp.mean(x, axis=(axis := _axis(r, x)), keepdims=True)
    return (x - mean) / pnp.sqrt(pnp.mean(pnp.abs(x - mean) ** 2, axis=axis, keepdims=True) + 0.1)


def _scanned(r: Random, x: Any) -> Any:
    along = pnp.moveaxis(x, _axis(r, x), 0)

    def step(carry: Any, now: Any) -> Any:
        carry = pnp.tanh(carry * 0.9 + now * 0.5)
        return carry, carry * now

    last, every = lax.scan(step, pnp.zeros(along.shape[1:], dtype=x.dtype), along)
    return every + last


def _reshaped(r: Random, x: Any) -> Any:
    shape, at = list(x.shape), _axis(r, x)
    if r.random() < 0.5:
        shape[at : at + 2] = [int(np.prod(shape[at : at + 2]))]
    else:
        part = r.choice([n for n in range(1, shape[at] + 1) if shape[at] % n == 0])
        shape[at : at + 1] = [part, shape[at] // part]
    return pnp.reshape(x, shape)


def _taken(r: Random, x: Any) -> Any:
    axis = _axis(r, x)
    sums = pnp.sum(_real(x), axis=tuple(other for other in range(x.ndim) if other != axis))
    places = [np.arange(x.shape[axis])[::-1].copy(), pnp.argsort(sums), np.array([0, 0, -1])]
    return pnp.take(x, r.choice(places), axis=axis)


def _scattered(r: Random, x: Any) -> Any:
    return pnp.scatter_add(x, np.arange(x.shape[0]) // 2, pnp.sin(x), axis=0)


def _convolved(r: Random, x: Any) -> Any:
    kernel = pnp.tanh(x[:2, :, :2]) if r.random() < 0.5 else np.ones((2, x.shape[1], 2))
    return nn.conv(x, kernel, padding=1)


STEPS: Mapping[str, Step] = {
    "sin": lambda r, x: pnp.sin(x),
    "abs": lambda r, x: pnp.abs(x),
    "sum": lambda r, x: pnp.sum(x, axis=_some(r, x), keepdims=r.random() < 0.4),
    "mean": lambda r, x: pnp.mean(x, axis=_axis(r, x)),
    "max": lambda r, x: pnp.max(_real(x), axis=_some(r, x)),
    "prod": lambda r, x: pnp.prod(pnp.tanh(x) + 1.2, axis=_axis(r, x)),
    "logsumexp": lambda r, x: pnp.logsumexp(_real(x), axis=_some(r, x)),
    "softmax": lambda r, x: pnp.softmax(_real(x), axis=_axis(r, x)),
    "normalise": _normalised,
    "median": lambda r, x: pnp.median(_real(x), axis=_axis(r, x)),
    "cumsum": lambda r, x: pnp.cumsum(x, axis=_axis(r, x)),
    "sort": lambda r, x: pnp.sort(_real(x), axis=_axis(r, x)),
    "permute": lambda r, x: pnp.permute_dims(x, r.sample(range(x.ndim), x.ndim)),
    "reshape": _reshaped,
    "expand": lambda r, x: pnp.expand_dims(x, axis=r.randint(0, x.ndim)),
    "pad": lambda r, x: pnp.pad(x, [(r.randint(0, 1), r.randint(0, 1)) for _ in x.shape]),
    "flip": lambda r, x: pnp.flip(x, axis=_axis(r, x)),
    "tile": lambda r, x: pnp.tile(x, [r.choice([1, 2]) for _ in x.shape]),
    "repeat": lambda r, x: pnp.repeat(x, 2, axis=_axis(r, x)),
    "take": _taken,
    "scatter": _scattered,
    "diagonal": lambda r, x: pnp.diagonal(x),
    "count": lambda r, x: x * pnp.arange(x.shape[-1], dtype=x.dtype),
    "constant": lambda r, x: x * np.sin(np.arange(1.0 * x.size)).reshape(x.shape),
    "gram": lambda r, x: pnp.tanh(x) @ pnp.matrix_transpose(pnp.sin(x)),
    "pairs": lambda r, x: pnp.exp(-pnp.sum((x[:, None] - x[None]) ** 2, axis=-1)),
    "inverse": lambda r, x: pnp.linalg.inv(_regular(x)),
    "logdet": lambda r, x: pnp.linalg.slogdet(_regular(_real(x)))[1],
    "singular values": lambda r, x: pnp.linalg.svdvals(_regular(_real(x))),
    "fft": lambda r, x: fft.fft(x, axis=_axis(r, x)),
    "spectrum": lambda r, x: pnp.abs(fft.rfft(_real(x), axis=_axis(r, x))) ** 2,
    "phase": lambda r, x: pnp.exp(1j * pnp.tanh(_real(x))),
    "real": lambda r, x: _real(x),
    "scan": _scanned,
    "cond": lambda r, x: lax.cond(pnp.sum(_real(x)) > 0, pnp.sin, lambda y: y * 2.0, x),
    "map": lambda r, x: lax.map(lambda row: pnp.tanh(row) * pnp.sum(row), x),
    "vmap": lambda r, x: pb.vmap(lambda v: v - pnp.mean(v), in_axes=_axis(r, x))(x),
    "convolve": _convolved,
    "pool": lambda r, x: nn.max_pool(_real(x), (2,) * (x.ndim - 2), stride=1),
    "single": lambda r, x: pnp.astype(_real(x), np.float32),
}
JOINS: Mapping[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / (pnp.abs(y) + 1.0),
    "matmul": lambda x, y: pnp.tanh(x) @ y,
    "outer": lambda x, y: pnp.tensordot(pnp.tanh(x), pnp.tanh(y), 0),
    "contract": lambda x, y: pnp.tensordot(x, pnp.tanh(y), [[0], [0]]),
    "concat": lambda x, y: pnp.concat([x, y], axis=0),
    "solve": lambda x, y: pnp.linalg.solve(_regular(x), y),
}


def _program(r: Random) -> tuple[Graph, dict[str, Any]]:
    """A random program, traced, and its inputs."""
    rows, columns = r.choice([2, 3, 4, 6, 7]), r.choice([1, 2, 3, 4])
    shapes = {"x": (rows, columns), "y": (rows,), "w": (columns, columns), "z": (3, rows, columns)}
    numbers = np.random.default_rng(r.randrange(1 << 30))
    names = r.sample(list(shapes), r.randint(1, 3))
    inputs = {name: np.asarray(numbers.normal(size=shapes[name])) for name in names}
    deep = r.randint(2, 10)

    def run(**values: Any) -> dict[str, Any]:
        made = list(values.values())
        for _ in range(60):
            if len(made) >= len(values) + deep:
                break
            made += list(_next(r, made))
        last = made[-1]
        total = pnp.sum(pnp.tanh(_real(last))) + pnp.mean(pnp.abs(r.choice(made)) ** 2)
        return {"loss": total, "last": last}

    return pb.trace(run, **inputs), inputs


def _next(r: Random, made: list[Any]) -> Iterator[Any]:
    """One more value, if what was drawn suits."""
    x = r.choice(made[-3:])
    try:
        if r.random() < 0.7:
            value = STEPS[r.choice(list(STEPS))](r, x)
        else:
            value = JOINS[r.choice(list(JOINS))](x, r.choice(made))
    except UNFIT:
        return
    if isinstance(value, pb.TracedArray) and 0 < value.size <= MOST_ELEMENTS and value.ndim <= 4:
        yield value


def _want(r: Random, names: list[str]) -> Want:
    wrt = tuple(r.sample(names, r.randint(1, len(names))))
    seeds = tuple((r.choice(names),) for _ in range(r.randint(1, 3)))
    wants: list[Want] = [
        Gradient(wrt, "loss"),
        Gradient(wrt, "loss"),
        Value(),
        Vjp(wrt, (("last",), ("loss",))),
        Jvp(seeds),
        Hvp(wrt, seeds, "loss"),
        Jacobian(wrt[:1], ("last",)),
        Hessian(wrt[:1], "loss"),
    ]
    return r.choice(wants)


def _plans(r: Random, joint: Joint) -> Iterator[Plan]:
    """Shards along every axis, micro-batches in stages, and whatever can be asked for."""
    for axis in candidates(joint.graph):
        length = axis.labels.length
        for count in sorted({2, r.randint(2, length), length}):
            yield sharded(joint, axis, count)
        cut = Joint(joint.graph, joint.values)
        cut.__dict__["axis"] = axis  # as a cached one is kept
        yield from _asked(partial(staged, cut, r.randint(2, 4), r.randint(2, length)))
    for kind in ("auto", "shard", "branch", "stage"):
        options = Options(split=Split(kind, 0 if kind == "auto" else r.choice([0, 2, 3])))
        yield from _asked(partial(make_plan, joint.graph, options, values=joint.values))


def _asked(make: Callable[[], Plan]) -> Iterator[Plan]:
    """The plan, unless there is none: refused by an error of the tree, and no other."""
    try:
        yield make()
    except PullbackError:
        return


def _check(r: Random) -> None:
    graph, inputs = _program(r)
    try:
        lowered = lower(graph, _want(r, list(inputs)), fold=fold)
    except PullbackError:
        return
    if len(lowered.graph.nodes) > MOST_NODES:
        return
    numbers = np.random.default_rng(1)
    arrays = [inputs.get(i.name, _drawn(numbers, i.type)) for i in lowered.graph.inputs]
    program = NumpyExecutor().compile(lowered.graph)
    whole = program(arrays)
    near = [program([_moved(numbers, a) for a in arrays]) for _ in range(MOVES)]
    single = any(t.dtype.itemsize == 4 or t.dtype == np.complex64 for t in lowered.graph.types)
    for plan in _plans(r, Joint(lowered.graph, lowered.value_count)):
        for one, other, *beside in zip(whole, run_plan(plan, arrays), *near, strict=True):
            _assert_near(one, other, beside, 1e-3 if single else 1e-10, plan)


def _drawn(numbers: np.random.Generator, type: Any) -> Any:
    array = np.asarray(numbers.normal(size=type.shape))
    return np.asarray(array + 1j * array if type.is_complex else array, type.dtype)


def _moved(numbers: np.random.Generator, array: Any) -> Any:
    """The array, changed by a little more than rounding."""
    return np.asarray(array * (1 + 1e-12 * numbers.normal(size=array.shape)), array.dtype)


def _assert_near(one: Any, other: Any, beside: list[Any], rtol: float, plan: Plan) -> None:
    """Equal to rounding: by the array's scale, and by how far changes of rounding's size move it.

    Several, since a branch by the sign of what should be zero is taken either way. Where one makes
    a number finite or not, nothing is known.
    """
    assert (one.shape, one.dtype) == (other.shape, other.dtype)
    known = np.isfinite(one) & np.isfinite(beside).all(axis=0)
    apart = np.abs(np.where(known, one, 0) - np.where(known, beside, 0)).max(initial=0.0)
    scale = np.abs(np.where(known, one, 0)).max(initial=1.0)
    error = np.abs(np.where(known, one, 0) - np.where(known, other, 0)).max(initial=0.0)
    assert error <= rtol * scale + 1000 * apart, (str(plan.split), plan.reason)


@settings(max_examples=40)
@given(st.integers(0, 1 << 40))
def test_any_split_of_a_traced_program_equals_one_task(seed: int) -> None:
    """Whatever is cut, every value and derivative is what the whole graph gives."""
    _check(Random(seed))


@pytest.mark.slow
@settings(max_examples=2000)
@given(st.integers(0, 1 << 40))
@pytest.mark.timeout(1800)
def test_any_split_of_a_traced_program_equals_one_task_at_length(seed: int) -> None:
    """The same on many more programs."""
    _check(Random(seed))
