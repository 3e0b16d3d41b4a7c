"""The scheduler under random plans, orders, failures, losses, duplicates, cancels and delays."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pullback_graph.errors import Cancelled, DeadlineExceeded, ExecutionError, OutOfMemory
from pullback_graph.types import FLOAT64, ArrayType
from pullback_server.planner.plan import JobInput, Phase, Plan, Task, TaskOutput
from pullback_server.scheduler import (
    Cancel,
    Dependencies,
    Event,
    Scheduler,
    Settings,
    Submitted,
    Tick,
    WorkerAnswered,
    WorkerLost,
)
from tests.server.plans import make_plan, make_task, reduce_plan
from tests.server.simulated_pool import CPU, SimulatedPool, evaluate

GRACE_S = 1.0
MEMORY_BYTES = 4096
SETTINGS = Settings(
    workers={CPU: 3},
    least_workers={CPU: 1},
    grow_s=0.01,
    idle_s=5.0,
    grace_s=GRACE_S,
    late_least_s=0.5,
    silence_s=10.0,
    answer_s=5.0,
)


@st.composite
def random_plans(draw: st.DrawFn) -> Plan:
    """DAGs of up to twelve tasks with one or two outputs each, and some of them as results."""
    tasks: list[Task] = []
    values: list[TaskOutput] = []
    sizes: list[int] = []
    for number in range(draw(st.integers(1, 12))):
        operands = draw(st.lists(st.sampled_from(values), max_size=3)) if values else []
        outputs = draw(st.integers(1, 2))
        phase = draw(st.sampled_from([Phase.FUSED, Phase.REDUCE])) if operands else Phase.FUSED
        shard = draw(st.integers(-1, 3))
        seconds = draw(st.sampled_from([1e-6, 1e-2, 1.0]))
        elements = draw(st.sampled_from([4, 64, 128]))
        made_bytes = 8 * elements * outputs + sum(sizes[v.task] for v in set(operands))
        spare = draw(st.sampled_from([0, 0, 0, MEMORY_BYTES // 4, MEMORY_BYTES // 2, MEMORY_BYTES]))
        sizes.append(8 * elements)
        tasks.append(
            make_task(
                operands or [JobInput(0)],
                outputs=outputs,
                phase=phase,
                shard=shard,
                seconds=seconds,
                type=ArrayType(FLOAT64, (elements,)),
                peak_bytes=made_bytes + spare,
            )
        )
        values += [TaskOutput(number, k) for k in range(outputs)]
    results = draw(st.lists(st.sampled_from(values), min_size=1, max_size=4))
    return make_plan(tasks, results)


plans = st.one_of(random_plans(), st.integers(1, 12).map(reduce_plan))
picks = st.integers(0, 10**6)


class SchedulerMachine(RuleBasedStateMachine):
    """Drives a scheduler and a simulated pool."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(SETTINGS)
        self.pool = SimulatedPool(memory_bytes=MEMORY_BYTES)
        self.cancelled: set[int] = set()
        self.past: list[Sequence[Event]] = []
        self.losses = 0
        self.tell(Tick(now_s=0.0))

    def tell(self, *events: Event) -> None:
        """Give the scheduler events and carry out what it wants."""
        self.pool.apply(self.scheduler.handle(*events))
        self.pool.untold -= {event.worker for event in events if isinstance(event, WorkerLost)}

    def busy(self) -> list[int]:
        """Workers that have a batch."""
        return [worker for worker, own in self.pool.workers.items() if own.in_flight]

    def open_jobs(self) -> list[int]:
        """Jobs not answered."""
        return [job for job in self.pool.plans if job not in self.pool.replies]

    # --- rules ------------------------------------------------------------------------------------

    @rule(
        plan=plans,
        client=st.sampled_from("ab"),
        priority=st.integers(-1, 1),
        deadline=st.sampled_from([None, None, 5.0]),
    )
    def submit(self, plan: Plan, client: str, priority: int, deadline: float | None) -> None:
        """A job comes in."""
        job = len(self.pool.plans)
        self.pool.plans[job] = plan
        self.tell(
            Submitted(
                now_s=self.pool.now_s,
                job=job,
                plan=Dependencies(plan),
                client=client,
                priority=priority,
                deadline_s=None if deadline is None else self.pool.now_s + deadline,
            )
        )

    @precondition(lambda self: self.pool.starting)
    @rule(pick=picks)
    def start_worker(self, pick: int) -> None:
        """A worker gets ready."""
        self.tell(self.pool.start(pick % len(self.pool.starting)))

    @precondition(lambda self: self.pool.starting)
    @rule(pick=picks)
    def fail_to_start(self, pick: int) -> None:
        """A worker does not start."""
        command = self.pool.starting.pop(pick % len(self.pool.starting))
        self.tell(WorkerLost(now_s=self.pool.now_s, worker=command.worker))

    @precondition(lambda self: self.busy())
    @rule(pick=picks, together=st.booleans(), heed=st.booleans(), express=st.booleans())
    def finish_batch(self, pick: int, together: bool, heed: bool, express: bool) -> None:
        """A worker reports its oldest batch, at once or event by event, cancelled or not."""
        busy = self.busy()
        events = self.pool.finish(busy[pick % len(busy)], heed=heed, express=express)
        self.past.append(events)
        for group in [events] if together else [[event] for event in events]:
            self.tell(*group)

    @precondition(lambda self: self.busy())
    @rule(pick=picks, express=st.booleans())
    def fail_task(self, pick: int, express: bool) -> None:
        """A task's program raises."""
        busy = self.busy()
        error = ExecutionError("no such luck")
        self.tell(*self.pool.fail(busy[pick % len(busy)], error, express=express))

    @precondition(lambda self: self.pool.workers)
    @rule(pick=picks)
    def lose_worker(self, pick: int) -> None:
        """A worker dies, busy or idle."""
        workers = list(self.pool.workers)
        self.losses += 1
        self.tell(self.pool.lose(workers[pick % len(workers)]))

    @precondition(lambda self: self.pool.workers)
    @rule(together=st.booleans())
    def lose_node(self, together: bool) -> None:
        """All workers die together, which is told at once or one after another."""
        self.losses += 1
        events = [self.pool.lose(worker) for worker in list(self.pool.workers)]
        for group in [events] if together else [[event] for event in events]:
            self.tell(*group)

    @precondition(lambda self: self.pool.asked)
    @rule()
    def answer(self) -> None:
        """Workers that were asked whether they live say so."""
        now_s, asked, self.pool.asked = self.pool.now_s, self.pool.asked, []
        self.tell(*[WorkerAnswered(now_s=now_s, worker=worker) for worker in asked])

    @precondition(lambda self: self.busy())
    @rule(pick=picks, tasks=st.integers(0, 3), express=st.booleans())
    def lose_worker_midway(self, pick: int, tasks: int, express: bool) -> None:
        """A worker reports some tasks of a batch and dies, with what ran beside it."""
        worker = self.busy()[pick % len(self.busy())]
        self.losses += 1
        self.tell(*self.pool.finish(worker, only=tasks, express=express))
        self.tell(self.pool.lose(worker))

    @precondition(lambda self: self.pool.here)
    @rule(pick=picks)
    def lose_copy(self, pick: int) -> None:
        """A value sent to the dispatcher is lost with the node it was on; it does not know."""
        keys = list(self.pool.here)
        self.losses += 1
        del self.pool.here[keys[pick % len(keys)]]

    @precondition(lambda self: self.past)
    @rule(pick=picks)
    def repeat_old_events(self, pick: int) -> None:
        """Events of the past arrive again."""
        self.tell(*self.past[pick % len(self.past)])

    @precondition(lambda self: self.open_jobs())
    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        """A client goes away."""
        job = self.open_jobs()[pick % len(self.open_jobs())]
        self.cancelled.add(job)
        self.tell(Cancel(now_s=self.pool.now_s, job=job, cause="the client went away"))

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 40.0]))
    def tick(self, seconds: float) -> None:
        """Time passes."""
        self.pool.now_s += seconds
        self.tell(Tick(now_s=self.pool.now_s))
        while self.pool.killed:
            self.losses += 1
            self.tell(self.pool.lose(self.pool.killed.pop()))

    # --- what always holds ------------------------------------------------------------------------

    @invariant()
    def answers_once(self) -> None:
        """No job is answered twice, and none wrongly."""
        for job, replies in self.pool.replies.items():
            (error, results), *more = replies
            assert not more
            if error is None:
                expected = evaluate(self.pool.plans[job])
                wanted = {r for r in self.pool.plans[job].results if isinstance(r, TaskOutput)}
                assert results == {value: expected[value] for value in wanted}
            elif isinstance(error, Cancelled):
                assert job in self.cancelled
            elif isinstance(error, OutOfMemory):
                assert any(t.peak_bytes > MEMORY_BYTES for t in self.pool.plans[job].tasks)

    @invariant()
    def finds_operands(self) -> None:
        """Without losses, every operand is there when its task runs."""
        assert self.losses or not self.pool.misses

    @invariant()
    def keeps_two_batches(self) -> None:
        """No worker has more than two batches, and one beside them."""
        assert all(len(own.queue) <= 2 for own in self.pool.workers.values())
        assert all(len(own.express) <= 1 for own in self.pool.workers.values())

    def teardown(self) -> None:
        """Left alone, every job ends, and nothing is held."""
        for _ in range(2000):
            if not self.open_jobs() and not self.busy():
                break
            if self.pool.starting:
                self.tell(self.pool.start())
            elif self.busy():
                self.tell(*self.pool.finish(self.busy()[0]))
            else:
                self.tick(1.0)
        assert not self.open_jobs()
        assert all(not own.store for own in self.pool.workers.values())
        assert not self.pool.here
        assert not self.pool.results
        assert self.scheduler.snapshot().jobs == 0
        assert self.scheduler.snapshot().running_tasks == 0
        errors = {type(replies[0][0]) for replies in self.pool.replies.values()}
        assert errors <= {type(None), Cancelled, DeadlineExceeded, ExecutionError, OutOfMemory}
        assert not any(held for held in self.scheduler._board.fleet.held_bytes.values())
        assert not any(b.tasks for b in self.scheduler._board.accounts.backlog.values())
        assert not self.scheduler._board.accounts.suspects
        assert not self.scheduler._stragglers._copies
        assert not len(self.scheduler._stopping)
        failed = {job for job, ((error, _),) in self.pool.replies.items() if error is not None}
        assert dict.fromkeys(failed, 1) == {j: len(own) for j, own in self.pool.stops.items()}


TestScheduler = SchedulerMachine.TestCase
TestScheduler.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
