"""From a Python function to a graph: it is run once on traced arrays, which record what it does."""

from pullback.tracing.function_graph import FunctionGraph, trace, trace_function
from pullback.tracing.traced_array import TracedArray

__all__ = ["FunctionGraph", "TracedArray", "trace", "trace_function"]
