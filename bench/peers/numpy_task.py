"""The loss in plain NumPy: what all sides have to reproduce before anything is timed."""

from __future__ import annotations

import numpy as np

from bench.measure import Array
from bench.peers import stencil
from bench.peers.tasks import OMEGA, Inputs, Task


def loss(task: Task, inputs: Inputs) -> float:
    """Return 1/batch sum (z_L - y)^2, accumulated in float64."""
    z = inputs.x
    for layer in range(task.depth):
        params = inputs.params
        if task.time == "layered":
            params = {name: array[layer] for name, array in params.items()}
        pre = _apply(task, params, z)
        if task.has_bias:
            pre -= params["bias"]
        z = (1 - OMEGA) * z + OMEGA * np.tanh(pre)
    return float(np.sum(np.square(z - inputs.y), dtype=np.float64)) / task.batch


def _apply(task: Task, params: dict[str, Array], z: Array) -> Array:
    if task.operator == "Dense":
        product: Array = z @ params["W"].T
        return product
    widths = ((0, 0), *((1, 1) for _ in task.shape))
    padded = np.pad(z, widths, mode="wrap" if task.boundary == "periodic" else "edge")
    total: Array = np.zeros_like(z)
    for offset, weight in stencil.weights(params, len(task.shape)).items():
        total += weight * padded[stencil.window(offset, task.shape)]
    return total
