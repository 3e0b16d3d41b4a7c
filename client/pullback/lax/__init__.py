"""Control flow in the graph: `import pullback.lax`. Loops, branches, derivatives of one's own.

A body is a function of traced arrays; it may use arrays of the function around it. On plain arrays
everything here runs at once and gives the numbers that the graph would.
"""

from pullback.lax.branches import cond, switch
from pullback.lax.derivatives import custom_derivative, stop_gradient
from pullback.lax.loops import fori_loop, map, scan, while_loop

__all__ = [
    "cond",
    "custom_derivative",
    "fori_loop",
    "map",
    "scan",
    "stop_gradient",
    "switch",
    "while_loop",
]
