"""The digits images of scikit-learn: 1797 real handwritten digits of 8 x 8 grey levels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

CLASSES = 10
PIXELS = 64


class Images(NamedTuple):
    """Images (N, 64) with grey levels from 0 to 1, and their digits (N,)."""

    pixels: np.ndarray[Any, Any]
    digits: np.ndarray[Any, Any]

    @property
    def one_hot(self) -> np.ndarray[Any, Any]:
        """The digits as rows of zeros with a one (N, 10)."""
        rows: np.ndarray[Any, Any] = np.eye(CLASSES)[self.digits]
        return rows


def load() -> tuple[Images, Images]:
    """Training images, and a quarter of all images held out for the test."""
    pixels, digits = load_digits(return_X_y=True)
    parts = train_test_split(pixels / 16.0, digits, test_size=0.25, random_state=0, stratify=digits)
    train_x, test_x, train_y, test_y = parts
    return Images(train_x, train_y), Images(test_x, test_y)
