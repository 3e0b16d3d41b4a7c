"""Random numbers under jax.random's names, for traced and plain arrays: `import pullback.random`.

A key decides what is drawn: the same numbers wherever and however often a function runs. Use each
key once, and `split` it or `fold_in` a number for more. Keys are integers, without derivatives;
parameters (bounds, means, covariances) have them.

Bits, uniform numbers on [0, 1), integers, truth values and orders are the same to the bit on every
executor, in every shard, and as jax.random of the same key has them; the others to a few ulps.
"""

from pullback.random.bits import (
    bernoulli,
    bits,
    rademacher,
    randint,
    uniform,
)
from pullback.random.choosing import (
    categorical,
    choice,
    permutation,
)
from pullback.random.continuous import (
    cauchy,
    exponential,
    gumbel,
    laplace,
    logistic,
    multivariate_normal,
    normal,
    truncated_normal,
)
from pullback.random.keys import (
    fold_in,
    key,
    split,
)

__all__ = [
    "bernoulli",
    "bits",
    "categorical",
    "cauchy",
    "choice",
    "exponential",
    "fold_in",
    "gumbel",
    "key",
    "laplace",
    "logistic",
    "multivariate_normal",
    "normal",
    "permutation",
    "rademacher",
    "randint",
    "split",
    "truncated_normal",
    "uniform",
]
