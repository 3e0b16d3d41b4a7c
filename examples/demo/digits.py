"""A neural network trained on real images: SciPy decides, every gradient is the service's.

The images are sent once and named by their hash afterwards, so a call carries only the weights.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy
from scipy.optimize import OptimizeResult, minimize

import pullback as pb
import pullback.numpy as np
from examples.demo.stage import Stage
from examples.digits import CLASSES, PIXELS, Images, load

HIDDEN = 32
PENALTY = 1e-4
MOST_STEPS = 100
LEAST_ACCURACY = 0.95
SHAPES = ((PIXELS, HIDDEN), (HIDDEN,), (HIDDEN, CLASSES), (CLASSES,))


class Network(NamedTuple):
    """Weights and biases of one hidden layer of tanh units."""

    w1: Any
    b1: Any
    w2: Any
    b2: Any

    def scores(self, images: Any) -> Any:
        """Images (N, 64) -> a score for each digit (N, 10)."""
        return np.tanh(images @ self.w1 + self.b1) @ self.w2 + self.b2


def network(flat: Any) -> Network:
    """The network whose weights stand one after another in a vector, as SciPy wants them."""
    parts, start = [], 0
    for shape in SHAPES:
        size = int(numpy.prod(shape))
        parts.append(flat[start : start + size].reshape(shape))
        start += size
    return Network(*parts)


def loss(flat: Any, images: Any, labels: Any) -> Any:
    """Cross-entropy of a network's scores, with a penalty on large weights -> a scalar."""
    net = network(flat)
    scores = net.scores(images)
    cross_entropy = np.logsumexp(scores, axis=1) - np.sum(scores * labels, axis=1)
    return np.mean(cross_entropy) + PENALTY * (np.sum(net.w1**2) + np.sum(net.w2**2))


def start_weights() -> numpy.ndarray[Any, Any]:
    """Small random weights and zero biases, in one vector."""
    random = numpy.random.default_rng(0)
    parts = [random.normal(0.0, shape[0] ** -0.5, shape) * (len(shape) > 1) for shape in SHAPES]
    return numpy.concatenate([part.ravel() for part in parts])


def run(stage: Stage) -> None:
    """Train on three quarters of the images, test on the rest."""
    training, test = load()
    stage.server.wait_for_workers(stage.workers)
    stage.console.print(
        f"{len(training.digits)} images of handwritten digits to learn from, "
        f"{len(test.digits)} held out; {stage.workers} workers"
    )
    begun = time.monotonic()
    found, last = train(stage, training)
    seconds = time.monotonic() - begun
    metrics = last.metrics
    stage.console.print(
        f"{found.nfev} gradients in {seconds:.1f} s; the loss fell to {found.fun:.4f}\n"
        f"the last one: {metrics.split}, {metrics.tasks} tasks on {metrics.workers} workers, "
        f"{metrics.nodes} nodes, {metrics.adjoint_evaluations} adjoints, "
        f"{metrics.total_s * 1e3:.1f} ms"
    )
    stage.claim("every job was split over the workers", metrics.workers >= 1 < metrics.tasks)
    stage.claim("the images were named by their hash", metrics.tensor_cache_hits == 2)
    accuracy = numpy.mean(network(found.x).scores(test.pixels).argmax(axis=1) == test.digits)
    stage.claim(
        f"{accuracy:.1%} of the held-out images are read right (at least {LEAST_ACCURACY:.0%})",
        accuracy >= LEAST_ACCURACY,
    )


def train(stage: Stage, images: Images) -> tuple[OptimizeResult, pb.Result]:
    """SciPy's optimum, and the service's last result on the way there."""
    flat = start_weights()
    graph = pb.trace(loss, flat, images.pixels, images.one_hot)
    held = {
        "images": stage.service.put(images.pixels),
        "labels": stage.service.put(images.one_hot),
    }
    results: list[pb.Result] = []

    def value_and_gradient(weights: Any) -> tuple[float, Any]:
        result = stage.service.gradient(
            graph,
            {"flat": weights, **held},
            wrt="flat",
            split=f"shard({stage.workers})",  # the job is small: left alone, it would not be split
        )
        results.append(result)
        (value,) = result.outputs.values()
        return float(value), result.gradients["flat"]

    options = {"maxiter": MOST_STEPS}
    found = minimize(value_and_gradient, flat, jac=True, method="L-BFGS-B", options=options)
    return found, results[-1]
