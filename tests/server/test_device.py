"""A job that asks for a GPU: all of it goes to workers with one, compiled by XLA; or is refused."""

from __future__ import annotations

import jax
import pytest

from pullback_graph.builder import Builder
from pullback_graph.errors import UnsupportedError
from pullback_graph.graph import Graph
from pullback_graph.job import Options, Split
from pullback_graph.ref import do
from pullback_graph.types import FLOAT64, ArrayType
from pullback_graph.want import Gradient, Value
from pullback_server.config import ServerConfig
from pullback_server.front_end.prepare import Preparer
from pullback_server.planner import Phase, Placement
from pullback_worker.tape_loader import sweepable

GPU = Options(device="gpu")


def preparer(*, cluster: bool = True) -> Preparer:
    """One of a server with workers, or without."""
    return Preparer(10, 1 << 20, 1 << 40, cluster=cluster)


def loss() -> Graph:
    """A sum of squares along a batch of 64."""
    b = Builder()
    x, w = b.input("x", ArrayType(FLOAT64, (64, 3))), b.input("w", ArrayType(FLOAT64, (3,)))
    return b.build({"y": do.sum(do.square(x @ w), axes=(0,), keepdims=False)})


@pytest.mark.parametrize("executor", ["auto", "xla"])
@pytest.mark.parametrize("split", ["none", "shard"])
def test_every_task_goes_to_a_gpu_worker(executor: str, split: str):
    """However small the job: tasks run on XLA, and reductions beside them, where the terms are."""
    options = Options(device="gpu", executor=executor, split=Split(split))
    prepared = preparer().prepare(loss(), Gradient(("w",)), options)
    assert prepared.choice is None
    assert {task.placement for task in prepared.plan.tasks} == {Placement.GPU}
    for task in prepared.plan.tasks:
        assert task.executor == ("numpy" if task.phase is Phase.REDUCE else "xla")


def test_a_job_for_any_device_is_another_job():
    """What was prepared for one is not taken for the other, and asks for no GPU."""
    own = preparer()
    own.prepare(loss(), Value(), GPU)
    assert own.kept(loss().fingerprint, Value(), Options()) is None
    plain = own.prepare(loss(), Value(), Options())
    assert {task.placement for task in plain.plan.tasks} == {Placement.CPU}
    assert plain.choice is not None


@pytest.mark.parametrize(
    ("options", "field", "words"),
    [
        (Options(device="gpu", executor="numpy"), "options.device", "numpy does not run on a GPU"),
        (Options(device="gpu", executor="tape"), "options.device", "tape does not run on a GPU"),
        (Options(device="tpu"), "options.device", "no device 'tpu'; use one of: auto, gpu"),
        (Options(device="g" * 100_000), "options.device", "no device"),
        (Options(device="gpu", memory_cap_bytes=1 << 30), "options.memory_cap_bytes", "xla"),
    ],
)
def test_what_no_gpu_does_is_refused(options: Options, field: str, words: str):
    """Before anything is planned; the message says what would do."""
    with pytest.raises(UnsupportedError, match=words) as caught:
        preparer().prepare(loss(), Value(), options)
    assert caught.value.field == field
    assert len(caught.value.message) < 1000


@pytest.mark.skipif(jax.devices()[0].platform != "cpu", reason="there is a GPU here")
def test_without_workers_the_front_end_needs_a_gpu_of_its_own():
    """A server that runs everything itself says that it has none."""
    with pytest.raises(UnsupportedError, match="no GPU here that JAX can use") as caught:
        preparer(cluster=False).prepare(loss(), Value(), GPU)
    assert caught.value.field == "options.device"


def test_the_tape_machine_leaves_such_jobs_alone():
    """Scalar code too goes where the job says."""
    assert sweepable(Value(), Options())
    assert not sweepable(Value(), GPU)


@pytest.mark.parametrize(
    ("config", "device"),
    [
        (ServerConfig(workers=2, gpus_per_worker=1.0), "cpu"),
        (ServerConfig(workers=2, gpu_workers=1, gpus_per_worker=0.5, xla_device="gpu"), "cpu"),
        (ServerConfig(workers=2), ""),
        (ServerConfig(workers=0, xla_device="gpu"), "gpu"),
    ],
)
def test_the_front_end_leaves_the_workers_gpus_alone(config: ServerConfig, device: str):
    """JAX takes most of a GPU's memory when it starts."""
    assert config.front_end_device == device
