"""Ends and losses of networks in plain NumPy, around the layers of :mod:`reference`.

    z_0 = g(A x + a),   layers,   y_l = h(B z_l + c)

Everything runs on complex numbers, so that derivatives are those of the complex step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import reference
from reference_activations import ACTIVATIONS, absolute

Array = NDArray[Any]


@dataclass(frozen=True)
class End:
    width: int
    activation: str = "identity"


@dataclass(frozen=True)
class Ended:
    """A network with its ends."""

    network: reference.Network
    lift: End | None = None
    readout: End | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.network.grid.shape if self.lift is None else (self.lift.width,)

    @property
    def output_shape(self) -> tuple[int, ...]:
        return self.network.grid.shape if self.readout is None else (self.readout.width,)


def parameter_shapes(ended: Ended) -> dict[str, tuple[int, ...]]:
    n = int(np.prod(ended.network.grid.shape))
    shapes: dict[str, tuple[int, ...]] = {}
    if ended.lift is not None:
        shapes |= {"lift_weight": (n, ended.lift.width), "lift_bias": (n,)}
    if ended.readout is not None:
        shapes |= {"readout_weight": (ended.readout.width, n)}
        shapes |= {"readout_bias": (ended.readout.width,)}
    return shapes


def outputs(
    ended: Ended, params: Mapping[str, Array], x: Array, at: Sequence[int] | None = None
) -> Array:
    """Outputs of the layers ``at``, (batch, len(at), *output), or of the last, (batch, *output)."""
    grid = ended.network.grid
    inner = {name: p for name, p in params.items() if not name.startswith(("lift", "readout"))}
    if ended.lift is not None:
        pre = x @ params["lift_weight"].T + params["lift_bias"]
        x = ACTIVATIONS[ended.lift.activation].f(pre).reshape(-1, *grid.shape)
    states = reference.trajectory(ended.network, inner, x)
    layers = [ended.network.depth] if at is None else list(at)
    found = states[:, layers]
    if ended.readout is not None:
        flat = np.where(grid.exists, found, 0).reshape(*found.shape[:2], -1)
        pre = flat @ params["readout_weight"].T + params["readout_bias"]
        found = ACTIVATIONS[ended.readout.activation].f(pre)
    return found[:, 0] if at is None else found


def huber(r: Array, scale: float) -> Array:
    size = absolute(r)
    return np.where(size.real <= scale, r * r / 2, scale * (size - scale / 2))


class Distance(NamedTuple):
    """A loss of single cells: its public name, scales to test (none: it has none), and d(r)."""

    constructor: str
    scales: tuple[float, ...]
    terms: Callable[[Array, float], Array]


DISTANCES = {
    "squared": Distance("SquaredDistance", (), lambda r, scale: r * r),
    "absolute": Distance(
        "AbsoluteDistance", (0.1, 0.2), lambda r, scale: np.sqrt(r * r + scale**2) - scale
    ),
    "huber": Distance("Huber", (0.5, 1.0), huber),
}


def distance(kind: str, scale: float, z: Array, y: Array, weights: Array) -> Any:
    """1/batch sum of w d(z - y); y is not read where w is 0."""
    r = np.where(weights != 0, z - y, 0)
    return np.sum(weights * DISTANCES[kind].terms(r, scale)) / len(z)


def cross_entropy(z: Array, labels: Array, weights: Array) -> Any:
    """1/batch sum of w (log sum exp z - z_label), classes on the last axis."""
    largest = z.real.max(axis=-1, keepdims=True)
    log_sum = largest[..., 0] + np.log(np.sum(np.exp(z - largest), axis=-1))
    read = np.where(weights != 0, labels, 0)
    chosen = np.take_along_axis(z, read[..., np.newaxis], axis=-1)[..., 0]
    return np.sum(weights * (log_sum - chosen)) / len(z)
