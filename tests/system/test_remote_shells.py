"""Both shells over real gRPC, against a service in this process: they perform what was decided."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, aclosing
from pathlib import Path
from shutil import which

import grpc
import numpy as np
import pytest

from pullback.connection import aconnect, connect
from pullback.remote.passing import LARGE_BYTES
from pullback.remote.retry import RetryPolicy
from pullback.remote.service import Service
from pullback_graph.errors import (
    ERRORS,
    Cancelled,
    DeadlineExceeded,
    InputError,
    LimitExceeded,
    PullbackError,
    ServiceError,
    UnsupportedError,
)
from pullback_graph.job import Result, TensorHash
from tests.client.fake_service import FakeService
from tests.client.graphs import scaled, square
from tests.client.grpc_service import serving

SOON = RetryPolicy(attempts=2, first_s=0.001)
LARGE = LARGE_BYTES // 8


@pytest.fixture
def fake() -> FakeService:
    """A service that does as it should."""
    return FakeService()


@pytest.fixture
def address(fake: FakeService) -> Iterator[str]:
    """Where it listens."""
    with serving(fake) as address:
        yield address


@pytest.fixture
def service(address: str) -> Iterator[Service]:
    """A client of it."""
    with connect(address, retry=SOON) as service:
        yield service


# --- the plain client -----------------------------------------------------------------------------


def test_evaluate(service: Service):
    """A job goes there and its result comes back."""
    for x in (3.0, 4.0):
        result = service.evaluate(square(), {"x": x}, gradient=["x"])
        assert result.outputs["y"] == x * x
        assert result.gradients["x"] == 2 * x


@pytest.mark.parametrize("kind", ERRORS.values(), ids=ERRORS)
def test_the_class_that_the_server_raised(kind, service: Service, fake: FakeService):
    """Every class of the tree passes through gRPC's trailing metadata."""
    fake.next("Evaluate", *[kind("what, where, next", field="inputs.x")] * 2)
    with pytest.raises(kind, match="what, where, next") as caught:
        service.evaluate(square(), {"x": 1.0})
    assert type(caught.value) is kind
    assert caught.value.field == "inputs.x"


def test_verbs_and_functions(service: Service):
    """The verbs work on graphs, the transforms on functions, with a handle as an argument too."""
    assert service.gradient(square(), {"x": 3.0}, "x").gradients["x"] == 6.0
    assert service.hessian(square(), {"x": 3.0}, "x").hessians["x", "x"] == 2.0
    handle = service.put(np.asarray([1.0, 2.0, 3.0]))
    value, gradient = service.value_and_grad(lambda w, x: (w * x).sum(), wrt="w")(2.0, handle)
    assert (value, gradient) == (12.0, 6.0)


def test_large_tensors_travel_in_chunks(service: Service, fake: FakeService):
    """Several megabytes arrive whole, once, or where they are parameters with their job."""
    x = np.arange(400_000.0)
    for _ in range(2):
        assert service.evaluate(square(x.size), {"x": x}).outputs["y"] == pytest.approx(x @ x)
    assert fake.calls == {"PutTensor": 1, "Evaluate": 2}
    assert isinstance(fake.jobs[-1].inputs["x"], TensorHash)
    result = service.evaluate(square(x.size), {"x": x + 1.0}, gradient="x")
    assert np.array_equal(result.gradients["x"], 2 * (x + 1.0))
    assert fake.calls["EvaluateInParts"] == 1
    fake.next("EvaluateInParts", InputError("not like this"))
    with pytest.raises(InputError, match="not like this"):
        service.evaluate(square(x.size), {"x": x + 2.0}, gradient="x")


def test_plan_and_server_info(service: Service):
    """The dry run and the description."""
    assert service.plan(square(), gradient="x").text == "1 task"
    assert service.server_info().version == "1.2.3"


