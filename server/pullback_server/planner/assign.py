"""Which executor each task of a plan must run on, and which may move while it runs."""

from __future__ import annotations

from dataclasses import replace

from pullback_server.planner.plan import Phase, Plan


def assign(plan: Plan, executor: str, *, steady: bool) -> Plan:
    """The plan with an executor per task.

    Reductions add a few arrays: they stay on NumPy, whatever the rest runs on.

    Args:
        executor: what the job asks for; `auto` lets workers move tasks to what is faster.
        steady: whether tasks must stay where they start.
    """
    own = "numpy" if executor == "auto" and steady else executor
    return replace(
        plan,
        tasks=tuple(
            [
                replace(task, executor="numpy" if task.phase is Phase.REDUCE else own)
                for task in plan.tasks
            ]
        ),
    )
