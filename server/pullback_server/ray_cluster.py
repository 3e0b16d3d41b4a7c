"""Ray as the pool joins it: in and out of a cluster, its object store, what its errors mean.

Functions without state; the workers themselves are the pool's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray.exceptions import ObjectLostError, OutOfMemoryError, RayError

from pullback_graph.errors import ServiceError
from pullback_graph.job import NDArray
from pullback_server.held_input import Carried
from pullback_server.planner.plan import Placement
from pullback_server.pool_settings import PoolSettings
from pullback_server.traffic import MachineId
from pullback_worker.actor import (
    CONCURRENCY_GROUPS,
    ENVIRONMENT,
    STORE_IS_FULL,
    WorkerActor,
    WorkerSettings,
)
from pullback_worker.batch import Packed, no_room


class Place(NamedTuple):
    """Where this process is in a cluster.

    Attributes:
        socket: of Ray's process on this machine; empty where it can't be looked at.
    """

    machine: MachineId
    socket: str


class Process(NamedTuple):
    """A process of an actor: its number on its machine."""

    number: int
    machine: MachineId


def join(settings: PoolSettings) -> Place:
    """Join the cluster, or start one. Takes seconds; call it on the main thread."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    context: Any
    if settings.ray_address:
        context = ray.init(address=settings.ray_address, **quiet)
    else:
        with _environment(ENVIRONMENT):
            context = ray.init(
                num_cpus=max(settings.workers + settings.gpu_workers, os.cpu_count() or 1),
                include_dashboard=False,
                object_store_memory=settings.local_store_bytes,
                _temp_dir=str(settings.folder),
                **quiet,
            )
    socket = str(context.address_info["raylet_socket_name"])
    machine = str(ray.get_runtime_context().get_node_id())
    return Place(machine, socket if listens(socket) else "")


def listens(socket: str) -> bool:
    """Whether a process listens on a Unix socket, as the system lists them; nobody is asked."""
    try:
        listed = Path("/proc/net/unix").read_text()
    except OSError:
        return False
    return any([line.endswith(f" {socket}") for line in listed.splitlines()])


def new_worker(settings: PoolSettings, kind: Placement) -> Any:
    """The actor of a worker that starts now, or when there is room for it."""
    options: dict[str, Any] = {
        "num_cpus": 1,
        "num_gpus": settings.gpus_of(kind),
        "max_restarts": 0,
        "max_task_retries": 0,
        "max_concurrency": 1,
        "concurrency_groups": CONCURRENCY_GROUPS,
        **actor_environment(settings, kind),
    }
    own = WorkerSettings(
        settings.memory_share,
        settings.worker_memory_bytes,
        settings.programs,
        settings.promotion,
        settings.device_of(kind),
    )
    actor: Any = ray.remote(**options)(WorkerActor)
    return actor.remote(own)


def actor_environment(settings: PoolSettings, kind: Placement) -> dict[str, Any]:
    """The option of an actor that says what its process starts with.

    A Ray that was started here starts its processes with that already, ahead of their actors,
    which they only serve where those ask for nothing else.
    """
    own = settings.environment_of(kind)
    if settings.ray_address:
        own = {**ENVIRONMENT, **own}
    return {"runtime_env": {"env_vars": own}} if own else {}


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Have environment variables while a block lasts: what starts in it inherits them."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def address() -> str:
    """The address of the cluster."""
    return str(ray.get_runtime_context().gcs_address)


async def answers(timeout_s: float) -> bool:
    """Whether Ray's head answers in time."""
    try:
        nodes = await asyncio.wait_for(asyncio.to_thread(ray.nodes), timeout_s)
    except (TimeoutError, RayError):
        return False
    return any(node["Alive"] for node in nodes)


def put(array: NDArray) -> Carried:
    """A reference to a copy of an array in the object store.

    Raises:
        ServiceError: the object store has no room, on disk neither.
    """
    try:
        return ray.put(array)
    except RayError as error:
        if is_full(error):
            raise no_room(f"an input of {array.nbytes} bytes") from error
        raise


def get(carried: Carried) -> NDArray:
    """The array that something carried stands for."""
    if isinstance(carried, Packed):
        packed: NDArray = ray.get(carried.reference)[carried.position]
        return packed
    array: NDArray = ray.get(carried) if isinstance(carried, ray.ObjectRef) else carried
    return array


def process_of(actor: Any) -> Process | None:
    """The process that an actor was given, if it is known; it may not have come up yet.

    Ray says so in no public way.
    """
    try:
        table: Any = vars(ray)["_private"].state.actors(actor._actor_id.hex())
        process = Process(int(table["Pid"]), str(table["Address"]["NodeID"]))
    except (AttributeError, KeyError, RayError, RuntimeError, ValueError):
        return None
    return process if process.number else None


def get_input(carried: Carried) -> NDArray:
    """The array of an input.

    Raises:
        ServiceError: it was lost, and is to be sent again.
    """
    try:
        return get(carried)
    except RayError as error:
        raise ServiceError(f"an input was lost: {cause(error)}; try again") from error


def kill_here(process: int) -> None:
    """Kill an actor's process of this machine, if it has one; Ray gives one that hangs seconds."""
    if process:
        with contextlib.suppress(OSError):  # it is gone already
            os.kill(process, signal.SIGKILL)


def end(actor: Any) -> None:
    """End an actor and its process; waits for Ray's head, which may be busy, or gone."""
    with contextlib.suppress(RayError, RuntimeError, ValueError):
        ray.kill(actor)


def cause(error: BaseException) -> str:
    """The first line of Ray's account, which may be pages long."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


def is_full(error: BaseException) -> bool:
    """Whether the object store had no room; a worker's, where it raised that."""
    return isinstance(error, STORE_IS_FULL)


def is_lost(error: BaseException) -> bool:
    """Whether an object was lost that a call was to read."""
    return isinstance(error, ObjectLostError)


def by_memory(error: RayError) -> bool:
    """Whether a worker was ended because its machine ran low on memory."""
    return isinstance(error, OutOfMemoryError) or "low on memory" in str(error)
