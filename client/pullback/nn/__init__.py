"""Layers of neural networks as functions, for traced and plain arrays: `import pullback.nn`.

Names and meaning are jax.nn's, and torch.nn.functional's where jax.nn has none. Images are laid out
N C spatial. Every function has derivatives of any order in every floating operand.
"""

from pullback.nn.activations import (
    celu,
    elu,
    gelu,
    glu,
    hard_sigmoid,
    hard_silu,
    hard_swish,
    hard_tanh,
    leaky_relu,
    log_sigmoid,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_sign,
    softplus,
    swish,
)
from pullback.nn.attention import (
    dot_product_attention,
    dropout,
    embedding,
    scaled_dot_product_attention,
)
from pullback.nn.convolution import (
    conv,
    conv_transpose,
)
from pullback.nn.losses import (
    binary_cross_entropy_with_logits,
    cosine_similarity,
    cross_entropy,
    huber_loss,
    l1_loss,
    mse_loss,
)
from pullback.nn.normalization import (
    batch_norm,
    batch_statistics,
    group_norm,
    layer_norm,
    rms_norm,
)
from pullback.nn.pooling import (
    avg_pool,
    max_pool,
)
from pullback.nn.shares import (
    log_softmax,
    logsumexp,
    one_hot,
    softmax,
)

__all__ = [
    "avg_pool",
    "batch_norm",
    "batch_statistics",
    "binary_cross_entropy_with_logits",
    "celu",
    "conv",
    "conv_transpose",
    "cosine_similarity",
    "cross_entropy",
    "dot_product_attention",
    "dropout",
    "elu",
    "embedding",
    "gelu",
    "glu",
    "group_norm",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "huber_loss",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "max_pool",
    "mish",
    "mse_loss",
    "one_hot",
    "relu",
    "relu6",
    "rms_norm",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "silu",
    "soft_sign",
    "softmax",
    "softplus",
    "swish",
]
