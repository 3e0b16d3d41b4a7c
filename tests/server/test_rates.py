"""Measured rates: what they price, how they are refined, and what a plan says by them."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan
from typing import Any, cast

import pytest

from pullback_graph.derivative import lower
from pullback_graph.graph import Graph
from pullback_graph.job import Options, Split
from pullback_graph.want import Gradient, Value
from pullback_server.dispatcher_figures import PoolFigures
from pullback_server.front_end import describe
from pullback_server.front_end.describe import (
    BY_TABLE,
    PREDICTED_WORKERS,
    Known,
    Told,
    describe_plan,
    known_of,
    own_rates,
)
from pullback_server.front_end.prepare import Prepared, Preparer
from pullback_server.plan_codec import decode_rates, encode_rates
from pullback_server.planner import JobInput, Placement, Plan, TaskOutput, make_plan
from pullback_server.planner.cost_table import COST_TABLE
from pullback_server.planner.plan import Phase
from pullback_server.planner.predict import predict, task_seconds
from pullback_server.planner.rates import (
    MOST_CROWDED,
    OTHER_UNIT_S,
    UNMEASURED,
    Price,
    Rates,
    priced,
)
from pullback_server.scheduler import WorkerMeasured, WorkerReady
from pullback_server.scheduler.calibration import Calibration
from pullback_server.scheduler.dependencies import Dependencies
from pullback_worker.numpy_executor import fold
from pullback_worker.numpy_work import CROWDED, FRESH, MEMORY, work_of
from tests.server.cluster import Cluster
from tests.server.plans import make_plan as plan_of
from tests.server.plans import make_task
from tests.server.simulated_pool import CPU, GPU
from tests.server.test_planner_stage import WEIGHTS, layered
from tests.worker.test_numpy_work import LARGE, chain

UNITS = {"exp float64": 2e-9, "negative float64": 1e-9, MEMORY: 1e-10}


def one_task(graph: Graph) -> Dependencies:
    """A plan of one task that runs a graph."""
    task = replace(make_task([JobInput(0)]), graph=graph)
    return Dependencies(plan_of([task], [TaskOutput(0, 0)]))


def measured_alike(kind: Placement = CPU) -> Calibration:
    """A calibration that one worker's units are in."""
    calibration = Calibration()
    calibration.measured(kind, UNITS)
    return calibration


# --- prices ---------------------------------------------------------------------------------------


def test_work_is_priced_by_unit_and_traffic_apart() -> None:
    """Seconds are amounts times rates, scaled by what it went to."""
    work = {"exp float64": 1e6, MEMORY: 1e7, FRESH: 0.0}
    assert priced(work, UNITS) == pytest.approx((2e-3, 1e-3))
    rates = Rates(UNITS, rows=2.0, memory=3.0, executors={"xla": 0.5})
    assert rates.task_s(work) == pytest.approx(7e-3)
    assert rates.task_s(work, "xla") == pytest.approx(3.5e-3)


def test_a_unit_that_nobody_measured_has_a_rate_all_the_same() -> None:
    """That of its row in float64; else one that is right by an order of magnitude."""
    assert priced({"exp float32": 1e6}, UNITS).rows_s == pytest.approx(2e-3)
    assert priced({"new float64": 1e6}, UNITS).rows_s == pytest.approx(1e6 * OTHER_UNIT_S)
    assert priced({"new calls": 1.0}, {}).rows_s == pytest.approx(1e-6)
    assert priced({"new float64 bytes": 1.0}, {}).rows_s == pytest.approx(1e-10)
    assert priced({"new float64 thin": 1.0}, {}).rows_s == pytest.approx(1e-11)
    assert priced({}, UNITS) == Price(0.0, 0.0)


def test_memory_that_workers_share_takes_longer() -> None:
    """By what two threads were measured to take, or tasks were: whichever is more."""
    units = {**UNITS, CROWDED: 1.5 * UNITS[MEMORY]}
    assert Rates(units).crowded.memory == pytest.approx(1.5)
    assert Rates(units, memory=2.0).crowded.memory == 2.0
    assert Rates({**UNITS, CROWDED: 1.0}).crowded.memory == MOST_CROWDED
    assert Rates(UNITS).crowded.memory == Rates().crowded.memory == 1.0


