"""The scheduler under thousands of random events, a fault among some: nothing piles up."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

import pytest

from tests.server.scheduler_ordeal import CASES, Ordeal

MOST_OPEN = 12
SEEDS = range(5012, 5300)


class Chance(NamedTuple):
    """How often something happens, when it may, and how it does."""

    weight: float
    may: Callable[[Ordeal], object]
    draw: Callable[[Random], dict[str, Any]]


def _pick(random: Random) -> dict[str, Any]:
    return {"pick": random.randrange(10**6)}


def _pick_lane(random: Random) -> dict[str, Any]:
    return {**_pick(random), "express": random.random() < 0.5}


CHANCES: dict[str, Chance] = {
    "submit": Chance(
        12,
        lambda o: len(o.open_jobs()) < MOST_OPEN,
        lambda r: {
            "random": r,
            "client": r.choice("abc"),
            "priority": r.randint(-1, 1),
            "deadline": r.choice([None, None, None, 5.0, 1e4]),
        },
    ),
    "submit_again": Chance(
        6,
        lambda o: o.pool.plans and len(o.open_jobs()) < MOST_OPEN,
        lambda r: {**_pick(r), "client": r.choice("abc")},
    ),
    "start_worker": Chance(20, lambda o: o.pool.starting, _pick),
    "place_worker": Chance(2, lambda o: o.pool.starting, _pick),
    "fail_to_start": Chance(1, lambda o: o.pool.starting, _pick),
    "measure": Chance(0.5, lambda o: o.pool.workers, lambda r: {**_pick(r), "seconds": 1e-9}),
    "finish_batch": Chance(
        50,
        lambda o: o.busy(),
        lambda r: {
            **_pick_lane(r),
            "together": r.random() < 0.7,
            "heed": r.random() < 0.7,
            "slowness": r.choice([1.0, 1.0, 0.01, 20.0]),
        },
    ),
    "give_way": Chance(1, lambda o: o.busy(), _pick),
    "fail_task": Chance(0.5, lambda o: o.busy(), _pick_lane),
    "lose_worker": Chance(1.5, lambda o: o.pool.workers, _pick),
    "lose_node": Chance(0.2, lambda o: o.pool.workers, lambda r: {"together": r.random() < 0.5}),
    "lose_worker_midway": Chance(
        1.5, lambda o: o.busy(), lambda r: {**_pick_lane(r), "tasks": r.randint(0, 3)}
    ),
    "answer": Chance(4, lambda o: o.pool.asked, _pick),
    "lose_copy": Chance(1, lambda o: o.pool.here, _pick),
    "repeat_old_events": Chance(1, lambda o: o.past, _pick),
    "cancel": Chance(1, lambda o: o.open_jobs(), _pick),
    "flush": Chance(5, lambda o: True, lambda r: {}),
    "tick": Chance(8, lambda o: True, lambda r: {"seconds": r.choice([0.01, 0.1, 1.0, 3.0, 40.0])}),
    "see_the_end": Chance(8, lambda o: o.pool.killed, lambda r: {}),
}
"""Faults are few enough for most jobs to end well."""

NO_LOSSES = {"lose_worker", "lose_node", "lose_worker_midway", "lose_copy", "fail_to_start"}


def run(case: str, seed: int, steps: int, without: frozenset[str] = frozenset()) -> Ordeal:
    """So many random events, and what always holds after each of them."""
    random, ordeal = Random(seed), Ordeal()
    ordeal.begin(case)
    chances = {name: own for name, own in CHANCES.items() if name not in without}
    for _ in range(steps):
        able = {name: own for name, own in chances.items() if own.may(ordeal)}
        (name,) = random.choices([*able], [own.weight for own in able.values()])
        getattr(ordeal, name)(**able[name].draw(random))
        ordeal.answers_once()
        ordeal.wastes_no_attempt()
        ordeal.keeps_two_calls()
        ordeal.leaves_nobody_waiting()
    ordeal.left_alone()
    return ordeal


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_wrong_forgotten_or_left(case: str):
    """Whatever happens, each job is answered once and rightly, and every table is empty after."""
    ordeal = run(case, seed=1, steps=1500)
    assert sum(error is None for ((error, _),) in ordeal.pool.replies.values()) > 20


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_missed_where_nothing_is_lost(case: str):
    """Without losses no batch looks for a value in vain, whatever is copied or called off."""
    run(case, seed=2, steps=1500, without=frozenset(NO_LOSSES))


@pytest.mark.parametrize("seeds", [range(5000, 5012), pytest.param(SEEDS, marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", CASES)
def test_no_attempt_is_wasted_without_a_loss(case: str, seeds: range):
    """The same from many beginnings: what goes wrong does soon, while workers are still few."""
    for seed in seeds:
        run(case, seed=seed, steps=120, without=frozenset(NO_LOSSES))