def test_map(service: Service):
    """Many graphs, a broken job among them, in order."""
    jobs = [(scaled(i % 7), {"x": float(i)}) for i in range(500)]
    jobs[250] = (scaled(1), {})
    outcomes = list(service.map(jobs, gradient="x", progress=False))
    assert isinstance(outcomes.pop(250), InputError)
    expected = [i % 7 for i in range(500) if i != 250]
    assert [o.gradients["x"] for o in outcomes if isinstance(o, Result)] == expected


def test_leaving_a_map_ends_its_threads(service: Service):
    """A map that is left early closes its stream and its threads; the client goes on."""
    outcomes = service.map(((square(), {"x": 1.0}) for _ in iter(int, 1)), progress=False)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]  # it is a generator
    mine = [t for t in threading.enumerate() if "pullback-map" in t.name or "consume" in t.name]
    for thread in mine:
        thread.join(10.0)
        assert not thread.is_alive()
    assert service.evaluate(square(), {"x": 2.0}).outputs["y"] == 4.0


def test_a_map_outlives_a_restart(fake: FakeService):
    """The server goes away in the middle and comes back empty: every job has its result."""
    with ExitStack() as first_server:
        address = first_server.enter_context(serving(fake))
        port = int(address.rpartition(":")[2])
        with connect(address, retry=RetryPolicy(attempts=20, first_s=0.02)) as service:
            jobs = ((square(), {"x": float(i)}) for i in range(300))
            outcomes = service.map(jobs, in_flight=16, progress=False)
            seen = [next(outcomes) for _ in range(50)]
            first_server.close()
            fake.restart()
            with serving(fake, port):
                seen += outcomes
    values = [float(o.outputs["y"]) for o in seen if isinstance(o, Result)]
    assert values == [float(i * i) for i in range(300)]


def test_many_threads_share_a_service(service: Service, fake: FakeService):
    """Concurrent calls get their own results."""

    def ask(i: int) -> float:
        return float(service.evaluate(scaled(i % 5), {"x": float(i)}).outputs["y"])

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ask, range(100))) == [float(i % 5 * i) for i in range(100)]


def test_nobody_there():
    """A refused connection names the address and the next action."""
    with (
        connect("localhost:1", retry=SOON) as service,
        pytest.raises(ServiceError, match=r"localhost:1.*pullback serve"),
    ):
        service.evaluate(square(), {"x": 1.0})


def test_waiting_for_a_server_that_comes(fake: FakeService):
    """wait_until_ready returns once somebody answers, and says so if nobody does."""
    with connect("localhost:1", retry=SOON) as service, pytest.raises(ServiceError):
        service.wait_until_ready(0.3)
    with serving(fake) as address, connect(address) as service:
        service.wait_until_ready(20.0)


def test_a_deadline_is_the_calls_too(service: Service, fake: FakeService):
    """A service that takes longer than the deadline is not waited for."""
    release = threading.Event()
    evaluate = fake.Evaluate

    def slow(data: bytes) -> bytes:
        release.wait(30.0)
        return evaluate(data)

    fake.Evaluate = slow  # type: ignore[method-assign]
    try:
        with pytest.raises(DeadlineExceeded):
            service.evaluate(square(), {"x": 1.0}, deadline_s=0.1)
    finally:
        release.set()


def test_a_closed_service_says_so(address: str):
    """Neither a crash nor a hang."""
    service = connect(address)
    service.close()
    with pytest.raises(ServiceError, match="closed"):
        service.evaluate(square(), {"x": 1.0})
    with pytest.raises(ServiceError, match="closed"):
        list(service.map([(square(), {"x": 1.0})], progress=False))


def test_a_fork_is_noticed(service: Service, monkeypatch: pytest.MonkeyPatch):
    """In a forked process the client asks for a connection of its own, rather than hang."""
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(ServiceError, match="fork"):
        service.evaluate(square(), {"x": 1.0})


