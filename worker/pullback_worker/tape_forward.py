"""The forward sweeps of the tape machine, generated from the rows: one switch over opcodes each.

The three kernels differ in what they keep: values; partials as well; second partials as well.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pullback_graph.tape.rows import TAPE_ROWS
from pullback_worker import tape_functions
from pullback_worker.tape_numba import Kernel, jit, prefetch
from pullback_worker.tape_rows import GROUPS, PARTS, ROWS, Row

CODES: dict[str, int] = {name: code for code, name in enumerate((*TAPE_ROWS, *PARTS))}
"""Opcodes of the machine by name: the rows under their own numbers, then the machine's parts."""
_ALONE: dict[tuple[str, ...], Row] = {(name,): row for name, row in (ROWS | PARTS).items()}
_CASES: dict[tuple[int, ...], Row] = {
    tuple([CODES[name] for name in names]): row for names, row in (GROUPS | _ALONE).items()
}

_KERNEL = """\
def {name}({arrays}):
    for i in range(code.size):
        op = code[i]
        x = v[operands[2 * i]]
        y = v[operands[2 * i + 1]]
        if i + AHEAD < code.size:
            prefetch(v, operands[2 * (i + AHEAD)])
            prefetch(v, operands[2 * (i + AHEAD) + 1])
{clear}{cases}        v[start + i] = z
{store}"""
_AHEAD = 24
"""Nodes between asking for operands and using them: about what memory takes."""
_FIRST = ("a", "b")
_SECOND = ("aa", "ab", "bb")


def _source(name: str, parts: tuple[str, ...]) -> str:
    """The text of a kernel that computes `parts` of every node besides its value."""
    cases = "".join(
        f"        {'elif' if place else 'if'} {_test(codes)}:\n" + _case(row, parts)
        for place, (codes, row) in enumerate(_CASES.items())
    )
    clear = "".join(f"        {part} = 0.0\n" for part in parts)
    store = "".join(f"        p[2 * i + {k}] = {part}\n" for k, part in enumerate(parts[:2]))
    store += "".join(f"        q[3 * i + {k}] = {part}\n" for k, part in enumerate(parts[2:]))
    arrays = ["code", "operands", "start", "v", *["p", "q"][: (len(parts) + 1) // 2]]
    return _KERNEL.format(
        name=name, arrays=", ".join(arrays), clear=clear, cases=cases + _OTHERWISE, store=store
    )


_OTHERWISE = "        else:\n            z = NAN\n"


def _test(codes: tuple[int, ...]) -> str:
    """What holds of the opcodes of one case: they follow each other."""
    return f"op == {codes[0]}" if len(codes) == 1 else f"{codes[0]} <= op <= {codes[-1]}"


def _case(row: Row, parts: tuple[str, ...]) -> str:
    given = f"            {row.given}\n" if row.given else ""
    lines = [("z", row.z), *[(part, getattr(row, part)) for part in parts]]
    return given + "".join(f"            {target} = {text}\n" for target, text in lines if text)


def names() -> dict[str, Any]:
    """What the rows' expressions may speak of."""
    libm = "acosh asin acos asinh atan atan2 atanh cos cosh erf erfc exp expm1 fabs hypot"
    libm += " log log10 log1p log2 sin sinh sqrt tan tanh"
    found: dict[str, Any] = {name: getattr(math, name) for name in libm.split()}
    found |= {
        name: value for name, value in vars(tape_functions).items() if hasattr(value, "py_func")
    }
    found |= {"round_down": np.floor, "round_up": np.ceil}
    found |= {"round_even": np.rint, "round_to_zero": np.trunc}
    found |= {"prefetch": prefetch, "AHEAD": _AHEAD}
    found |= {"INF": math.inf, "NAN": math.nan}
    found |= {"PER_LOG_2": 1.0 / math.log(2.0), "PER_LOG_10": 1.0 / math.log(10.0)}
    found |= {name.upper(): CODES[name] for group in GROUPS for name in group}
    return found | {"LOG_SLOPE_OF_ERF": math.log(2.0 / math.sqrt(math.pi))}


def kernel(name: str, source: str, file: str) -> Kernel:
    """The kernel of a text of this package's own, compiled; numba finds it in `file`."""
    space = {**names(), "__name__": __name__}
    exec(compile(source, file, "exec"), space)
    return jit(space[name])


def _kernel(name: str, *parts: str) -> Kernel:
    return kernel(name, _source(name, parts), __file__)


evaluate = _kernel("evaluate")
"""`(code, operands, start, v)`: the value of every node into `v`, whose first `start` are given.

`code` is `(N,)` uint8; `operands` `(2 N,)` uint32, two a node (a node of one operand has it twice).
"""
linearise = _kernel("linearise", *_FIRST)
"""The same, and the partials of node i by its operands into `p[2 i]` and `p[2 i + 1]`."""
linearise_twice = _kernel("linearise_twice", *_FIRST, *_SECOND)
"""The same, and the second partials of node i into `q[3 i]` (first, first), (first, second),
(second, second)."""


def _edge_count(row: Row) -> int:
    """To how many operands a row passes a derivative on."""
    return 2 if row.b else 1 if row.a else 0


EDGES = np.zeros(256, np.uint8)
"""To how many operands an opcode passes its derivative on."""
for _codes, _row in _CASES.items():
    EDGES[list(_codes)] = _edge_count(_row)