def test_a_unit_in_another_dtype_is_priced_as_that_in_float64() -> None:
    """Bytes of a row as the bytes of that row, not of any; scalars' calls as its calls."""
    units = {"eigh float64": 1e-11, "eigh float64 bytes": 5e-9, "eigh calls": 3e-5}
    assert priced({"eigh float32 bytes": 1e3}, units).rows_s == pytest.approx(5e-6)
    assert priced({"eigh complex128": 1e6}, units).rows_s == pytest.approx(1e-5)
    assert priced({"eigh scalar calls": 1.0}, units).rows_s == pytest.approx(3e-5)
    assert priced({"eigh whole loops": 1e3}, {}).rows_s == pytest.approx(1e-5)


def test_rates_survive_the_wire() -> None:
    """Every figure of a kind, and nothing of another."""
    rates = Rates(UNITS, 0.5, 2.0, {"xla": 0.25}, 3e-3, 5e8, 2, 12345)
    for kind in Placement:
        assert decode_rates(encode_rates(kind, rates)) == (kind, rates)
    assert decode_rates(encode_rates(CPU, UNMEASURED)) == (CPU, UNMEASURED)


# --- calibration ----------------------------------------------------------------------------------


def test_a_program_nobody_ran_is_expected_to_take_what_its_work_does() -> None:
    """By the units its kind of worker measured; other kinds go by the table still."""
    plan = one_task(chain(1_000_000 // 8, nodes=3))
    calibration = measured_alike()
    expected_s = Rates(UNITS).task_s(work_of(plan.tasks[0].graph))
    assert calibration.estimate_s(plan, 0, CPU) == pytest.approx(expected_s)
    assert calibration.estimate_s(plan, 0, GPU) == pytest.approx(plan.estimates_s[0])


def test_new_measurements_are_taken_into_what_is_expected() -> None:
    """Of several workers the geometric mean: one that was disturbed does not decide."""
    plan, calibration = one_task(chain(10_000)), measured_alike()
    before_s = calibration.estimate_s(plan, 0, CPU)
    calibration.measured(CPU, {unit: 4.0 * spent_s for unit, spent_s in UNITS.items()})
    rates = calibration.rates(CPU)
    assert rates.unit_s["exp float64"] == pytest.approx(2.0 * UNITS["exp float64"])
    assert rates.workers == 2
    assert calibration.estimate_s(plan, 0, CPU) > 1.5 * before_s


@pytest.mark.parametrize("wrong", [nan, inf, -1.0, 1e9])
def test_a_measurement_without_sense_is_left_out(wrong: float) -> None:
    """What a worker says is not believed blindly; one with nothing to say does not count."""
    calibration = measured_alike()
    calibration.measured(CPU, {"exp float64": wrong})
    calibration.measured(CPU, {})
    assert calibration.rates(CPU) == measured_alike().rates(CPU)


@pytest.mark.parametrize("elements", [1000, LARGE])
def test_what_tasks_took_refines_what_others_are_expected_to(elements: int) -> None:
    """Towards what was seen, by what the tasks' time went to; other executors by themselves."""
    calibration = measured_alike()
    for nodes in range(20, 140):
        plan = one_task(chain(elements, nodes=nodes))
        price = priced(plan.works[0], UNITS)
        calibration.record(plan, 0, CPU, 2.0 * price.rows_s + 5.0 * price.memory_s, "numpy-1")
    plan = one_task(chain(elements, nodes=150))
    price = priced(plan.works[0], UNITS)
    took_s = 2.0 * price.rows_s + 5.0 * price.memory_s
    assert calibration.estimate_s(plan, 0, CPU) == pytest.approx(took_s, rel=0.15)
    assert calibration.rates(CPU).executors == {}
    assert calibration.rates(GPU) == UNMEASURED


def test_one_program_of_its_own_kind_says_little_of_others() -> None:
    """Powers of negative numbers take thirty times what powers are priced at: nothing else does."""
    calibration, plan = measured_alike(), one_task(chain(1_000_000, nodes=20))
    expected_s = calibration.estimate_s(plan, 0, CPU)
    calibration.record(plan, 0, CPU, 30.0 * expected_s, "numpy-1")
    rates = calibration.rates(CPU)
    assert 1.0 < max(rates.rows, rates.memory) < 1.3


def test_the_fastest_of_the_first_runs_is_what_tells() -> None:
    """The first finds no memory that was used before; runs on other executors are not compared."""
    plan = one_task(chain(1_000_000, nodes=20))
    scales = []
    for slower, executor in ((1.0, "numpy-1"), (1.8, "numpy-1"), (1.8, "xla-1/jax-9")):
        calibration = measured_alike()
        expected_s = calibration.estimate_s(plan, 0, CPU)
        calibration.record(plan, 0, CPU, slower * expected_s, "numpy-1")
        calibration.record(plan, 0, CPU, expected_s, executor)
        calibration.record(plan, 0, CPU, 3.0 * expected_s, "numpy-1")
        scales.append(calibration.rates(CPU).rows)
    assert scales[:2] == pytest.approx([1.0, 1.0])
    assert scales[2] > 1.05


def test_runs_on_other_executors_say_nothing_of_numpy() -> None:
    """They have a scale of their own."""
    calibration = measured_alike()
    for nodes in range(20, 80):
        plan = one_task(chain(LARGE, nodes=nodes))
        expected_s = sum(priced(plan.works[0], UNITS))
        calibration.record(plan, 0, CPU, 0.25 * expected_s, "xla-1/jax-9")
    rates = calibration.rates(CPU)
    assert (rates.rows, rates.memory) == (1.0, 1.0)
    assert rates.executors["xla"] == pytest.approx(0.25, rel=0.05)


def test_the_scheduler_takes_in_what_workers_measure() -> None:
    """By the kind of the worker; one that is gone meanwhile, or unknown, changes nothing."""
    cluster = Cluster(workers=1)
    cluster.scheduler.handle(WorkerReady(now_s=0.0, worker=1, placement=CPU))
    cluster.scheduler.handle(WorkerMeasured(now_s=0.0, worker=1, unit_s=UNITS))
    cluster.scheduler.handle(WorkerMeasured(now_s=0.0, worker=999, unit_s={"exp float64": 0.5}))
    assert cluster.scheduler.calibration.rates(CPU).unit_s == UNITS


# --- what is said ---------------------------------------------------------------------------------


def split_plan() -> Plan:
    """A real plan of many tasks."""
    lowered = lower(layered(20_000, 32), Gradient(WEIGHTS, "loss"), fold=fold)
    return make_plan(lowered.graph, Options(split=Split("shard", 8)), values=lowered.value_count)


def test_predictions_scale_with_the_rates() -> None:
    """On a machine of half the speed everything takes twice as long; bytes stay."""
    plan, unit_s = split_plan(), {"matmul float64": 1e-10, MEMORY: 1e-10, "tanh float64": 1e-8}
    fast, slow = Rates(unit_s), Rates(unit_s, rows=2.0, memory=2.0)
    for workers in (1, 4):
        one = predict(plan, workers, task_seconds(plan, fast), fast)
        two = predict(plan, workers, task_seconds(plan, slow), slow)
        assert 1.5 * one.estimated_s < two.estimated_s < 2.01 * one.estimated_s
        assert two.moved_bytes == one.moved_bytes


def test_a_batch_is_waited_for_where_values_come_from_elsewhere() -> None:
    """Tasks of one worker travel together."""
    tasks = [make_task([JobInput(0)], shard=k) for k in range(2)]
    tasks.append(make_task([TaskOutput(0, 0), TaskOutput(1, 0)], phase=Phase.REDUCE, shard=0))
    plan, rates = plan_of(tasks, [TaskOutput(2, 0)]), Rates(overhead_s=0.5)
    seconds = [1.0, 1.0, 1.0]
    assert predict(plan, 1, seconds, rates).estimated_s == pytest.approx(3 + 3 * COST_TABLE.call_s)
    assert predict(plan, 2, seconds, rates).estimated_s == pytest.approx(
        2.5 + 2 * COST_TABLE.call_s
    )


def prepared() -> tuple[Preparer, Prepared]:
    """A job that a server would run on workers, split or not, as it likes."""
    preparer = Preparer(1, 1 << 20, 1 << 40, cluster=True)
    return preparer, preparer.prepare(chain(2_000_000, nodes=40), Value(), Options())


def test_a_plan_says_what_its_times_go_by() -> None:
    """Measured rates, by whom they were measured, or the table; the plan itself is the same."""
    preparer, job = prepared()
    executors = preparer.chooser.executors
    by_table = describe_plan(job, executors)
    known = Known(Rates({"exp float64": 1e-6}), "measured on 3 cpu workers", 3)
    told = describe_plan(job, executors, known)
    assert by_table.rates == BY_TABLE
    assert told.rates == "measured on 3 cpu workers"
    for reply in (by_table, told):
        assert f"({reply.rates})" in reply.text.splitlines()[0]
    assert told.estimated_s > 80.0 > by_table.estimated_s
    assert sum(task.estimated_s for task in told.tasks) == pytest.approx(told.estimated_s)
    assert [item.workers for item in by_table.predictions] == list(PREDICTED_WORKERS)
    assert [item.workers for item in told.predictions] == [1, 2, 3, 4, 8, 16, 32]
    assert told.digest == by_table.digest
    assert told.split == by_table.split


def test_predictions_for_several_workers_are_of_workers_that_share_memory() -> None:
    """One worker has it to itself, and so has a plan of one task."""
    plan = split_plan()
    alone, shared = (Rates({MEMORY: 1e-7, CROWDED: crowded}) for crowded in (1e-7, 2e-7))
    told = [Told(plan, Known(rates, "measured", 1)) for rates in (alone, shared)]
    one, two = ([item.estimated_s for item in each.predictions[:2]] for each in told)
    assert one[0] == two[0]
    assert 1.5 * one[1] < two[1] < 2.01 * one[1]
    assert told[0].estimated_s == told[1].estimated_s
    whole = replace(plan, tasks=plan.tasks[:1])
    times = [Told(whole, Known(rates, "measured", 1)).predictions for rates in (alone, shared)]
    assert times[0] == times[1]


class Link:
    """A link to a dispatcher that last said this."""

    def __init__(self, rates: Rates, workers: dict[tuple[str, str], int]) -> None:
        self._rates, self._workers = rates, workers

    def rates(self, kind: Placement) -> Rates:
        """What is known of CPU workers."""
        return self._rates if kind is CPU else UNMEASURED

    def snapshot(self) -> PoolFigures:
        """How the pool stands."""
        return PoolFigures(workers=self._workers)


def test_what_is_known_is_that_of_the_workers_a_job_would_run_on() -> None:
    """How many were measured, how many there are now; nothing before they said so."""
    _, job = prepared()
    there = {("cpu", "idle"): 2, ("cpu", "busy"): 3, ("cpu", "starting"): 7, ("gpu", "idle"): 1}
    known = known_of(cast("Any", Link(Rates(UNITS, workers=1, tasks=2), there)), job)
    assert known is not None
    assert known.words == "measured on 1 cpu worker and 2 tasks"
    assert known.workers == 5
    assert known_of(cast("Any", Link(UNMEASURED, there)), job) is None


def test_a_server_without_workers_measures_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, when first asked for a plan."""
    _, job = prepared()
    calls: list[int] = []

    def measured() -> dict[str, float]:
        calls.append(1)
        return dict(UNITS)

    monkeypatch.setattr(describe, "measured", measured)
    own_rates.cache_clear()
    try:
        found = [known_of(None, job) for _ in range(3)]
    finally:
        own_rates.cache_clear()
    assert found == [Known(Rates(UNITS), "measured in the server's own process")] * 3
    assert len(calls) == 1
