"""The scheduler under random plans, orders, failures, losses, duplicates, cancels and delays."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.server.scheduler_ordeal import CASES, Ordeal

randoms = st.randoms(use_true_random=False)
picks = st.integers(0, 10**6)
clients = st.sampled_from("abc")
deadlines = st.sampled_from([None, None, 5.0])
priorities = st.integers(-1, 1)
lanes = st.booleans()

busy = precondition(lambda self: self.busy())
alive = precondition(lambda self: self.pool.workers)
starting = precondition(lambda self: self.pool.starting)


class SchedulerMachine(Ordeal, RuleBasedStateMachine):
    """Hypothesis says what happens."""

    begin = initialize(case=st.sampled_from([*CASES]))(Ordeal.begin)
    submit = rule(random=randoms, client=clients, priority=priorities, deadline=deadlines)(
        Ordeal.submit
    )
    submit_again = precondition(lambda self: self.pool.plans)(
        rule(pick=picks, client=clients)(Ordeal.submit_again)
    )
    start_worker = starting(rule(pick=picks)(Ordeal.start_worker))
    place_worker = starting(rule(pick=picks)(Ordeal.place_worker))
    fail_to_start = starting(rule(pick=picks)(Ordeal.fail_to_start))
    measure = alive(rule(pick=picks, seconds=st.sampled_from([1e-10, 1e-8]))(Ordeal.measure))
    finish_batch = busy(
        rule(
            pick=picks,
            together=st.booleans(),
            heed=st.booleans(),
            express=lanes,
            slowness=st.sampled_from([1.0, 1.0, 0.01, 20.0]),
        )(Ordeal.finish_batch)
    )
    give_way = busy(rule(pick=picks)(Ordeal.give_way))
    fail_task = busy(rule(pick=picks, express=lanes)(Ordeal.fail_task))
    lose_worker = alive(rule(pick=picks)(Ordeal.lose_worker))
    lose_node = alive(rule(together=st.booleans())(Ordeal.lose_node))
    lose_worker_midway = busy(
        rule(pick=picks, tasks=st.integers(0, 3), express=lanes)(Ordeal.lose_worker_midway)
    )
    answer = precondition(lambda self: self.pool.asked)(rule(pick=picks)(Ordeal.answer))
    lose_copy = precondition(lambda self: self.pool.here)(rule(pick=picks)(Ordeal.lose_copy))
    repeat_old_events = precondition(lambda self: self.past)(
        rule(pick=picks)(Ordeal.repeat_old_events)
    )
    cancel = precondition(lambda self: self.open_jobs())(rule(pick=picks)(Ordeal.cancel))
    flush = rule()(Ordeal.flush)
    tick = rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 40.0]))(Ordeal.tick)
    see_the_end = precondition(lambda self: self.pool.killed)(rule()(Ordeal.see_the_end))

    answers_once = invariant()(Ordeal.answers_once)
    wastes_no_attempt = invariant()(Ordeal.wastes_no_attempt)
    keeps_two_calls = invariant()(Ordeal.keeps_two_calls)
    leaves_nobody_waiting = invariant()(Ordeal.leaves_nobody_waiting)

    def teardown(self) -> None:
        """Left alone, every job ends, and nothing is held."""
        self.left_alone()


TestScheduler = SchedulerMachine.TestCase
TestScheduler.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
