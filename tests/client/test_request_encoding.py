"""What the fast encoder makes is what the codec makes; inputs are what users write."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from pullback.remote.request import JobEncoder, as_tensor
from pullback_graph.codec import decode_job
from pullback_graph.errors import DTypeError, InputError
from pullback_graph.job import GraphHash, Job, Options, Split, TensorHash
from pullback_graph.types import DTYPE_NAMES
from pullback_graph.want import Gradient, Jacobian, Jvp, Value, Want
from tests.client.graphs import square

NAME = "ab" * 32
arrays = npst.arrays(
    st.sampled_from(DTYPE_NAMES), npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
)
tensors = arrays | st.builds(TensorHash, st.sampled_from(["cd" * 32, "01" * 32]))
wants: st.SearchStrategy[Want] = st.sampled_from(
    [Value(), Value(("y",)), Gradient(("x",)), Gradient(("x", "z"), "y"), Jacobian(("x",))]
)
options = st.sampled_from(
    [Options(), Options(deadline_s=2.5, split=Split("shard", 3), priority=-1)]
)
jobs = st.builds(
    Job,
    st.just(GraphHash(NAME)),
    st.dictionaries(st.sampled_from(["x", "z", "naïve"]), tensors, max_size=3),
    want=wants,
    options=options,
    id=st.sampled_from(["", "7"]),
)


@given(st.lists(jobs, max_size=6))
def test_encoding_is_the_codecs(many: list[Job]):
    """Every job decodes to itself, however many before it had the same parts."""
    encoder = JobEncoder()
    for job in [*many, *many]:
        back = decode_job(encoder.named(NAME, job, job.inputs))
        assert (back.graph, back.want, back.seeds) == (job.graph, job.want, job.seeds)
        assert (back.options, back.id) == (job.options, job.id)
        assert list(back.inputs) == list(job.inputs)
        for name, tensor in job.inputs.items():
            _assert_same(back.inputs[name], tensor)


def _assert_same(found, wanted):
    if isinstance(wanted, TensorHash):
        assert found == wanted
    else:
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
        assert found.tobytes() == wanted.tobytes()


def test_seeds_travel_with_their_want():
    """A job with seeds decodes to itself."""
    seed = {"x": np.asarray(1.0)}
    job = Job(GraphHash(NAME), {"x": np.asarray(2.0)}, Jvp((("x",),)), (seed,))
    back = decode_job(JobEncoder().named(NAME, job, job.inputs))
    assert back.want == job.want
    assert back.seeds == (seed,)


@pytest.mark.parametrize("order", ["F", "strided", "big-endian"])
def test_any_layout_arrives_in_c_order(order: str):
    """Transposed, strided and byte-swapped arrays arrive with the same elements."""
    array = np.arange(12.0).reshape(3, 4)
    given = {"F": np.asfortranarray(array), "strided": np.repeat(array, 2, axis=1)[:, ::2]}.get(
        order, array.astype(">f8")
    )
    data = JobEncoder().named(NAME, Job(GraphHash(NAME), {}), {"x": given})
    assert np.array_equal(decode_job(data).inputs["x"], array)


def test_many_options_do_not_pile_up():
    """What the encoder keeps is bounded."""
    encoder = JobEncoder()
    for number in range(5000):
        options = Options(deadline_s=1.0 + number)
        encoder.named(NAME, Job(GraphHash(NAME), {}, options=options), {})
    assert len(encoder._heads) <= 4096


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, np.asarray(3.0)),
        (3.5, np.asarray(3.5)),
        (True, np.asarray(1.0)),
        (np.float64(2.0), np.asarray(2.0)),
        ([1, 2], np.asarray([1.0, 2.0])),
    ],
)
def test_python_numbers_take_the_graphs_dtype(value, expected):
    """Numbers and lists become float64 where the graph's input is; NumPy's keep their own dtype."""
    found = as_tensor("x", value, square())
    assert isinstance(found, np.ndarray)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert np.array_equal(found, expected)


def test_arrays_keep_their_dtype():
    """No silent cast: an int32 array stays one, and the service judges it."""
    for value in (np.asarray([1], np.int32), np.int32(1)):
        found = as_tensor("x", value, square())
        assert isinstance(found, np.ndarray)
        assert found.dtype == np.int32


@pytest.mark.parametrize("value", ["3", None, {"a": 1}, [[1], [1, 2]], object()])
def test_what_is_no_array_is_named(value):
    """The error names the input."""
    with pytest.raises(InputError, match="'x'"):
        as_tensor("x", value, square())


def test_a_foreign_dtype_is_refused_before_it_travels():
    """float16 is not of the language."""
    with pytest.raises(DTypeError, match="float16"):
        JobEncoder().named(NAME, Job(GraphHash(NAME), {}), {"x": np.asarray(1, np.float16)})


def test_a_name_that_is_no_text_is_refused():
    """A name that UTF-8 lacks is an InputError, not a crash."""
    with pytest.raises(InputError, match="does not fit the wire"):
        JobEncoder().named(NAME, Job(GraphHash(NAME), {}), {"\ud800": np.asarray(1.0)})
