"""A runner of jobs with stores, caches and executors of its own, as the settings say."""

from __future__ import annotations

from pullback_graph.job import NDArray
from pullback_server.config import ServerConfig
from pullback_server.front_end.prepare import Preparer
from pullback_server.front_end.run_job import JobRunner
from pullback_server.front_end.stores import ContentStore, graph_bytes
from pullback_server.front_end.tape_jobs import TapeJobs
from pullback_server.front_end.tape_machine import TapeMachine
from pullback_worker.chooser import Chooser
from pullback_worker.executors import TABLE, Executors, XlaSettings
from pullback_worker.promoter import Promoter, Watcher


def new_runner(
    config: ServerConfig, watcher: Watcher | None = None, *, aside: bool = False
) -> JobRunner:
    """The runner of these settings.

    Args:
        watcher: told of graphs that are compiled in the background.
        aside: whether it is a job process's, which runs NumPy alone.
    """
    names = ("numpy",) if aside else tuple(TABLE)
    executors = Executors(XlaSettings(config.front_end_device, threads=1, alone=True), names)
    promoter = Promoter(executors, watcher) if config.promotion and not aside else None
    preparer = Preparer(
        config.programs,
        config.graph_store_bytes,
        config.task_bytes,
        cluster=config.workers > 0,
        chooser=Chooser(executors, promoter),
    )
    tensors: ContentStore[NDArray] = ContentStore(
        "tensor", config.tensor_store_bytes, lambda array: array.nbytes
    )
    return JobRunner(
        preparer,
        graphs=ContentStore("graph", config.graph_store_bytes, graph_bytes),
        tensors=tensors,
        tapes=TapeJobs(
            TapeMachine(), tensors, config.graph_store_bytes, config.memory_bytes, aside=aside
        ),
        limits=config.limits,
    )
