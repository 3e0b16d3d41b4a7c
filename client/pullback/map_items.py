"""What may be mapped over: jobs, or tuples of a graph, its inputs, and what is wanted of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pullback.job_arguments import Names, as_names, make_job, make_options
from pullback_graph.errors import InputError
from pullback_graph.job import Job
from pullback_graph.want import Gradient, Want

MakeJob: TypeAlias = Callable[[Any], Job]
"""What the caller's iterable gives -> a job; raises what is wrong with it."""


def map_job_maker(gradient: Names | None, want: Want | None, options: Mapping[str, Any]) -> MakeJob:
    """How an item becomes a job; what a tuple leaves out is taken from here.

    Raises:
        RequestError: the defaults themselves are at fault.
    """
    if gradient is not None and want is not None:
        raise InputError("give gradient or want, not both", field="want")
    usual = want if gradient is None else Gradient(as_names(gradient))
    make_options(options)

    def make(item: Any) -> Job:
        if isinstance(item, Job):
            return item
        if not isinstance(item, tuple) or not 2 <= len(item) <= 4:
            raise InputError(
                f"a {type(item).__name__} is no job; give a Job or a tuple (graph, inputs), "
                "(graph, inputs, want) or (graph, inputs, want, seeds)"
            )
        graph, inputs, own, seeds = (*item, None, None)[:4]
        return make_job(graph, inputs, want=own or usual, seeds=seeds or (), options=options)

    return make
