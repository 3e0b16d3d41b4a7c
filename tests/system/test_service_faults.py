"""A whole server, as its clients see it, while its parts are killed: nothing shows but time."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

import grpc
import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from examples.server_process import RunningServer, running_server
from pullback_graph.codec import encode_job
from pullback_proto.v1 import job_pb2

RNG = np.random.default_rng(1)
WORKER = "ray::Worker"
W, X = RNG.normal(size=(40, 20)), RNG.normal(size=(60_000, 40))


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A server with two Ray workers, which the tests hurt and which must recover."""
    with running_server("--workers", "2", "--job-processes", "2") as running:
        running.wait_for_workers(2)
        yield running


def loss(w: Any, x: Any) -> Any:
    """A mean over the batch."""
    return pnp.mean(pnp.tanh(x @ w) ** 2)


def sharded(service: Any) -> pb.Result:
    """The loss and its gradient, over the workers in eight shards."""
    graph = pb.trace(loss, W, X)
    result: pb.Result = service.evaluate(
        graph, {"w": W, "x": X}, gradient=["w"], split="shard(8)", deadline_s=120.0
    )
    return result


def processes(pid: int, name: str) -> list[int]:
    """Descendants of a process whose command line holds `name`."""
    found, parents = [], {pid}
    rows = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            rows.append((int(folder.name), int(stat[1]), (folder / "cmdline").read_bytes()))
        except OSError:
            continue
    while True:
        more = {p for p, parent, _ in rows if parent in parents} - parents
        if not more:
            break
        parents |= more
    for process, _, line in rows:
        if process in parents and name.encode() in line:
            found.append(process)
    return found


def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait for a condition of another process."""
    ends, pause = monotonic() + timeout_s, threading.Event()
    while not condition():
        assert monotonic() < ends, "it did not come to pass"
        pause.wait(0.05)


def small(service: Any) -> float:
    """A job of the front end's own."""
    return float(service.value_and_grad(lambda x: x**2 + 2 * x + 1)(3.0)[1])


def test_shards_run_on_ray_and_say_so(server: RunningServer) -> None:
    """A forced split runs on the workers, its parts in the metrics, close to the local result."""
    with pb.connect(server.address) as service:
        result = sharded(service)
        local = pb.local().evaluate(pb.trace(loss, W, X), {"w": W, "x": X}, gradient=["w"])
    np.testing.assert_allclose(result.gradients["w"], local.gradients["w"], rtol=1e-10)
    assert result.metrics.split == "shard(8)"
    assert result.metrics.tasks > 8
    assert result.metrics.workers >= 1
    assert result.metrics.fused_s > 0.0
    assert result.metrics.reducing_s > 0.0


def test_the_front_end_outlives_its_dispatcher(server: RunningServer) -> None:
    """Kill the dispatcher and Ray with it: small jobs go on at once, the rest run again."""
    with pb.connect(server.address) as service, ThreadPoolExecutor(1) as other:
        expected = sharded(service).gradients["w"].tobytes()
        for pid in processes(server.pid, "pullback_server.dispatcher"):
            os.kill(pid, signal.SIGKILL)
        waiting = other.submit(sharded, service)
        assert small(service) == 8.0
        assert waiting.result(120).gradients["w"].tobytes() == expected
        assert small(service) == 8.0


def test_workers_killed_under_load_change_no_bit(server: RunningServer) -> None:
    """Sharded jobs in flight while a worker dies give the same bits; what ran again is told."""
    with pb.connect(server.address) as service, ThreadPoolExecutor(4) as others:
        expected = sharded(service).gradients["w"].tobytes()
        server.wait_for_workers(2)  # one that still starts is not lost when it is killed
        running = [others.submit(sharded, service) for _ in range(8)]
        os.kill(processes(server.pid, WORKER)[0], signal.SIGKILL)
        for job in running:
            assert job.result(120).gradients["w"].tobytes() == expected
        until(lambda: server.metrics().get("pullback_workers_lost_total", 0.0) >= 1.0)


def different_graphs(count: int) -> list[pb.Job]:
    """Jobs that bring each a graph of its own."""

    def make(k: int) -> pb.Job:
        graph = pb.trace(lambda x: pnp.sin(x * float(k)) * x, 1.0)
        return pb.Job(graph, {"x": np.asarray(0.5)}, pb.Gradient(("x",)))

    return [make(k) for k in range(count)]


def _derivative(result: pb.Result | pb.PullbackError) -> float:
    assert isinstance(result, pb.Result), result
    return float(result.gradients["x"])


def test_a_batch_of_different_graphs_uses_processes(server: RunningServer) -> None:
    """Graphs never seen run on the front end's processes; killing those fails no server."""
    jobs = different_graphs(300)
    with pb.connect(server.address) as service:
        for _ in range(2):  # the first batch starts the processes
            results = list(service.map(jobs, progress=False))
        derivatives = [_derivative(r) for r in results]
        k = np.arange(300.0)
        np.testing.assert_allclose(derivatives, np.sin(k / 2) + k / 2 * np.cos(k / 2), rtol=1e-12)
        until(lambda: len(processes(server.pid, "multiprocessing.spawn")) >= 2)
        for pid in processes(server.pid, "multiprocessing.spawn"):
            os.kill(pid, signal.SIGKILL)
        for result in service.map(different_graphs(100), progress=False):
            assert isinstance(result, pb.Result | pb.ServiceError)
        again = list(service.map(jobs, progress=False))
        assert [_derivative(r) for r in again] == derivatives


def test_a_stop_finishes_what_runs() -> None:
    """SIGTERM lets a running job end and answers it; the server then leaves nothing behind."""
    with running_server("--workers", "0") as server, pb.connect(server.address) as service:
        x = np.eye(400) * 0.5
        graph = pb.trace(lambda x: pnp.sum(_power(x, 60)), x)
        with ThreadPoolExecutor(1) as other:
            running = other.submit(service.evaluate, graph, {"x": x})
            running_now = 'pullback_jobs_in_flight{state="running",want="value"}'
            until(lambda: _sample(server, running_now) > 0 or running.done())
            os.kill(server.pid, signal.SIGTERM)
            assert np.isfinite(running.result(60).outputs["result"])


def test_a_stop_ends_idle_streams() -> None:
    """A client that holds a stream open does not hold the stop up; what it sent is answered."""
    batch = job_pb2.JobBatch(jobs=[encode_job(job) for job in different_graphs(3)])
    open_end = threading.Event()

    def batches() -> Iterator[bytes]:
        yield batch.SerializeToString()
        open_end.wait(60.0)

    with (
        running_server("--workers", "0", "--grace-s", "60") as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stream: Any = channel.stream_stream("/pullback.v1.GradientService/EvaluateStream")
        replies = stream(batches())
        assert len(job_pb2.ReplyBatch.FromString(next(replies)).replies) == 3
        os.kill(server.pid, signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as ended:
            next(replies)
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        open_end.set()


def _power(x: Any, count: int) -> Any:
    y = x
    for _ in range(count):
        y = y @ x
    return y


def _sample(server: RunningServer, name: str) -> float:
    return next((v for k, v in server.metrics().items() if _same_sample(k, name)), 0.0)


def _same_sample(one: str, other: str) -> bool:
    """Whether two sample names are one, whatever the order of their labels."""

    def parts(name: str) -> tuple[str, tuple[str, ...]]:
        metric, _, labels = name.rstrip("}").partition("{")
        return metric, tuple(sorted(labels.split(",")))

    return parts(one) == parts(other)
