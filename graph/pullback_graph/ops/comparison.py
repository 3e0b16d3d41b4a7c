"""Rows that answer with bool: comparisons, tests and logic. Their derivative is zero."""

from __future__ import annotations

from pullback_graph.op import Op, RunRule, Zero
from pullback_graph.ops.domains import booleans
from pullback_graph.ops.rules import ANY, ORDERED, elementwise_of, elementwise_row, reals, to_bool

_INF, _NAN = float("inf"), float("nan")
_SPECIAL = (0.0, -0.0, 1.0, _INF, -_INF, _NAN)


def _comparison(name: str, run: RunRule, doc: str, *, kinds: str = ORDERED) -> Op:
    domain = reals(2, special=_SPECIAL)
    return elementwise_row(name, run, Zero(), 1, domain, f"{doc}, as bool.", type=to_bool(kinds))


def _test(name: str, run: RunRule, doc: str) -> Op:
    domain = reals(1, special=_SPECIAL)
    return elementwise_row(name, run, Zero(), 1, domain, f"{doc}, as bool.", type=to_bool(ANY))


def _logic(name: str, run: RunRule, count: int, doc: str) -> Op:
    return elementwise_row(
        name, run, Zero(), 1, booleans(count), f"{doc}, of bools.", type=elementwise_of("b")
    )


ROWS: tuple[Op, ...] = (
    _comparison("equal", lambda k: k.xp.equal, "x = y; false beside a NaN", kinds=ANY),
    _comparison("not_equal", lambda k: k.xp.not_equal, "x ≠ y; true beside a NaN", kinds=ANY),
    _comparison("less", lambda k: k.xp.less, "x < y; false beside a NaN"),
    _comparison("less_equal", lambda k: k.xp.less_equal, "x ≤ y; false beside a NaN"),
    _comparison("greater", lambda k: k.xp.greater, "x > y; false beside a NaN"),
    _comparison("greater_equal", lambda k: k.xp.greater_equal, "x ≥ y; false beside a NaN"),
    _test("isnan", lambda k: k.xp.isnan, "Whether x is NaN"),
    _test("isinf", lambda k: k.xp.isinf, "Whether x is an infinity"),
    _test("isfinite", lambda k: k.xp.isfinite, "Whether x is neither NaN nor an infinity"),
    _logic("logical_and", lambda k: k.xp.logical_and, 2, "Whether both hold"),
    _logic("logical_or", lambda k: k.xp.logical_or, 2, "Whether one of the two holds, or both"),
    _logic("logical_xor", lambda k: k.xp.logical_xor, 2, "Whether exactly one of the two holds"),
    _logic("logical_not", lambda k: k.xp.logical_not, 1, "Whether x does not hold"),
)
