"""What is kept of a small job for others like it, which differ in the elements of their arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pullback_graph.codec import ResultForm
from pullback_graph.codec.layouts import MOST_BYTES
from pullback_graph.job import Job, Metrics, NDArray, Result, Tensor, TensorHash
from pullback_server.front_end.prepare import Prepared
from pullback_server.front_end.stores import ContentStore
from pullback_server.front_end.tape_jobs import PreparedTape
from pullback_worker.choice import Running


@dataclass(slots=True, eq=False)
class RepeatedJob:
    """A job that was answered here.

    Attributes:
        job: without its inputs, whose names are `names`.
        order: of the program's inputs among those of the job.
        begun: the values of the metrics it began with; none where a tape was prepared.
        form: how results of its kind are written, and what they ran on.
    """

    job: Job
    names: tuple[str, ...]
    prepared: Prepared | PreparedTape
    order: tuple[int, ...] = ()
    begun: Sequence[Any] = ()
    form: tuple[ResultForm, Running] | None = None

    @classmethod
    def of(
        cls, job: Job, prepared: Prepared | PreparedTape, begun: Sequence[Any] = ()
    ) -> RepeatedJob:
        """What to keep of a job that was answered."""
        bare, names = replace(job, inputs={}), tuple(job.inputs)
        if isinstance(prepared, PreparedTape):
            return cls(bare, names, prepared)
        order = tuple([names.index(item.name) for item in prepared.lowered.job_inputs])
        return cls(bare, names, prepared, order, begun)

    def with_inputs(self, tensors: Sequence[Tensor]) -> Job:
        """The job with other arrays."""
        return replace(self.job, inputs=dict(zip(self.names, tensors, strict=True)))

    def bound(self, tensors: Sequence[Tensor], stored: ContentStore[NDArray]) -> list[NDArray]:
        """The arrays in the order of the program's inputs; they are of the same types as before.

        Raises:
            NotFoundError: one named by its hash is not stored any more.
        """
        given = [tensors[place] for place in self.order]
        return [stored.get(x.sha256) if isinstance(x, TensorHash) else x for x in given]

    def keep_form(self, result: Result, standing: bytes, ran_on: Running | None) -> None:
        """Write results in the form of this one from now on, as long as the same program runs."""
        arrays = [*result.outputs.values(), *result.derivatives.values()]
        is_plain = all([isinstance(array, np.ndarray) for array in arrays])
        is_small = sum([array.nbytes for array in arrays]) <= MOST_BYTES
        if is_plain and is_small and standing and ran_on is not None:
            self.form = ResultForm(result, standing), ran_on

    def written(
        self, arrays: Sequence[NDArray], metrics: Metrics, ran_on: Running | None
    ) -> bytes | None:
        """The serialised JobResult; None where it differs in more than elements and seconds."""
        if self.form is None or metrics.non_finite:
            return None
        form, on = self.form
        return form.encode(arrays, metrics) if on is ran_on else None
