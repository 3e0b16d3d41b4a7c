"""Random numbers under jax.random's names, for traced and plain arrays: `import pullback.random`.

A key decides what is drawn: the same numbers wherever and however often a function runs. Use each
key once, and `split` it or `fold_in` a number for more. Keys are integers, without derivatives;
parameters (bounds, means, covariances) have them.

Bits, uniform numbers on [0, 1), integers, truth values and orders are the same to the bit on every
executor, in every shard, and as jax.random of the same key has them; normal numbers and others by a
formula to a few ulps. Counts and what is made of gamma numbers are drawn by ways of their own.
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
from pullback.random.counts import poisson
from pullback.random.gamma_family import (
    beta,
    chisquare,
    dirichlet,
    gamma,
    loggamma,
    t,
)
from pullback.random.keys import (
    fold_in,
    key,
    split,
)

__all__ = [
    "bernoulli",
    "beta",
    "bits",
    "categorical",
    "cauchy",
    "chisquare",
    "choice",
    "dirichlet",
    "exponential",
    "fold_in",
    "gamma",
    "gumbel",
    "key",
    "laplace",
    "loggamma",
    "logistic",
    "multivariate_normal",
    "normal",
    "permutation",
    "poisson",
    "rademacher",
    "randint",
    "split",
    "t",
    "truncated_normal",
    "uniform",
]
