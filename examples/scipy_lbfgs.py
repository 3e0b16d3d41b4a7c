"""A classifier of real digits, trained by SciPy with every gradient from the service.

The images are sent once; afterwards each of the optimiser's calls sends only its weights.
"""

from __future__ import annotations

from typing import Any

import numpy
from scipy.optimize import minimize

import pullback as pb
import pullback.numpy as np
from examples.digits import CLASSES, PIXELS, load
from examples.server_process import any_server

PENALTY = 1e-3


def loss(weights: Any, images: Any, labels: Any) -> Any:
    """Softmax regression: weights (P * C,), images (N, P), one-hot labels (N, C) -> a scalar."""
    scores = images @ weights.reshape(PIXELS, CLASSES)
    cross_entropy = np.logsumexp(scores, axis=1) - np.sum(scores * labels, axis=1)
    return np.mean(cross_entropy) + PENALTY * np.sum(weights**2)


def main() -> None:
    """Train, and count the hits among images that training has not seen."""
    training, test = load()
    start = numpy.zeros(PIXELS * CLASSES)
    with any_server() as address, pb.connect(address) as service:
        images, labels = service.put(training.pixels), service.put(training.one_hot)
        value_and_grad = service.value_and_grad(loss)
        found = minimize(value_and_grad, start, (images, labels), jac=True, method="L-BFGS-B")
    scores = test.pixels @ found.x.reshape(PIXELS, CLASSES)
    accuracy = numpy.mean(scores.argmax(axis=1) == test.digits)
    print(f"{found.nfev} gradients, loss {found.fun:.3f}, test accuracy {accuracy:.1%}")


if __name__ == "__main__":
    main()
