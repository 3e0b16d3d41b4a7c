"""What the scheduler decides, case by case; the pool is simulated."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pullback_graph.errors import (
    Cancelled,
    DeadlineExceeded,
    ExecutionError,
    OutOfMemory,
    Stop,
    UnsupportedError,
)
from pullback_graph.types import FLOAT64, ArrayType
from pullback_server.planner.plan import JobInput, Phase, TaskOutput
from pullback_server.scheduler import (
    HERE,
    TRANSITIONS,
    Cancel,
    CancelRun,
    Dependencies,
    Free,
    KillWorker,
    Reply,
    Run,
    Scheduler,
    Settings,
    StartWorker,
    Submitted,
    TaskState,
    Tick,
    Trigger,
    WorkerLost,
    diagram,
)
from pullback_server.scheduler.dependencies import MOST_FINISH_BYTES
from tests.server.cluster import Cluster, runs
from tests.server.plans import make_plan, make_task, reduce_plan
from tests.server.simulated_pool import GPU, SimulatedPool, Symbol, evaluate


def results_of(cluster: Cluster, job: int = 1) -> dict[TaskOutput, Symbol]:
    """The results of a job that was answered once, without an error, each task counted once."""
    ((error, results),) = cluster.pool.replies[job]
    assert error is None
    expected = evaluate(cluster.pool.plans[job])
    assert results == {value: expected[value] for value in results}
    return results


# --- what goes where -----------------------------------------------------------------------------


def test_small_shards_travel_together_with_the_sums_they_allow():
    """Each worker gets one batch: contiguous shards, each pair joined as soon as it is there."""
    assert runs(Cluster().submit(reduce_plan(8))) == {
        1: [0, 1, 8, 2, 3, 9, 12],
        2: [4, 5, 10, 6, 7, 11, 13],
    }


def test_only_the_roots_of_subtrees_travel():
    """Inner sums are dropped with their batch; what workers have in the end is sent, not kept."""
    commands = Cluster().submit(reduce_plan(8))
    sent = {c.task for r in commands if isinstance(r, Run) for c in r.calls if c.send}
    kept = {c.task for r in commands if isinstance(r, Run) for c in r.calls if c.keep}
    assert sent == {12, 13}
    assert not kept


def test_the_last_sum_of_several_workers_is_no_worker_s():
    """Both halves' sums are handed over, and the job is answered when they are there."""
    cluster = Cluster()
    cluster.submit(reduce_plan(8))
    cluster.finish(1)
    assert not cluster.pool.replies
    assert not runs(cluster.finish(2))
    assert set(results_of(cluster)) == {TaskOutput(14, 0)}


@pytest.mark.parametrize(
    ("workers", "sent"), [(2, {12, 13}), (3, {8, 9, 10, 11}), (4, {8, 9, 10, 11}), (8, {*range(8)})]
)
def test_small_sums_over_several_workers_are_no_worker_s(workers: int, sent: set[int]):
    """Each worker adds up what it has, as far as the tree goes; all above that is left."""
    cluster = Cluster(workers=workers)
    commands = cluster.submit(reduce_plan(8, seconds=0.1))
    while any(worker.queue for worker in cluster.pool.workers.values()):
        for worker in cluster.pool.workers:
            commands += cluster.finish(worker) if cluster.pool.workers[worker].queue else []
    calls = [call for command in commands if isinstance(command, Run) for call in command.calls]
    assert {call.task for call in calls if call.send} >= sent
    assert {call.task for call in calls} == {*range(min(sent))} | sent
    assert set(results_of(cluster)) == {TaskOutput(14, 0)}


def test_all_sums_of_one_worker_are_its_own():
    """Nothing but the result leaves it."""
    (run,) = [c for c in Cluster(workers=1).submit(reduce_plan(8)) if isinstance(c, Run)]
    assert [call.task for call in run.calls if call.send] == [14]


