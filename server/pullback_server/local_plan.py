"""Plans a job in this process as a server with workers would: `pullback plan --local`.

Nothing runs. A plan is a function of the job and the cost table, so it is the server's; the times
it is predicted to take go by the table too, as nothing was measured.
"""

from __future__ import annotations

from pullback_graph.codec import decode_job
from pullback_graph.errors import InputError
from pullback_graph.graph import Graph
from pullback_graph.tape import Tape, to_graph
from pullback_server.config import ServerConfig
from pullback_server.front_end.describe import describe_plan
from pullback_server.front_end.prepare import Preparer


def plan_reply(data: bytes) -> bytes:
    """The serialised PlanReply for a serialised Job.

    Raises:
        PullbackError: as a server's Plan says; a job that names its graph is InputError.
    """
    config = ServerConfig(workers=1)
    job = decode_job(data, config.limits)
    graph = to_graph(job.graph) if isinstance(job.graph, Tape) else job.graph
    if not isinstance(graph, Graph):
        raise InputError("the job names a graph that only a server has; send the graph itself")
    preparer = Preparer(1, config.graph_store_bytes, config.memory_bytes, cluster=True)
    prepared = preparer.prepare(graph, job.want, job.options)
    reply: bytes = describe_plan(prepared, preparer.chooser.executors).SerializeToString()
    return reply
