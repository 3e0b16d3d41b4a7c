"""torch.nn.functional as a second oracle of `pullback.nn`: its layouts, options and defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import nn

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(17)
SCORES = RNG.normal(size=(5, 4)) * 2
LABELS = np.array([0, 3, 1, 1, 2])
IMAGES = RNG.normal(size=(2, 4, 7, 6))
CHANNELS = [RNG.normal(size=4) for _ in range(2)]
VOLUME = RNG.normal(size=(2, 2, 4, 5, 4))
TOKENS = [RNG.normal(size=(2, 3, n, 4)) for n in (5, 6, 6)]
SEEN = RNG.random((5, 6)) < 0.8
SEEN[:, 0] = True


class Case(NamedTuple):
    """The function here, torch's of its functional module, and the arrays of both."""

    ours: Callable[..., Any]
    theirs: Callable[[Any, Any], Callable[..., Any]]
    arrays: list[Any]


def _activation(name: str, theirs: str = "", *more: Any) -> Case:
    return Case(
        lambda x: getattr(nn, name)(x, *more),
        lambda t, f: lambda x: getattr(f, theirs or name)(x, *more),
        [SCORES],
    )


def _conv(rank: int, w: tuple[int, ...], x: Any, **options: Any) -> Case:
    return Case(
        lambda x, w, b: nn.conv(x, w, b, **options),
        lambda t, f: lambda x, w, b: getattr(f, f"conv{rank}d")(x, w, b, **options),
        [x, RNG.normal(size=w), RNG.normal(size=w[0])],
    )


def _conv_transpose(rank: int, w: tuple[int, ...], x: Any, **options: Any) -> Case:
    outputs = w[1] * options.get("groups", 1)
    return Case(
        lambda x, w, b: nn.conv_transpose(x, w, b, **options),
        lambda t, f: lambda x, w, b: getattr(f, f"conv_transpose{rank}d")(x, w, b, **options),
        [x, RNG.normal(size=w), RNG.normal(size=outputs)],
    )


