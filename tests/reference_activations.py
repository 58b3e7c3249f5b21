"""The activations and their slopes in plain NumPy, complex arguments near the reals included."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

Array = NDArray[Any]


def logistic(z: Array) -> Array:
    """1 / (1 + exp(-z)) without overflow; complex arguments near the real axis."""
    small = np.exp(np.where(z.real > 0, -z, z))
    result: Array = np.where(z.real > 0, 1, small) / (1 + small)
    return result


def softplus(z: Array) -> Array:
    """log(1 + exp z) without overflow."""
    return np.where(z.real > 0, z, 0) + np.log1p(np.exp(np.where(z.real > 0, -z, z)))


def normal_distribution(z: Array) -> Array:
    result: Array = (1 + erf(z / math.sqrt(2))) / 2
    return result


def normal_density(z: Array) -> Array:
    return np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def absolute(u: Array) -> Array:
    """|u| continued to complex numbers near the real axis; its derivative at 0 is 0."""
    return sign(u) * u


def sign(u: Array) -> Array:
    result: Array = np.sign(u.real).astype(u.real.dtype)
    return result


class Activation(NamedTuple):
    f: Callable[[Array], Array]
    slope: Callable[[Array], Array]


ACTIVATIONS = {
    "identity": Activation(lambda z: z, np.ones_like),
    "tanh": Activation(np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "logistic": Activation(logistic, lambda z: logistic(z) * logistic(-z)),
    # derivatives at kinks are the left ones
    "relu": Activation(
        lambda z: np.where(z.real > 0, z, 0 * z), lambda z: np.where(z > 0, 1, 0).astype(z.dtype)
    ),
    "leaky_relu": Activation(
        lambda z: np.where(z.real > 0, z, 0.01 * z),
        lambda z: np.where(z > 0, 1, 0.01).astype(z.dtype),
    ),
    "softplus": Activation(softplus, logistic),
    "silu": Activation(lambda z: z * logistic(z), lambda z: logistic(z) * (1 + z * logistic(-z))),
    "gelu": Activation(
        lambda z: z * normal_distribution(z),
        lambda z: normal_distribution(z) + z * normal_density(z),
    ),
    "sin": Activation(np.sin, np.cos),
    "square": Activation(lambda z: z * z, lambda z: 2 * z),
    "hard_tanh": Activation(
        lambda z: np.where(z.real <= -1, 0 * z - 1, np.where(z.real <= 1, z, 0 * z + 1)),
        lambda z: ((z > -1) & (z <= 1)).astype(z.dtype),
    ),
}