def test_a_large_last_sum_runs_where_its_left_operand_is():
    """The root of the tree goes to the first worker and fetches the other half's sum."""
    cluster = Cluster()
    large = ArrayType(FLOAT64, (MOST_FINISH_BYTES // 16 + 1,))
    cluster.submit(reduce_plan(2, seconds=10.0, type=large))
    cluster.finish(1)
    (run,) = [c for c in cluster.finish(2) if isinstance(c, Run)]
    assert (run.worker, [call.task for call in run.calls]) == (1, [2])
    assert run.fetches == ((TaskOutput(1, 0), HERE),)
    cluster.drain()
    results_of(cluster)


def test_an_end_that_is_computed_is_left_to_workers():
    """Only joins, and what is next to nothing, are run elsewhere."""
    shards = [make_task([JobInput(0)], shard=k, seconds=1e-3) for k in range(2)]
    operands = [TaskOutput(0, 0), TaskOutput(1, 0)]
    total = make_task(operands, phase=Phase.REDUCE, shard=0, seconds=1e-6)
    last = make_task([TaskOutput(2, 0)], shard=0, seconds=1e-3)
    plan = make_plan([*shards, total, last], [TaskOutput(3, 0)])
    assert Dependencies(plan).stem() is None
    cluster = Cluster()
    cluster.submit(plan)
    cluster.drain()
    results_of(cluster)


def test_large_shards_travel_alone():
    """A batch ends when its predicted time is spent."""
    assert runs(Cluster().submit(reduce_plan(8, seconds=0.1))) == {1: [0], 2: [4]}


def test_measured_times_replace_predictions():
    """A program that ran fast is batched by what it took."""
    cluster = Cluster(workers=1)
    cluster.pool.running_s = 1e-3
    cluster.submit(reduce_plan(8, seconds=1.0))
    cluster.drain()
    assert len(runs(cluster.submit(reduce_plan(8, seconds=1.0), job=2))[1]) == 15


def test_at_most_two_batches_in_flight():
    """A second batch is queued behind a short one, a third never."""
    cluster = Cluster(workers=1)
    cluster.submit(reduce_plan(64, seconds=0.04))
    assert len(cluster.pool.workers[1].queue) == 1
    for _ in range(3):
        cluster.tick(0.065)
        assert len(cluster.pool.workers[1].queue) == 2


def test_nothing_waits_behind_long_work():
    """A long batch has none queued behind it, so that another worker can take the work."""
    cluster = Cluster(workers=1)
    cluster.submit(reduce_plan(8, seconds=10.0))
    assert len(cluster.pool.workers[1].queue) == 1


def test_the_next_batch_is_queued_when_the_last_nears_its_end():
    """A second batch comes in time to hide the way to the worker, and no sooner."""
    cluster = Cluster(workers=1)
    cluster.submit(reduce_plan(8, seconds=10.0))
    assert not runs(cluster.tick(9.9))
    assert runs(cluster.tick(0.09)) == {1: [1, 8]}


def test_nobody_looks_at_a_worker_that_nothing_waits_for():
    """Only while work waits does it want to be told when a worker is nearly done."""
    cluster = Cluster(workers=1, queue_behind_s=0.02)
    cluster.submit(reduce_plan(1, seconds=1.0))
    assert cluster.scheduler.next_s > cluster.pool.now_s + 1.0
    cluster.submit(reduce_plan(1, seconds=1.0), job=2)
    assert cluster.scheduler.next_s == pytest.approx(cluster.pool.now_s + 0.98, abs=1e-3)
    assert runs(cluster.tick(0.981)) == {1: [0]}


def test_slight_work_does_not_wait_for_a_batch_of_its_own():
    """What little follows the last sum runs in its batch, full as that is."""
    plan = reduce_plan(2, seconds=1.0)
    last = make_task([TaskOutput(2, 0)], shard=0, seconds=1e-4)
    plan = make_plan([*plan.tasks, last], [TaskOutput(3, 0)])
    cluster = Cluster(workers=2)
    cluster.submit(plan)
    cluster.finish(2)
    assert runs(cluster.finish(1)) == {1: [2, 3]}


def test_an_idle_worker_takes_over_from_a_busy_one():
    """When its own shards are done, a worker takes from the far end of another's."""
    cluster = Cluster()
    cluster.submit(reduce_plan(8, seconds=1.0))
    taken = [runs(cluster.finish(2)).get(2, []) for _ in range(4)]
    assert taken[3] == [3]


def test_a_job_is_laid_out_alike_every_time():
    """The same plan puts the same shards on the same workers: programs and data are there."""
    cluster = Cluster(workers=3)
    first = runs(cluster.submit(reduce_plan(9)))
    cluster.drain()
    assert runs(cluster.submit(reduce_plan(9), job=2)) == first


def test_priority_goes_first_then_order():
    """Of jobs that wait, the one of higher priority starts first, then the older."""
    cluster = Cluster(workers=1)
    for job, priority in ((1, 0), (2, 0), (3, 1)):
        cluster.submit(reduce_plan(1, seconds=1.0), job=job, priority=priority)
    order = [cluster.pool.workers[1].queue[0].job]
    order += [c.job for _ in range(2) for c in cluster.finish(1) if isinstance(c, Run)]
    assert order == [1, 3, 2]


def test_a_worker_that_has_the_program_is_preferred():
    """A task that may run anywhere goes where its program is."""
    cluster = Cluster(workers=2)
    other = make_plan([make_task([], outputs=2)], [TaskOutput(0, 0)])
    cluster.submit(make_plan([make_task([JobInput(0)])], [TaskOutput(0, 0)]), job=1)
    cluster.submit(other, job=2)
    cluster.drain()
    assert list(runs(cluster.submit(other, job=3))) == [2]


def test_a_gpu_task_needs_a_gpu_worker():
    """Without one, the job is refused with what to do about it."""
    cluster = Cluster()
    cluster.submit(make_plan([make_task([JobInput(0)], placement=GPU)], [TaskOutput(0, 0)]))
    assert isinstance(cluster.error(), UnsupportedError)


def test_gpu_workers_run_cpu_tasks_where_there_are_no_others():
    """A pool of GPU workers runs every plan."""
    scheduler, pool = Scheduler(Settings(workers={GPU: 1})), SimulatedPool()
    pool.apply(scheduler.handle(Tick(now_s=0.0)))
    scheduler.handle(pool.start())
    event = Submitted(now_s=0.0, job=1, plan=Dependencies(reduce_plan(2)))
    assert runs(scheduler.handle(event)) == {1: [0, 1, 2]}


# --- values --------------------------------------------------------------------------------------


def test_values_are_freed_at_their_last_use():
    """When the last reader of a kept value is done, its holders drop it, each told once."""
    last = make_task([TaskOutput(14, 0)], seconds=10.0)
    cluster = Cluster()
    cluster.submit(make_plan([*reduce_plan(8).tasks, last], [TaskOutput(15, 0)]))
    cluster.finish(1)
    cluster.finish(2)
    *reported, _last, _ended = cluster.pool.finish(1)
    freed = [c for c in cluster.tell(*reported) if isinstance(c, Free)]
    assert len(freed) == 3
    assert {(f.holder, v) for f in freed for v in f.values or ()} == {
        (1, TaskOutput(12, 0)),
        (1, TaskOutput(13, 0)),
        (2, TaskOutput(13, 0)),
        (HERE, TaskOutput(13, 0)),
    }


def test_a_lost_value_is_not_looked_for_at_all_who_were_to_be_brought_it():
    """Thirty workers wait to be brought a value that is gone: the first to miss it computes it."""
    cluster, readers = Cluster(workers=30), range(1, 31)
    tasks = [make_task([JobInput(0)], seconds=1.0, shard=0)]
    tasks += [make_task([TaskOutput(0, 0)], seconds=1.0, shard=k) for k in readers]
    cluster.submit(make_plan(tasks, [TaskOutput(k, 0) for k in readers]))
    assert len(runs(cluster.finish(1))) == 30
    cluster.pool.here.clear()
    cluster.tell(cluster.pool.lose(1))
    assert runs(cluster.finish(20)) == {20: [0]}
    cluster.drain()
    assert cluster.error() is None


def test_a_result_that_is_an_input_needs_no_worker():
    """A plan without tasks is answered at once."""
    cluster = Cluster()
    cluster.submit(make_plan([], [JobInput(0)]))
    assert cluster.error() is None


def test_moving_large_operands_is_not_worth_a_short_wait():
    """An idle worker leaves a sum to the worker that has its operands, busy for a moment."""
    cluster = Cluster()
    plan = reduce_plan(4, seconds=1.0, type=ArrayType(FLOAT64, (10**9,)))
    anywhere = tuple([replace(task, shard=-1) for task in plan.tasks])
    cluster.submit(replace(plan, tasks=anywhere))
    cluster.finish(1)
    assert 4 not in runs(cluster.finish(2)).get(2, [])


# --- losses --------------------------------------------------------------------------------------


@pytest.mark.parametrize("finished", [0, 1, 2])
def test_a_lost_worker_changes_no_result(finished: int):
    """However far a worker had got, its loss leaves each leaf counted once; retries are told."""
    cluster = Cluster()
    plan = reduce_plan(8, seconds=0.03)
    cluster.submit(plan)
    for _ in range(finished):
        cluster.finish(2)
    cluster.tell(cluster.pool.lose(2))
    cluster.drain()
    ((error, results),) = cluster.pool.replies[1]
    assert error is None
    assert results == {TaskOutput(14, 0): evaluate(plan)[TaskOutput(14, 0)]}
    assert cluster.pool.statistics[1].statistics.retries >= 1 or finished == 2


def test_a_lost_worker_is_replaced():
    """The pool is brought up to its number again."""
    cluster = Cluster()
    commands = cluster.tell(cluster.pool.lose(1))
    assert [c.worker for c in commands if isinstance(c, StartWorker)] == [3]


def test_failed_starts_are_spaced_out():
    """A worker that does not start is tried again later, not at once."""
    cluster = Cluster(workers=1)
    cluster.tell(cluster.pool.lose(1))
    worker = cluster.pool.starting.pop().worker
    assert not cluster.tell(WorkerLost(now_s=0.0, worker=worker))
    assert not cluster.tick(0.4)
    assert any(isinstance(c, StartWorker) for c in cluster.tick(0.2))


@pytest.mark.parametrize("out_of_memory", [False, True])
def test_a_task_that_kills_its_workers_fails_its_job(out_of_memory: bool):
    """After three workers it is not run again; the error says so, and what took them down."""
    cluster = Cluster(workers=1)
    cluster.submit(reduce_plan(1))
    for number in range(1, 4):
        cluster.pool.workers.pop(number)
        cluster.tell(
            WorkerLost(now_s=0.0, worker=number, cause="it fell", out_of_memory=out_of_memory)
        )
        cluster.start()
    assert isinstance(cluster.error(), OutOfMemory if out_of_memory else ExecutionError)
    assert "3 workers" in str(cluster.error())


def test_tasks_beside_a_killer_survive():
    """After a loss each task of the batch runs alone, so only the guilty one reaches the limit."""
    cluster = Cluster(workers=1)
    cluster.submit(reduce_plan(2))
    cluster.tell(cluster.pool.lose(1))
    cluster.start()
    (run,) = cluster.pool.workers[2].queue
    assert [call.task for call in run.calls] == [0]


def test_a_killed_worker_blames_nobody():
    """A worker that the scheduler had killed counts against no task."""
    cluster = Cluster(workers=1, grace_s=1.0)
    cluster.submit(reduce_plan(1, seconds=0.1), job=1)
    cluster.submit(reduce_plan(1, seconds=0.1), job=2)
    cluster.tell(Cancel(now_s=0.0, job=1))
    assert any(isinstance(c, KillWorker) for c in cluster.tick(1.1))
    cluster.tell(cluster.pool.lose(1))
    cluster.start()
    assert not any(cluster.scheduler._jobs[2].losses)


# --- the end of jobs -----------------------------------------------------------------------------


def test_cancel_stops_what_runs_and_kills_what_does_not_stop():
    """A cancelled batch is asked to stop; past the grace period its worker is killed, once."""
    cluster = Cluster(workers=1, grace_s=1.0)
    cluster.submit(reduce_plan(1, seconds=10.0))
    commands = cluster.tell(Cancel(now_s=0.0, job=1))
    assert [type(c) for c in commands] == [Reply, CancelRun, Free]
    assert not cluster.pool.stops
    assert isinstance(cluster.error(), Cancelled)
    assert not cluster.tick(0.9)
    assert [type(c) for c in cluster.tick(0.2)] == [KillWorker]
    assert not cluster.tick(0.2)
    cluster.tell(cluster.pool.lose(1))
    ((stop,),) = cluster.pool.stops.values()
    assert stop == pytest.approx((1.3, 1.3, 1))


def test_a_cancelled_job_says_when_its_last_task_stopped_and_what_was_wasted():
    """Both workers' batches are waited for; what ran before counts; nobody was killed."""
    cluster = Cluster(workers=2, grace_s=5.0)
    cluster.submit(reduce_plan(2, seconds=10.0))
    cluster.tell(Cancel(now_s=0.0, job=1))
    cluster.pool.now_s = 0.25
    cluster.tell(*cluster.pool.finish(1))
    assert not cluster.pool.stops
    cluster.pool.now_s = 0.75
    cluster.tell(*cluster.pool.finish(2, heed=False))
    assert cluster.pool.stops == {1: [Stop(0.75, 1.0, 0)]}
    assert cluster.scheduler.snapshot().wasted_s["cancelled"] == 1.0


def test_a_cancelled_job_that_no_worker_has_stopped_at_once():
    """What it had done until then is wasted all the same."""
    cluster = Cluster(workers=0)
    cluster.submit(reduce_plan(2))
    cluster.tell(Cancel(now_s=0.0, job=1))
    assert cluster.pool.stops == {1: [Stop(0.0, 0.0, 0)]}


def test_what_a_cancelled_job_had_done_counts_as_wasted():
    """Worker seconds of its tasks that ran, of which nothing comes any more."""
    cluster = Cluster(workers=1)
    cluster.submit(reduce_plan(2, seconds=1.0))
    cluster.finish(1)
    cluster.tell(Cancel(now_s=2.0, job=1))
    (commands,) = cluster.pool.workers.values()
    while commands.queue:
        cluster.tell(*cluster.pool.finish(1))
    ((stop,),) = cluster.pool.stops.values()
    assert stop.wasted_s == cluster.scheduler.snapshot().wasted_s["cancelled"] > 0.9


def test_jobs_with_results_say_nothing_of_stopping():
    """Only those that ended without."""
    cluster = Cluster()
    cluster.submit(reduce_plan(4))
    cluster.drain()
    assert not cluster.pool.stops


def test_the_grace_period_of_a_queued_batch_starts_with_it():
    """A cancelled batch behind another's does not cost that one its worker."""
    cluster = Cluster(workers=1, grace_s=1.0)
    cluster.submit(reduce_plan(1, seconds=0.1), job=1)
    cluster.submit(reduce_plan(1, seconds=0.1), job=2)
    cluster.tell(Cancel(now_s=0.0, job=2))
    assert not cluster.tick(4.5)
    cluster.finish(1)
    assert not cluster.tick(0.9)


def test_a_passed_deadline_ends_the_job():
    """The tick after its deadline answers a job and stops its tasks."""
    cluster = Cluster(workers=1)
    cluster.submit(reduce_plan(1), deadline_s=2.0)
    assert not cluster.tick(1.9)
    assert any(isinstance(c, CancelRun) for c in cluster.tick(0.2))
    assert isinstance(cluster.error(), DeadlineExceeded)


def test_a_failed_task_fails_its_job_alone():
    """The error reaches the job that ran it, unchanged; other jobs go on."""
    cluster = Cluster(workers=1)
    cluster.submit(reduce_plan(1, seconds=0.1), job=1)
    cluster.submit(reduce_plan(1, seconds=0.1), job=2)
    error = ExecutionError("node 3 divide: no")
    cluster.tell(*cluster.pool.fail(1, error))
    assert cluster.error(1) is error
    cluster.drain()
    assert cluster.error(2) is None


def test_statistics_say_what_a_job_cost():
    """Tasks, workers, seconds by phase and queueing are counted."""
    cluster = Cluster()
    cluster.submit(reduce_plan(8))
    cluster.drain()
    statistics = cluster.pool.statistics[1].statistics
    assert (statistics.tasks, statistics.workers, statistics.retries) == (15, 2, 0)
    assert {phase.value: round(s, 6) for phase, s in statistics.seconds.items()} == {
        "fused": 0.008,
        "reduce": 0.000006,
    }
    assert len(statistics.timings) == 14  # the last sum is none of the workers'


# --- the table -----------------------------------------------------------------------------------


def test_every_state_is_reached_and_every_trigger_used():
    """The table has no dead rows or columns."""
    reached = {TaskState.WAITING, *TRANSITIONS.values()}
    assert reached == set(TaskState)
    assert {trigger for _, trigger in TRANSITIONS} == set(Trigger)


def test_every_task_can_end():
    """Whatever state a task is in, the end of its job is foreseen, and leaves an end state."""
    for state in TaskState:
        if state is not TaskState.CANCELLED:
            ended = TRANSITIONS[state, Trigger.JOB_ENDED]
            assert ended in (TaskState.RELEASED, TaskState.FAILED, TaskState.CANCELLED)


def test_the_diagram_shows_every_transition():
    """Each row of the table that changes the state stands in the diagram."""
    text = diagram()
    for (state, trigger), following in TRANSITIONS.items():
        if state is not following:
            edge = f"{state.value} --> {following.value}: "
            assert any(edge in line and trigger.value in line for line in text.splitlines())
