"""A small convolutional network on real digits: every gradient from the service, one key a run.

The same key gives the same weights, dropout and batches, and so the same accuracy, anywhere.
"""

from __future__ import annotations

from typing import Any

import numpy

import pullback as pb
import pullback.numpy as np
from examples.digits import CLASSES, Images, load
from examples.server_process import any_server
from pullback import nn, random

STEPS, BATCH = 150, 128
RATE, MOMENTUM, DROPOUT = 0.05, 0.9, 0.2
SHAPES = {"first": (8, 1, 3, 3), "second": (16, 8, 3, 3), "dense": (64, CLASSES)}


def network(weights: Any, images: Any) -> Any:
    """Images (N, 1, 8, 8) -> features (N, 64)."""
    hidden = nn.max_pool(nn.relu(nn.conv(images, weights["first"], padding="SAME")), 2)
    hidden = nn.max_pool(nn.relu(nn.conv(hidden, weights["second"], padding="SAME")), 2)
    return np.reshape(hidden, (-1, SHAPES["dense"][0]))


def loss(weights: Any, images: Any, digits: Any, key: Any) -> Any:
    """Mean cross entropy, some features left out."""
    features = nn.dropout(network(weights, images), DROPOUT, key)
    return nn.cross_entropy(features @ weights["dense"], digits)


def initial(key: Any) -> dict[str, Any]:
    """Normal weights of such a scale that layers keep the variance of what they are given."""
    keys = random.split(key, len(SHAPES))
    inputs = {"first": 9, "second": 72, "dense": 64}
    return {
        name: random.normal(own, shape) * numpy.sqrt(2 / inputs[name])
        for own, (name, shape) in zip(keys, SHAPES.items(), strict=True)
    }


def as_images(images: Images) -> Any:
    """Pixels (N, 64) as one channel of 8 x 8."""
    return images.pixels.reshape(-1, 1, 8, 8)


def main() -> None:
    """Train, and count the hits among images that training has not seen."""
    training, test = load()
    start, *keys = random.split(random.key(0), STEPS + 1)
    weights = initial(start)
    speed = {name: numpy.zeros(shape) for name, shape in SHAPES.items()}
    with any_server() as address, pb.connect(address) as service:
        value_and_grad = service.value_and_grad(loss)
        for key in keys:
            own, dropped = random.split(key)
            rows = random.choice(own, len(training.digits), (BATCH,), replace=False)
            batch = as_images(training)[rows], training.digits[rows]
            value, gradient = value_and_grad(weights, *batch, dropped)
            for name in weights:
                speed[name] = MOMENTUM * speed[name] - RATE * gradient[name]
                weights[name] = weights[name] + speed[name]
    scores = network(weights, as_images(test)) @ weights["dense"]
    accuracy = numpy.mean(scores.argmax(axis=1) == test.digits)
    print(f"{STEPS} steps, loss {value:.3f}, test accuracy {accuracy:.1%}")


if __name__ == "__main__":
    main()
