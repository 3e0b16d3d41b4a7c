"""The engine's workloads: a row each, in the order they are reported."""

from __future__ import annotations

from benchmarks.workloads import (
    black_scholes,
    bundle_adjustment,
    determinant,
    gaussian_mixture,
    hand_tracking,
    k_means,
    least_squares,
    log_sum_exp,
    lstm,
    many_points,
    multilayer_perceptron,
    particles,
    polynomial,
    random_tape,
    runge_kutta,
    scalar_batch,
    unseen_graph,
)
from benchmarks.workloads.workload import Workload

TABLE: dict[str, Workload] = {
    "polynomial": polynomial.WORKLOAD,
    "multilayer_perceptron": multilayer_perceptron.WORKLOAD,
    "black_scholes": black_scholes.WORKLOAD,
    "gaussian_mixture": gaussian_mixture.WORKLOAD,
    "bundle_adjustment": bundle_adjustment.WORKLOAD,
    "lstm": lstm.WORKLOAD,
    "hand_tracking": hand_tracking.WORKLOAD,
    "k_means": k_means.WORKLOAD,
    "least_squares": least_squares.WORKLOAD,
    "log_sum_exp": log_sum_exp.WORKLOAD,
    "runge_kutta": runge_kutta.WORKLOAD,
    "determinant": determinant.WORKLOAD,
    "particles": particles.WORKLOAD,
    "random_tape": random_tape.WORKLOAD,
    "unseen_graph": unseen_graph.WORKLOAD,
    "scalar_batch": scalar_batch.WORKLOAD,
    "many_points": many_points.WORKLOAD,
}
