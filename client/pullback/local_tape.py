"""Tapes in this process: swept by the tape machine where numba is there; else their graphs run.

The machine is imported when a tape first runs, so that the client stays light.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from time import perf_counter
from typing import Any

from pullback.local_inputs import Deadline, bound_arrays
from pullback_graph.errors import Cancelled, DeadlineExceeded, LimitExceeded, UnsupportedError
from pullback_graph.job import Job, Metrics, NDArray, Options, Result
from pullback_graph.tape import Tape
from pullback_graph.tape.flops import flops
from pullback_worker.result_checks import non_finite


def run_tape(job: Job, tape: Tape) -> Result | None:
    """Run a tape's job; None where its graph is to run instead.

    Raises:
        UnsupportedError: the job insists on the machine, and numba is not here.
        LimitExceeded: it needs more than the job's memory cap.
        InputError, NotDifferentiable: the inputs or the want do not fit.
        DeadlineExceeded: it took longer than allowed.
    """
    if not _takes(job.options) or job.want.features:
        return None
    started_s = perf_counter()
    program: Any = _machine().compile_tape(tape, job.want)
    linked_s = perf_counter()
    cap_bytes = job.options.memory_cap_bytes
    if cap_bytes is not None and program.peak_bytes > cap_bytes:
        raise LimitExceeded(
            f"the tape needs about {program.peak_bytes} bytes, its memory cap is {cap_bytes}"
        )
    arrays = bound_arrays(program.inputs, job)
    running_s = perf_counter()
    results = _swept(program, arrays, job.options.deadline_s)
    ended_s = perf_counter()
    names = program.result_names
    found = non_finite(names, results)
    if found and job.options.check != "none":
        return None  # the graph's own way says which node it was
    metrics = _measured(tape, program)
    metrics.non_finite = {**non_finite([item.name for item in program.inputs], arrays), **found}
    metrics.compiling_s = linked_s - started_s
    metrics.note_run(ended_s - running_s, is_derivative=bool(program.derivatives))
    metrics.total_s = perf_counter() - started_s
    count = program.value_count
    outputs = dict(zip(names[:count], results[:count], strict=True))
    derivatives = dict(zip(program.derivatives, results[count:], strict=True))
    return Result(outputs, derivatives, metrics, job.id)


def _takes(options: Options) -> bool:
    """Whether the machine does what is asked."""
    is_here = _is_here()
    if options.executor == "tape" and not is_here:
        raise UnsupportedError(
            "executor 'tape' needs numba: pip install 'pullback[tape]', or leave the executor out",
            field="executor",
        )
    return is_here and options.executor in ("auto", "tape") and not options.certificate


def _swept(program: Any, arrays: list[NDArray], deadline_s: float | None) -> list[NDArray]:
    flag: Any = None if deadline_s is None else Deadline(deadline_s)
    try:
        results: list[NDArray] = program(arrays, flag)
    except Cancelled:
        raise DeadlineExceeded(f"the job took longer than its deadline of {deadline_s} s") from None
    return results


def _measured(tape: Tape, program: Any) -> Metrics:
    """Metrics that follow from the program alone."""
    return Metrics(
        nodes=len(tape),
        adjoint_evaluations=program.adjoints,
        flops=flops(tape, program.adjoints if program.derivatives else None),
        peak_bytes=program.peak_bytes,
        executor="tape",
        executor_reason="the job is a tape",
        split="none",
        split_reason="run in this process",
        independent_inputs=program.independent,
    )


@cache
def _is_here() -> bool:
    return find_spec("numba") is not None


@cache
def _machine() -> Any:
    return import_module("pullback_worker.tape_program")
