"""Forecasts without physics: persistence y = x and damped persistence y = a x.

a = sum w x y / sum w x x over training samples: one factor, or one per cell.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets.samples import Samples

__all__ = ["Baseline", "fit_baselines"]


@dataclass(frozen=True, eq=False)
class Baseline:
    """A forecast y = factor x.

    Attributes
    ----------
    name : str
        For people.
    factor : ndarray, shape () or grid.shape
        What x is multiplied with.
    n_parameters : int
        Numbers that were fitted.
    seconds : float
        Time to fit them.
    """

    name: str
    factor: NDArray[Any]
    n_parameters: int
    seconds: float


def fit_baselines(training: Samples, mask: NDArray[np.bool_]) -> tuple[Baseline, ...]:
    """Persistence, and damped persistence with one factor and with one per cell.

    Parameters
    ----------
    training : Samples
        To fit the factors to.
    mask : ndarray of bool, shape grid.shape
        True where a cell exists.

    Returns
    -------
    tuple of Baseline
        In this order.
    """
    found = [Baseline("persistence", np.ones((), training.x.dtype), 0, 0.0)]
    every_axis = tuple(range(training.x.ndim))
    for name, axes in (
        ("damped persistence", every_axis),
        ("damped persistence per cell", (0,)),
    ):
        start = time.perf_counter()
        factor = _damping(training, mask, axes)
        seconds = time.perf_counter() - start
        n_factors = int(mask.sum()) if factor.ndim else 1
        found.append(Baseline(name, factor, n_factors, seconds))
    return tuple(found)


def _damping(training: Samples, mask: NDArray[np.bool_], axes: tuple[int, ...]) -> NDArray[Any]:
    """The factor a that makes a x closest to y."""
    counts = mask if training.weights is None else mask & (training.weights > 0)
    x, y = np.where(counts, training.x, 0.0), np.where(counts, training.y, 0.0)
    weighted = x if training.weights is None else x * training.weights
    power = np.sum(weighted * x, axis=axes)
    factor = np.sum(weighted * y, axis=axes) / np.where(power > 0.0, power, 1.0)
    return np.asarray(factor, training.x.dtype)
