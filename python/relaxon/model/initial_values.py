"""What parameters start from: near the identity, with a little noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..operators.operator import NOISE, Operator
from ..operators.parameters import Parameter

__all__ = ["initial_params"]


def initial_params(
    table: Mapping[str, Parameter],
    op: Operator,
    rate: NDArray[Any],
    dtype: np.dtype[Any],
    seed: int,
) -> dict[str, NDArray[Any]]:
    """Initial values, which follow from a seed alone.

    Parameters
    ----------
    table : mapping of str to Parameter
        Those that are trained.
    op : Operator
        The operator.
    rate : ndarray
        What omega, or gamma, starts from.
    dtype : numpy.dtype
        Of the model.
    seed : int
        Of the noise.

    Returns
    -------
    dict of str to array
        Of the model's type.
    """
    rng = np.random.default_rng(seed)
    own = op.parameter_names()
    params = {}
    for name, parameter in table.items():
        if name in ("omega", "gamma"):
            params[name] = rate.copy()
            continue
        if name in ("lift_bias", "readout_bias"):
            params[name] = np.zeros(parameter.shape, dtype)
            continue
        noise = op.noise if name in own else _noise(parameter, op.grid.n_cells)
        values = noise * rng.standard_normal(parameter.shape)
        if name in own:
            values += op.start(parameter)
        params[name] = np.asarray(values, dtype)
    return params


def _noise(parameter: Parameter, n_cells: int) -> float:
    """Standard deviation of initial values that are not the operator's."""
    if parameter.name == "lift_weight":
        return float(1 / np.sqrt(parameter.shape[-1]))
    if parameter.name == "readout_weight":
        return float(1 / np.sqrt(n_cells))
    return NOISE
