"""Which executor and kind of worker each task of a plan runs on, and what may move meanwhile."""

from __future__ import annotations

from dataclasses import replace

from pullback_server.planner.plan import Phase, Placement, Plan


def assign(
    plan: Plan, executor: str, placement: Placement = Placement.CPU, *, steady: bool
) -> Plan:
    """The plan with an executor and a kind of worker per task.

    Reductions add a few arrays: they stay on NumPy, whatever the rest runs on, and on workers of
    the same kind, where what they add is.

    Args:
        executor: what the job asks for; `auto` lets workers move tasks to what is faster.
        placement: the kind of worker the job asks for.
        steady: whether tasks must stay where they start.
    """
    own = "numpy" if executor == "auto" and steady else executor
    return replace(
        plan,
        tasks=tuple(
            [
                replace(
                    task,
                    executor="numpy" if task.phase is Phase.REDUCE else own,
                    placement=placement,
                )
                for task in plan.tasks
            ]
        ),
    )
