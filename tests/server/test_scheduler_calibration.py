"""What was measured on a kind of worker is expected there, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pullback_graph.types import FLOAT64, ArrayType
from pullback_server.planner.cost_table import COST_TABLE
from pullback_server.planner.plan import JobInput, TaskOutput
from pullback_server.scheduler.calibration import MOST_PROGRAMS, Calibration
from pullback_server.scheduler.dependencies import Dependencies
from tests.server.cluster import Cluster, runs
from tests.server.plans import make_plan, make_task, reduce_plan
from tests.server.simulated_pool import CPU, GPU


def program(size: int, seconds: float, *, by_memory: bool = False) -> Dependencies:
    """A plan of one task with a program of its own, bound by arithmetic or by memory."""
    task = make_task([JobInput(0)], seconds=seconds, type=ArrayType(FLOAT64, (size,)))
    if by_memory:
        task = replace(task, flops=0.0, size_bytes=seconds * COST_TABLE.bytes_per_s)
    return Dependencies(make_plan([task], [TaskOutput(0, 0)]))


def test_a_measured_program_is_expected_to_repeat_itself():
    """A moving average of what it took, on that kind of worker alone."""
    calibration, plan = Calibration(), program(1, 1.0)
    assert not calibration.knows(plan.fingerprints[0], CPU)
    calibration.record(plan, 0, CPU, 3.0)
    assert calibration.estimate_s(plan, 0, CPU) == 3.0
    calibration.record(plan, 0, CPU, 1.0)
    assert 1.0 < calibration.estimate_s(plan, 0, CPU) < 3.0
    assert calibration.estimate_s(plan, 0, GPU) == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize("by_memory", [False, True])
def test_programs_nobody_ran_are_expected_to_be_as_slow_as_the_others(by_memory: bool):
    """On a machine of half the speed predictions double, for what is bound by the same thing."""
    calibration = Calibration()
    for size in range(1, 200):
        plan = program(size, 0.1, by_memory=by_memory)
        calibration.record(plan, 0, CPU, 2.0 * plan.estimates_s[0])
    new = program(1000, 1.0, by_memory=by_memory)
    other = program(1001, 1.0, by_memory=not by_memory)
    assert calibration.estimate_s(new, 0, CPU) == pytest.approx(2.0, rel=0.02)
    assert calibration.estimate_s(other, 0, CPU) == pytest.approx(1.0, rel=0.02)
    rates = calibration.kinds[CPU]
    measured = rates.bytes_per_s if by_memory else rates.flops_per_s
    table = COST_TABLE.bytes_per_s if by_memory else COST_TABLE.flops_per_s
    assert measured == pytest.approx(table / 2, rel=0.02)


def test_transfers_and_overheads_are_measured():
    """Moving a task is expected to cost what the way and its operands took of late."""
    calibration = Calibration()
    for _ in range(200):
        calibration.record_transfer(CPU, 1e8, 1.0)
        calibration.record_overhead(CPU, 0.01)
    assert calibration.move_s(CPU, 1e8) == pytest.approx(1.01, rel=0.05)
    assert calibration.move_s(GPU, 1e8) < 0.2


def test_slow_transfers_are_soon_believed_and_fast_ones_never():
    """A few over a slow network tell; what shared memory hands on was copied there before."""
    slow, fast = Calibration(), Calibration()
    for _ in range(4):
        slow.record_transfer(CPU, 1e8, 1.0)
        fast.record_transfer(CPU, 1e8, 1e-3)
    assert slow.move_s(CPU, 1e8) > 0.6
    assert fast.move_s(CPU, 1e8) >= 1e8 / COST_TABLE.transfer_bytes_per_s


def test_senseless_measurements_change_nothing():
    """Times of zero, of less than nothing, or of tiny runs say nothing of a machine."""
    calibration = Calibration()
    before = replace(calibration.kinds[CPU])
    calibration.record_transfer(CPU, 1e8, 0.0)
    calibration.record_transfer(CPU, 8.0, 1.0)
    calibration.record_overhead(CPU, -1.0)
    calibration.record(program(1, 1e-7), 0, CPU, 1e-3)
    rates = calibration.kinds[CPU]
    assert (rates.arithmetic, rates.memory) == (before.arithmetic, before.memory)
    assert rates.transfer_bytes_per_s == before.transfer_bytes_per_s
    assert rates.overhead_s == before.overhead_s


def test_no_more_programs_are_remembered_than_that():
    """A server that sees ever new graphs does not grow."""
    calibration = Calibration()
    for size in range(1, MOST_PROGRAMS + 10):
        calibration.record(program(size, 1e-3), 0, CPU, 1e-3)
    assert len(calibration.kinds[CPU].seconds) == MOST_PROGRAMS


def test_measurements_move_batches_and_never_the_plan():
    """A slow machine gets smaller batches; the plan and its digest stay."""
    plan = reduce_plan(64, seconds=1e-3)
    digest = plan.digest
    cluster = Cluster(workers=1)
    first = runs(cluster.submit(plan))[1]
    cluster.pool.running_s = 0.02
    cluster.drain()
    second = runs(cluster.submit(plan, job=2))[1]
    assert len(second) < len(first)
    assert plan.digest == digest
