"""Fits that cannot begin: no parameter changes the output where training starts.

A gradient of zero is a minimum where the output answers to the parameters and the residual is
orthogonal to all answers. Where the output does not answer at all (tanh at 290 K, relu of negative
numbers, an input of zeros) it says nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model import Relaxation
from .history import History
from .losses import CrossEntropy, Distance

__all__ = ["describe_stall"]

Array = NDArray[Any]

# Part of the loss that has to go for a step to count.
LEAST_DECREASE = 1e-6
# Answer of the output to parameters that change by about 1, over its distance from y.
LEAST_ANSWER = 1e-6


def describe_stall(
    model: Relaxation,
    x: Array,
    y: Array,
    loss: Distance,
    trained: Collection[str],
    history: History,
    threads: int | None,
) -> str:
    """Why a fit that ended without a gradient has not converged.

    Parameters
    ----------
    model : Relaxation
        Where it ended.
    x, y : ndarray
        Its samples.
    loss : Distance
        What was to be lowered.
    trained : collection of str
        Names of the trained parameters.
    history : History
        Of the fit.
    threads : int, optional
        As for a call of the model.

    Returns
    -------
    str
        In words, with the scale of x and y; empty where the loss has fallen, where it is no larger
        than that of the mean of y, where the output answers to the parameters, and for
        CrossEntropy, whose targets have no mean.

    Notes
    -----
    One forward pass and one tangent sweep along a random direction (seed 0), only if no step has
    lowered the loss.
    """
    losses = history.loss + history.penalty
    if isinstance(loss, CrossEntropy) or (
        len(losses) and losses[-1] < (1.0 - LEAST_DECREASE) * losses[0]
    ):
        return ""
    found = _predict(model, x, loss, threads)
    if found is None:
        return ""
    weights = _weights(model, y, loss)
    target = np.where(weights > 0.0, y, 0.0).astype(np.float64)
    mean = float(np.sum(weights * target) / np.sum(weights))
    misfit = float(np.sum(weights * (found - target) ** 2))
    if not misfit > float(np.sum(weights * (mean - target) ** 2)):
        return ""
    random = np.random.default_rng(0)
    direction = {
        name: random.standard_normal(array.shape).astype(array.dtype)
        for name, array in model.params.items()
        if name in trained
    }
    answer = model.jvp(x, direction, threads=threads).astype(np.float64)
    if np.sqrt(np.mean(answer**2)) > LEAST_ANSWER * np.sqrt(misfit / np.sum(weights)):
        return ""
    exists = model.grid.mask if model.lift is None else None
    read = x if exists is None else x[..., exists]
    values = y[np.broadcast_to(weights > 0.0, y.shape)]
    return (
        f"stalled: no parameter changes the output where training starts ({model.activation} is "
        f"flat there, or x is zero), and the mean of y is the better forecast; x is about "
        f"{_scale(read)} and y {_scale(values)}: scale both to numbers of about 1"
    )


def _predict(model: Relaxation, x: Array, loss: Distance, threads: int | None) -> Array | None:
    """What the loss compares with y, as float64; None for layers that are read out."""
    if loss.at is None:
        return model(x, threads=threads).astype(np.float64)
    if model.readout is not None:
        return None
    states = model.trajectory(x, threads=threads)
    layers = states.ndim - 1 - model.grid.ndim
    return np.take(states, loss.at, axis=layers).astype(np.float64)


def _weights(model: Relaxation, y: Array, loss: Distance) -> Array:
    """Weight of every target, zero on masked cells."""
    weights = np.ones(y.shape) if loss.weights is None else loss.weights.astype(np.float64)
    if model.grid.mask is not None and model.readout is None:
        weights = weights * model.grid.mask
    return np.broadcast_to(weights, y.shape)


def _scale(values: Array) -> str:
    numbers = values.astype(np.float64)
    return f"{numbers.mean():.3g} +- {numbers.std():.2g}"
