"""What parameters start from: near the identity, with a little noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .network import Network

__all__ = ["initial_params"]

NOISE = 0.01


def initial_params(model: Network, shapes: dict[str, tuple[int, ...]]) -> dict[str, NDArray[Any]]:
    """Initial values, which follow from the model's seed alone.

    Parameters
    ----------
    model : Network
        The model, whose parameters are not read.
    shapes : dict of str to tuple of int
        Of its parameters.

    Returns
    -------
    dict of str to array
        Of the model's type.
    """
    rng = np.random.default_rng(model.seed)
    params = {}
    op = model.operator
    for name, shape in shapes.items():
        if name == "omega":
            params[name] = model._omega.copy()
            continue
        if name in ("lift_bias", "readout_bias"):
            params[name] = np.zeros(shape, model.dtype)
            continue
        values = _noise(name, shape, model.grid.n_cells) * rng.standard_normal(shape)
        if name == "W":
            values += np.eye(shape[-1])
        is_coefficient = name not in ("bias", "lift_weight", "readout_weight")
        starts = op.start_values(name) if is_coefficient else {}
        for component, start in starts.items():
            axis = len(shape) - 1 - (model.grid.ndim if op.is_local else 0)
            np.moveaxis(values, axis, 0)[component] += start
        params[name] = np.asarray(values, model.dtype)
    return params


def _noise(name: str, shape: tuple[int, ...], n_cells: int) -> float:
    """Standard deviation of a parameter's initial values about their start."""
    if name == "W":
        return float(NOISE / np.sqrt(shape[-1]))
    if name == "lift_weight":
        return float(1 / np.sqrt(shape[-1]))
    if name == "readout_weight":
        return float(1 / np.sqrt(n_cells))
    return NOISE