def test_another_service_at_the_address():
    """A gRPC server that is no Pullback server is UnsupportedError."""
    with ThreadPoolExecutor(1) as threads:
        server = grpc.server(threads)
        port = server.add_insecure_port("localhost:0")
        server.start()
        with connect(f"localhost:{port}") as service, pytest.raises(UnsupportedError):
            service.evaluate(square(), {"x": 1.0})
        server.stop(None).wait()


def test_a_message_over_the_servers_limit(service: Service):
    """gRPC's own refusal of a large message says what to do."""
    many = {f"x{i}": np.zeros(LARGE - 1) for i in range(20)}
    with pytest.raises(LimitExceeded, match="put"):
        service.evaluate(square(), many)


def test_metadata_travels(fake: FakeService, address: str):
    """The token reaches the server with each call."""
    with connect(address, token="secret") as service:
        service.server_info()
        assert ("authorization", "Bearer secret") in fake.metadata
        list(service.map([(square(), {"x": 1.0})], progress=False))
        assert ("authorization", "Bearer secret") in fake.metadata


@pytest.mark.skipif(which("openssl") is None, reason="openssl makes the certificate")
def test_tls(fake: FakeService, tmp_path: Path):
    """With the server's certificate the call is encrypted; without it there is no call."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(command, check=True, capture_output=True)
    pair = [(key.read_bytes(), certificate.read_bytes())]
    with serving(fake, credentials=grpc.ssl_server_credentials(pair)) as address:
        for tls in (certificate, str(certificate), certificate.read_bytes()):
            with connect(address, tls=tls) as service:
                assert service.evaluate(square(), {"x": 3.0}).outputs["y"] == 9.0
        with connect(address, tls=True, retry=SOON) as service, pytest.raises(ServiceError):
            service.evaluate(square(), {"x": 3.0})


# --- the asyncio client ---------------------------------------------------------------------------


async def test_async_evaluate(address: str):
    """The same, awaited; several at once."""
    async with aconnect(address) as service:
        results = await asyncio.gather(
            *[service.evaluate(square(), {"x": float(i)}, gradient="x") for i in range(20)]
        )
        assert [r.gradients["x"] for r in results] == [2.0 * i for i in range(20)]
        assert (await service.jacobian(square(), {"x": 2.0}, "x")).jacobians["y", "x"] == 4.0
        value, gradient = await service.value_and_grad(lambda x: x * x)(3.0)
        assert (value, gradient) == (9.0, 6.0)
        handle = await service.put(np.ones(LARGE))
        result = await service.evaluate(square(LARGE), {"x": handle})
        assert result.outputs["y"] == LARGE
        assert (await service.plan(square())).text == "1 task"
        assert (await service.server_info()).version == "1.2.3"
        await service.wait_until_ready(5.0)


@pytest.mark.parametrize("kind", [InputError, LimitExceeded, ServiceError, Cancelled])
async def test_async_errors(kind: type[PullbackError], address: str, fake: FakeService):
    """The class that the server raised."""
    fake.next("Evaluate", *[kind("what, where, next")] * 2)
    async with aconnect(address, retry=SOON) as service:
        with pytest.raises(kind, match="what, where, next"):
            await service.evaluate(square(), {"x": 1.0})


async def test_async_map(address: str):
    """Order, broken jobs, plain and asynchronous iterables."""

    async def jobs() -> AsyncIterator[object]:
        for i in range(300):
            yield (scaled(i % 3), {"x": float(i)} if i != 100 else {})

    async with aconnect(address) as service:
        outcomes = [o async for o in service.map(jobs(), gradient="x", progress=False)]
        assert isinstance(outcomes.pop(100), InputError)
        found = [o.gradients["x"] for o in outcomes if isinstance(o, Result)]
        assert found == [i % 3 for i in range(300) if i != 100]
        plain = service.map([(square(), {"x": 2.0})] * 200, progress=False)
        assert len([o async for o in plain if isinstance(o, Result)]) == 200


async def test_async_map_gives_results_while_its_jobs_are_slow(address: str):
    """A result is not held back until the caller's iterable gives its next job."""
    asked = asyncio.Event()

    async def jobs() -> AsyncIterator[object]:
        yield (square(), {"x": 3.0})
        await asked.wait()
        yield (square(), {"x": 4.0})

    async with aconnect(address) as service:
        outcomes = service.map(jobs(), progress=False)
        first = await anext(outcomes)
        asked.set()
        rest = [o async for o in outcomes]
    assert isinstance(first, Result)
    assert first.outputs["y"] == 9.0
    assert len(rest) == 1