CASES: dict[str, Case] = {
    **{
        name: _activation(name)
        for name in ["relu", "relu6", "leaky_relu", "elu", "celu", "selu", "silu", "mish", "glu"]
    },
    **{name: _activation(name) for name in ["softplus", "sigmoid"]},
    "gelu": _activation("gelu", "gelu")._replace(
        ours=lambda x: nn.gelu(x, False), theirs=lambda t, f: f.gelu
    ),
    "gelu by tanh": Case(nn.gelu, lambda t, f: lambda x: f.gelu(x, approximate="tanh"), [SCORES]),
    "hard_tanh": _activation("hard_tanh", "hardtanh"),
    "hard_sigmoid": _activation("hard_sigmoid", "hardsigmoid"),
    "hard_silu": _activation("hard_silu", "hardswish"),
    "soft_sign": _activation("soft_sign", "softsign"),
    "log_sigmoid": _activation("log_sigmoid", "logsigmoid"),
    "softmax": _activation("softmax", "softmax", 1),
    "log_softmax": _activation("log_softmax", "log_softmax", 0),
    "conv1d": _conv(1, (3, 4, 3), IMAGES[..., 0], stride=2, padding=1),
    "conv2d": _conv(2, (6, 2, 3, 2), IMAGES, padding=(1, 2), dilation=(2, 1), groups=2),
    "conv3d": _conv(3, (3, 2, 2, 3, 2), VOLUME, stride=(1, 2, 1), padding=1),
    "conv_transpose1d": _conv_transpose(1, (4, 3, 3), IMAGES[..., 0], stride=2, padding=1),
    "conv_transpose2d": _conv_transpose(
        2, (4, 3, 3, 2), IMAGES, stride=(2, 3), padding=1, output_padding=(1, 0), groups=2),
    "conv_transpose3d": _conv_transpose(3, (2, 3, 2, 3, 2), VOLUME, dilation=(1, 2, 1)),
    "max_pool2d": Case(
        lambda x: nn.max_pool(x, (3, 2), (2, 1), 1, dilation=(1, 2)),
        lambda t, f: lambda x: f.max_pool2d(x, (3, 2), (2, 1), 1, (1, 2)), [IMAGES]),
    "max_pool3d": Case(
        lambda x: nn.max_pool(x, 2), lambda t, f: lambda x: f.max_pool3d(x, 2), [VOLUME]),
    "avg_pool1d": Case(
        lambda x: nn.avg_pool(x, 3, 2, 1), lambda t, f: lambda x: f.avg_pool1d(x, 3, 2, 1),
        [IMAGES[..., 0]]),
    "avg_pool2d": Case(
        lambda x: nn.avg_pool(x, 3, 2, 1, count_padding=False),
        lambda t, f: lambda x: f.avg_pool2d(x, 3, 2, 1, count_include_pad=False), [IMAGES]),
    "layer_norm": Case(
        nn.layer_norm, lambda t, f: lambda x, w, b: f.layer_norm(x, (4,), w, b),
        [SCORES, *CHANNELS]),
    "rms_norm": Case(
        nn.rms_norm, lambda t, f: lambda x, w: f.rms_norm(x, (4,), w, 1e-6),
        [SCORES, CHANNELS[0]]),
    "batch_norm": Case(
        nn.batch_norm,
        lambda t, f: lambda x, w, b: f.batch_norm(x, None, None, w, b, training=True),
        [IMAGES, *CHANNELS]),
    "batch_norm, inference": Case(
        lambda x, w, b: nn.batch_norm(x, w, b, mean=CHANNELS[0], var=CHANNELS[1] ** 2),
        lambda t, f: lambda x, w, b: f.batch_norm(
            x, t.tensor(CHANNELS[0]), t.tensor(CHANNELS[1] ** 2), w, b),
        [IMAGES, *CHANNELS]),
    "group_norm": Case(
        lambda x, w, b: nn.group_norm(x, 2, w, b),
        lambda t, f: lambda x, w, b: f.group_norm(x, 2, w, b), [IMAGES, *CHANNELS]),
    "cross_entropy": Case(
        lambda x: nn.cross_entropy(x, LABELS, label_smoothing=0.2),
        lambda t, f: lambda x: f.cross_entropy(x, t.tensor(LABELS), label_smoothing=0.2),
        [SCORES]),
    "cross_entropy of images": Case(
        lambda x: nn.cross_entropy(x, LABELS[:, None] % 2 * np.ones((1, 6), int), axis=1),
        lambda t, f: lambda x: f.cross_entropy(
            x, t.tensor(LABELS[:, None] % 2 * np.ones((1, 6), int))),
        [RNG.normal(size=(5, 4, 6))]),
    "binary": Case(
        lambda x: nn.binary_cross_entropy_with_logits(x, np.tanh(SCORES) ** 2),
        lambda t, f: lambda x: f.binary_cross_entropy_with_logits(
            x, t.tensor(np.tanh(SCORES) ** 2)), [SCORES]),
    "mse_loss": Case(nn.mse_loss, lambda t, f: f.mse_loss, [SCORES, SCORES[::-1].copy()]),
    "l1_loss": Case(nn.l1_loss, lambda t, f: f.l1_loss, [SCORES, SCORES[::-1].copy() + 0.01]),
    "huber_loss": Case(
        lambda x, y: nn.huber_loss(x, y, delta=0.7),
        lambda t, f: lambda x, y: f.huber_loss(x, y, delta=0.7), [SCORES, SCORES[::-1].copy()]),
    "cosine_similarity": Case(
        nn.cosine_similarity, lambda t, f: lambda x, y: f.cosine_similarity(x, y, dim=-1),
        [SCORES, SCORES[::-1].copy() + 1]),
    "attention": Case(
        lambda q, k, v: nn.scaled_dot_product_attention(q, k, v, SEEN),
        lambda t, f: lambda q, k, v: f.scaled_dot_product_attention(q, k, v, t.tensor(SEEN)),
        TOKENS),
    "attention, causal": Case(
        lambda q, k, v: nn.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.2),
        lambda t, f: lambda q, k, v: f.scaled_dot_product_attention(
            q, k, v, is_causal=True, scale=0.2),
        TOKENS),
    "embedding": Case(
        lambda w: nn.embedding(LABELS, w),
        lambda t, f: lambda w: f.embedding(t.tensor(LABELS), w), [RNG.normal(size=(4, 3))]),
}  # fmt: skip

ROUNDED = {"hard_sigmoid": 1e-7}
"""Where torch's own derivative is that of a constant in float32."""


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_torch_s(name: str) -> None:
    """A function has torch's values, and its derivatives in every operand."""
    torch = pytest.importorskip("torch", reason="the torch group is not installed: make slow")
    case = CASES[name]
    given = [torch.tensor(array, requires_grad=True) for array in case.arrays]
    z = case.theirs(torch, torch.nn.functional)(*given)
    weights = np.cos(np.arange(z.numel())).reshape(tuple(z.shape))
    wanted = torch.autograd.grad(torch.sum(z * torch.tensor(weights)), given)
    np.testing.assert_allclose(case.ours(*case.arrays), z.detach(), rtol=1e-10, atol=1e-12)
    found = pb.grad(
        lambda *args: pnp.sum(pnp.multiply(case.ours(*args), weights)),
        wrt=tuple(range(len(given))),
    )(*case.arrays)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=ROUNDED.get(name, 1e-9), atol=1e-11)
