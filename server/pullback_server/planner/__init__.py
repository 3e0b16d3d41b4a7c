"""Planning: a lowered graph and the job's options -> a Plan, by a versioned cost table."""

from pullback_server.planner.assign import assign
from pullback_server.planner.cost_table import COST_TABLE, estimate
from pullback_server.planner.make_plan import make_plan
from pullback_server.planner.plan import (
    Block,
    JobInput,
    Phase,
    Placement,
    Plan,
    Source,
    Task,
    TaskOutput,
)

__all__ = [
    "COST_TABLE",
    "Block",
    "JobInput",
    "Phase",
    "Placement",
    "Plan",
    "Source",
    "Task",
    "TaskOutput",
    "assign",
    "estimate",
    "make_plan",
]
