"""A scheduler and a simulated pool that is dealt with as badly as may be, and what always holds.

What happens is said by the caller, step by step: see `test_scheduler_machine.py`, where Hypothesis
says it, and `test_scheduler_long_runs.py`, where random numbers do.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

from pullback_graph.errors import (
    Cancelled,
    DeadlineExceeded,
    ExecutionError,
    OutOfMemory,
    ServiceError,
)
from pullback_graph.types import FLOAT64, ArrayType
from pullback_server.planner.plan import JobInput, Phase, Plan, Source, Task, TaskOutput
from pullback_server.scheduler import (
    Cancel,
    Command,
    Dependencies,
    Event,
    KillWorker,
    Scheduler,
    Settings,
    StopWorker,
    Submitted,
    Tick,
    WorkerLost,
    WorkerMeasured,
)
from tests.server.leftovers import assert_nothing_left
from tests.server.plans import make_plan, make_task, reduce_plan
from tests.server.simulated_pool import CPU, GPU, SimulatedPool, evaluate

MEMORY_BYTES = 4096
ERRORS = {Cancelled, DeadlineExceeded, ExecutionError, OutOfMemory, ServiceError}
"""What a job may be answered."""
TIMES: dict[str, Any] = {
    "grace_s": 1.0,
    "idle_s": 5.0,
    "late_least_s": 0.5,
    "silence_s": 10.0,
    "answer_s": 5.0,
}


class Case(NamedTuple):
    """A pool: its settings, and what each worker may have."""

    settings: Settings
    memory_bytes: int


CASES = {
    "elastic": Case(
        Settings(workers={CPU: 3}, least_workers={CPU: 1}, grow_s=0.01, **TIMES), MEMORY_BYTES
    ),
    "down to none": Case(
        Settings(workers={CPU: 4}, least_workers={CPU: 0}, grow_s=0.01, **TIMES), 0
    ),
    "two kinds": Case(Settings(workers={CPU: 2, GPU: 2}, least_workers={CPU: 1}, **TIMES), 0),
    "small batches": Case(
        Settings(workers={CPU: 3, GPU: 1}, batch_s=1e-4, queue_behind_s=1.0, **TIMES), MEMORY_BYTES
    ),
    "GPUs alone": Case(Settings(workers={GPU: 2}, **TIMES), MEMORY_BYTES),
    "many": Case(Settings(workers={CPU: 12}, **TIMES), MEMORY_BYTES),
}


def random_plan(random: Random, *, gpu: bool = False) -> Plan:
    """A DAG of up to twelve tasks with one or two outputs each, and some of them as results."""
    tasks: list[Task] = []
    values: list[TaskOutput] = []
    sizes: list[int] = []
    spread = random.random() < 0.7  # else whatever runs stays on one worker
    for number in range(random.randint(1, 12)):
        operands: list[Source] = []
        if values:
            operands += random.choices(values, k=random.randint(0, 3))
        outputs = random.randint(1, 2)
        phase = random.choice([Phase.FUSED, Phase.REDUCE]) if operands else Phase.FUSED
        elements = random.choice([4, 64, 128])
        read = {s for s in operands if isinstance(s, TaskOutput)}
        made_bytes = 8 * elements * outputs + sum(sizes[value.task] for value in read)
        spare_bytes = random.choice([0, 0, 0, 0, MEMORY_BYTES // 4, MEMORY_BYTES // 2])
        if random.random() < 0.03:
            spare_bytes = MEMORY_BYTES
        sizes.append(8 * elements)
        tasks.append(
            make_task(
                operands or [JobInput(0)],
                outputs=outputs,
                phase=phase,
                shard=random.randint(-1, 3) if spread else -1,
                seconds=random.choice([1e-6, 1e-4, 1e-2, 1.0]),
                placement=random.choice([CPU, GPU]) if gpu else CPU,
                type=ArrayType(FLOAT64, (elements,)),
                peak_bytes=made_bytes + spare_bytes,
            )
        )
        values += [TaskOutput(number, k) for k in range(outputs)]
    return make_plan(tasks, random.choices(values, k=random.randint(1, 4)))


def any_plan(random: Random, case: Case) -> Plan:
    """A random plan, or a sum over shards, long or brief."""
    if random.random() < 0.4:
        return reduce_plan(random.randint(1, 12), seconds=random.choice([1e-5, 1e-3, 0.1, 1.0]))
    return random_plan(random, gpu=GPU in case.settings.workers and random.random() < 0.5)


class Ordeal:
    """Drives a scheduler and a simulated pool."""

    def __init__(self) -> None:
        super().__init__()
        self.cancelled: set[int] = set()
        self.past: list[Sequence[Event]] = []
        self.losses = 0
        self.stops = 0

    def begin(self, case: str) -> None:
        """A scheduler starts."""
        self.case = CASES[case]
        self.scheduler = Scheduler(self.case.settings)
        self.pool = SimulatedPool(memory_bytes=self.case.memory_bytes, is_lazy=True)
        self.tell(Tick(now_s=0.0))

    def tell(self, *events: Event) -> None:
        """Give the scheduler events and carry out what it wants."""
        commands = self.scheduler.handle(*events)
        self.losses += any([isinstance(command, KillWorker) for command in commands])
        self.stops += any([self.takes_values(command) for command in commands])
        self.pool.apply(commands)
        self.pool.untold -= {event.worker for event in events if isinstance(event, WorkerLost)}

    def takes_values(self, command: Command) -> bool:
        """Whether a command stops a worker that has something."""
        own = self.pool.workers.get(command.worker) if isinstance(command, StopWorker) else None
        return own is not None and bool(own.store)

    def busy(self) -> list[int]:
        """Workers that have a batch."""
        return [worker for worker, own in self.pool.workers.items() if own.in_flight]

    def open_jobs(self) -> list[int]:
        """Jobs not answered."""
        return [job for job in self.pool.plans if job not in self.pool.replies]

    # --- what happens -----------------------------------------------------------------------------

    def submit(self, random: Random, client: str, priority: int, deadline: float | None) -> None:
        """A job comes in."""
        job = len(self.pool.plans)
        self.pool.plans[job] = plan = any_plan(random, self.case)
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

    def submit_again(self, pick: int, client: str) -> None:
        """A plan comes again, whose programs and layout may be known."""
        job = len(self.pool.plans)
        plan = self.pool.plans[job] = self.pool.plans[pick % job]
        event = Submitted(now_s=self.pool.now_s, job=job, plan=Dependencies(plan), client=client)
        self.tell(event)

    def start_worker(self, pick: int) -> None:
        """A worker gets ready."""
        self.tell(self.pool.start(pick % len(self.pool.starting)))

    def fail_to_start(self, pick: int) -> None:
        """A worker does not start."""
        self.tell(self.pool.fail_start(pick % len(self.pool.starting)))

    def place_worker(self, pick: int) -> None:
        """A worker that starts has a process."""
        self.tell(self.pool.place(pick % len(self.pool.starting)))

    def measure(self, pick: int, seconds: float) -> None:
        """A worker says what work takes it."""
        worker = list(self.pool.workers)[pick % len(self.pool.workers)]
        event = WorkerMeasured(now_s=self.pool.now_s, worker=worker, unit_s={"bytes": seconds})
        self.tell(event)

    def finish_batch(
        self, pick: int, together: bool, heed: bool, express: bool, slowness: float
    ) -> None:
        """A worker reports its oldest batch, at once or event by event, cancelled or not."""
        worker = self.busy()[pick % len(self.busy())]
        events = self.pool.finish(worker, heed=heed, express=express, slowness=slowness)
        self.past = [*self.past[-20:], events]
        for group in [events] if together else [[event] for event in events]:
            self.tell(*group)

    def give_way(self, pick: int) -> None:
        """An express batch comes back with nothing run, for want of memory."""
        worker = self.busy()[pick % len(self.busy())]
        if self.pool.workers[worker].express:
            self.tell(*self.pool.finish(worker, only=0, express=True, is_last=True))

    def fail_task(self, pick: int, express: bool) -> None:
        """A task's program raises."""
        worker = self.busy()[pick % len(self.busy())]
        self.tell(*self.pool.fail(worker, ExecutionError("no such luck"), express=express))

    def lose_worker(self, pick: int) -> None:
        """A worker dies, busy or idle."""
        workers = list(self.pool.workers)
        self.losses += 1
        self.tell(self.pool.lose(workers[pick % len(workers)]))

    def lose_node(self, together: bool) -> None:
        """All workers die together, which is told at once or one after another."""
        self.losses += 1
        events = [self.pool.lose(worker) for worker in list(self.pool.workers)]
        for group in [events] if together else [[event] for event in events]:
            self.tell(*group)

    def answer(self, pick: int) -> None:
        """A worker that was asked whether it lives says so, dead or not by now."""
        worker = self.pool.asked.pop(pick % len(self.pool.asked))
        self.tell(self.pool.answer(worker, ended=pick % 3, running_s=float(pick % 4)))

    def lose_worker_midway(self, pick: int, tasks: int, express: bool) -> None:
        """A worker reports some tasks of a batch and dies, with what ran beside it."""
        worker = self.busy()[pick % len(self.busy())]
        self.losses += 1
        self.tell(*self.pool.finish(worker, only=tasks, express=express))
        self.tell(self.pool.lose(worker))

    def lose_copy(self, pick: int) -> None:
        """A value sent to the dispatcher is lost with the node it was on; it does not know."""
        keys = list(self.pool.here)
        self.losses += 1
        del self.pool.here[keys[pick % len(keys)]]

    def repeat_old_events(self, pick: int) -> None:
        """Events of the past arrive again."""
        self.tell(*self.past[pick % len(self.past)])

    def cancel(self, pick: int) -> None:
        """A client goes away."""
        job = self.open_jobs()[pick % len(self.open_jobs())]
        self.cancelled.add(job)
        self.tell(Cancel(now_s=self.pool.now_s, job=job, cause="the client went away"))

    def flush(self) -> None:
        """Workers hear what they may drop."""
        self.pool.flush()

    def tick(self, seconds: float) -> None:
        """Time passes."""
        self.pool.now_s += seconds
        self.tell(Tick(now_s=self.pool.now_s))

    def see_the_end(self) -> None:
        """The end of workers that were killed or stopped is told."""
        while self.pool.killed:
            self.losses += 1
            self.tell(self.pool.lose(self.pool.killed.pop()))

    # --- what always holds ------------------------------------------------------------------------

    def answers_once(self) -> None:
        """No job is answered twice, and none wrongly."""
        for job in self.pool.take_answered():
            (error, results), *more = self.pool.replies[job]
            assert not more
            plan = self.pool.plans[job]
            if error is None:
                expected = evaluate(plan)
                wanted = {r for r in plan.results if isinstance(r, TaskOutput)}
                assert results == {value: expected[value] for value in wanted}
            elif isinstance(error, Cancelled):
                assert job in self.cancelled
            elif isinstance(error, OutOfMemory):
                assert any(task.peak_bytes > MEMORY_BYTES for task in plan.tasks)

    def wastes_no_attempt(self) -> None:
        """Without losses, every operand is there when its task runs, and no task runs again.

        But for what a worker held that was stopped for want of work.
        """
        assert self.losses or not self.pool.misses
        assert self.losses or self.stops or not self.scheduler.snapshot().retries

    def keeps_two_calls(self) -> None:
        """No worker has batches of more than two calls, and one beside them."""
        assert all(len({r.call for r in own.queue}) <= 2 for own in self.pool.workers.values())
        assert all(len(own.express) <= 1 for own in self.pool.workers.values())

    def leaves_nobody_waiting(self) -> None:
        """Where nobody has a batch, nothing is ready that a worker that lives may run.

        But for what is too large to run beside values of jobs that go on.
        """
        if self.busy() or self.pool.untold:
            return
        jobs, misfits = self.scheduler._jobs, self.scheduler._matching._misfits
        assert not jobs or len(misfits) < len(jobs)
        kinds = {own.placement for own in self.pool.workers.values()}
        for job in jobs.values():
            able = [r for p, r in job.ready.items() if self.case.settings.serving[p] in kinds]
            assert job.id in misfits or not any(able)

    def left_alone(self) -> None:
        """Left alone, every job ends, and nothing is held."""
        for _ in range(4000):
            self.see_the_end()
            if not self.open_jobs() and not self.busy():
                break
            if self.pool.starting:
                self.tell(self.pool.start())
            elif self.busy():
                self.tell(*self.pool.finish(self.busy()[0]))
            else:
                self.tick(1.0)
        self.pool.flush()
        self.answers_once()
        assert not self.open_jobs()
        assert all(not own.store for own in self.pool.workers.values())
        assert not self.pool.here
        assert not self.pool.results
        errors = {type(replies[0][0]) for replies in self.pool.replies.values()}
        assert errors <= {type(None), *ERRORS}
        failed = {job for job, ((error, _),) in self.pool.replies.items() if error is not None}
        assert dict.fromkeys(failed, 1) == {j: len(own) for j, own in self.pool.stops.items()}
        assert_nothing_left(self.scheduler)