async def test_leaving_an_async_map_ends_its_tasks(address: str):
    """A map that is left early leaves no task behind, and a fault of the iterable is raised."""

    async def jobs() -> AsyncIterator[object]:
        yield (square(), {"x": 3.0})
        raise KeyError("mine")

    async with aconnect(address) as service:
        async with aclosing(service.map([(square(), {"x": 1.0})] * 500, progress=False)) as left:  # type: ignore[type-var]  # it is an async generator
            await anext(left)
        with pytest.raises(KeyError, match="mine"):
            async for _ in service.map(jobs(), progress=False):
                pass
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_async_map_outlives_a_break(address: str, fake: FakeService):
    """A broken stream is opened again and nothing is lost."""
    fake.next("EvaluateStream", b"", b"", ServiceError("restarting"))
    async with aconnect(address, retry=RetryPolicy(first_s=0.01)) as service:
        jobs = [(square(), {"x": float(i)}) for i in range(200)]
        outcomes = [o async for o in service.map(jobs, in_flight=32, progress=False)]
    values = [float(o.outputs["y"]) for o in outcomes if isinstance(o, Result)]
    assert values == [float(i * i) for i in range(200)]


async def test_cancelling_a_call_cancels_it(address: str, fake: FakeService):
    """A task that is cancelled while it waits ends at once; the client goes on."""
    release, arrived = threading.Event(), threading.Event()
    evaluate = fake.Evaluate

    def slow(data: bytes) -> bytes:
        arrived.set()
        release.wait(30.0)
        return evaluate(data)

    fake.Evaluate = slow  # type: ignore[method-assign]
    async with aconnect(address) as service:
        task = asyncio.create_task(service.evaluate(square(), {"x": 1.0}))
        await asyncio.to_thread(arrived.wait, 30.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
        assert (await service.evaluate(square(), {"x": 2.0})).outputs["y"] == 4.0


async def test_closing_while_a_call_waits(address: str, fake: FakeService):
    """The waiting call fails with Cancelled, not with asyncio's own cancellation."""
    release, arrived = threading.Event(), threading.Event()

    def slow(data: bytes) -> bytes:
        arrived.set()
        release.wait(30.0)
        return b""

    fake.Evaluate = slow  # type: ignore[method-assign]
    service = aconnect(address)
    task = asyncio.create_task(service.evaluate(square(), {"x": 1.0}))
    await asyncio.to_thread(arrived.wait, 30.0)
    await service.close()
    release.set()
    with pytest.raises(Cancelled):
        await task
    with pytest.raises(ServiceError, match="closed"):
        await service.evaluate(square(), {"x": 1.0})


def test_another_event_loop_is_noticed(address: str):
    """A service belongs to the loop it was first used on."""
    service = aconnect(address)
    runner = asyncio.Runner()
    assert runner.run(service.evaluate(square(), {"x": 2.0})).outputs["y"] == 4.0

    async def elsewhere() -> None:
        with pytest.raises(ServiceError, match="another event loop"):
            await service.evaluate(square(), {"x": 2.0})

    with ThreadPoolExecutor(1) as threads:
        threads.submit(asyncio.run, elsewhere()).result()
    runner.run(service.close())
    runner.close()
