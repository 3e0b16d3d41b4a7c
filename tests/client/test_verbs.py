"""Verbs ask for the want they are named after; what users write becomes a job, or a clear error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullback.job_arguments import (
    _ALLOWED,
    SPLIT_KINDS,
    OptionFields,
    make_job,
    make_options,
    make_split,
)
from pullback.verbs import Verbs
from pullback_graph.errors import InputError, RequestError
from pullback_graph.job import Job, Options, Split
from pullback_graph.want import Gradient, Hessian, Hvp, Jacobian, Jvp, Value, Vjp, Want
from tests.client.graphs import square

X = {"x": 2.0}


class Recorder(Verbs[Job]):
    """Gives the job that was asked for."""

    def evaluate(
        self,
        graph: Any,
        inputs: Mapping[str, Any],
        *,
        gradient: Any = None,
        want: Want | None = None,
        seeds: Sequence[Mapping[str, Any]] = (),
        **options: Any,
    ) -> Job:
        """The job, unasked."""
        return make_job(graph, inputs, gradient=gradient, want=want, seeds=seeds, options=options)


ask, graph = Recorder(), square()


@pytest.mark.parametrize(
    ("job", "want", "seeds"),
    [
        (ask.evaluate(graph, X), Value(), ()),
        (ask.evaluate(graph, X, gradient="x"), Gradient(("x",)), ()),
        (ask.value(graph, X), Value(), ()),
        (ask.value(graph, X, "y"), Value(("y",)), ()),
        (ask.gradient(graph, X, "x"), Gradient(("x",)), ()),
        (ask.gradient(graph, X, ["x", "w"], "y"), Gradient(("x", "w"), "y"), ()),
        (ask.vjp(graph, X, "x", {"y": 1.0}), Vjp(("x",), (("y",),)), ({"y": 1.0},)),
        (ask.jvp(graph, X, X, {}), Jvp((("x",), ())), (X, {})),
        (ask.hvp(graph, X, "x", X, output="y"), Hvp(("x",), (("x",),), "y"), (X,)),
        (ask.jacobian(graph, X, "x", ["y"]), Jacobian(("x",), ("y",)), ()),
        (ask.hessian(graph, X, "x", "y"), Hessian(("x",), "y"), ()),
    ],
)
def test_verbs(job: Job, want: Want, seeds: tuple[Any, ...]):
    """Each verb's want, its names and its seeds."""
    assert (job.want, job.seeds) == (want, seeds)
    assert dict(job.inputs) == dict[str, Any](X)


def test_options_pass_through_verbs():
    """Keywords that say how a job runs are its options."""
    job = ask.gradient(graph, X, "x", deadline_s=2.0, split="shard(3)", check="finite")
    assert job.options == Options(deadline_s=2.0, split=Split("shard", 3), check="finite")


@given(st.sampled_from(SPLIT_KINDS), st.integers(0, 10**6))
def test_splits_are_read_as_they_are_printed(kind: str, count: int):
    """The text of a split gives the split."""
    split = Split(kind, count)
    assert make_split(str(split)) == make_split(split) == split


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dead_line": 1}, "deadline_s"),
        ({"split": "half"}, r"shard\(4\)"),
        ({"split": "shard(-1)"}, "no split"),
        ({"executor": "fortran"}, "numpy"),
        ({"check": "all"}, "finite"),
        ({"deadline_s": 0.0}, "positive"),
        ({"deadline_s": float("nan")}, "positive"),
        ({"deadline_s": "soon"}, "positive"),
        ({"priority": 1.5}, "priority"),
        ({"memory_cap_bytes": -1}, "memory_cap_bytes"),
        ({"reproducible": "yes"}, "reproducible"),
    ],
)
def test_bad_options(options: dict[str, Any], words: str):
    """The error names the option and what it may be."""
    with pytest.raises(RequestError, match=words):
        make_options(options)


def test_what_is_no_graph_or_no_inputs():
    """The usual slips, each with what to do instead."""
    with pytest.raises(InputError, match="trace"):
        make_job(lambda x: x, {}, gradient="x")  # type: ignore[arg-type]  # the slip
    with pytest.raises(InputError, match="dict"):
        make_job(graph, [np.ones(3)])  # type: ignore[arg-type]  # the slip
    with pytest.raises(InputError, match="not both"):
        make_job(graph, X, gradient="x", want=Value())


def test_every_option_has_its_keyword_and_its_check():
    """A field added to Options is added to the keywords and to what they may be."""
    names = {field.name for field in fields(Options)}
    assert names == set(_ALLOWED) == set(OptionFields.__annotations__)
