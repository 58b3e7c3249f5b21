"""Fits that cannot go on: no parameter changes the output any more, or ever did.

A gradient of zero is a minimum where the output answers to the parameters and the residual is
orthogonal to all answers. Where the output does not answer at all (tanh at 290 K, relu of negative
numbers, an input of zeros) it says nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.losses import CrossEntropy, Distance
from ..model.relaxation import Relaxation

__all__ = ["describe_stall"]

Array = NDArray[Any]

# Answer of the output to parameters that change by about 1, over the standard deviation of y.
LEAST_ANSWER = 1e-6


def describe_stall(
    model: Relaxation,
    x: Array,
    y: Array,
    loss: Distance,
    trained: Collection[str],
    n_steps: int,
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
    n_steps : int
        Steps that were taken.
    threads : int, optional
        As for a call of the model.

    Returns
    -------
    str
        In words, with the scale of x and y; empty where the loss is no larger than that of the mean
        of y, where the output answers to the parameters, and for CrossEntropy, whose targets have
        no mean.

    Notes
    -----
    One forward pass and, if the loss is so large, one tangent sweep along a random direction
    (seed 0).
    """
    if isinstance(loss, CrossEntropy):
        return ""
    weights = _weights(model, y, loss)
    values = y[weights > 0.0].astype(np.float64)
    shares = weights[weights > 0.0]
    mean = float(np.sum(shares * values) / np.sum(shares))
    n_samples = model._batch(x)
    loss_of_mean = float(np.sum(shares * loss._terms(mean - values))) / n_samples
    if not model.loss(x, y, loss, threads) > loss_of_mean:
        return ""
    random = np.random.default_rng(0)
    direction = {
        name: random.standard_normal(array.shape).astype(array.dtype)
        for name, array in model.params.items()
        if name in trained
    }
    answer = model.jvp(x, direction, threads=threads).astype(np.float64)
    if np.sqrt(np.mean(answer**2)) > LEAST_ANSWER * values.std():
        return ""
    exists = model.grid.mask if model.lift is None else None
    read = x if exists is None else x[..., exists]
    return (
        f"stalled: no parameter changes the output where training {'ends' if n_steps else 'starts'}"
        f" ({model.activation} is flat there, or x is zero), and the mean of y is the better "
        f"forecast; x is about {_scale(read)} and y {_scale(values)}: scale both to numbers of "
        f"about 1"
    )


def _weights(model: Relaxation, y: Array, loss: Distance) -> Array:
    """Weight of every target, zero on masked cells."""
    weights = np.ones(y.shape) if loss.weights is None else loss.weights.astype(np.float64)
    if model.grid.mask is not None and model.readout is None:
        weights = weights * model.grid.mask
    return np.broadcast_to(weights, y.shape)


def _scale(values: Array) -> str:
    numbers = values.astype(np.float64)
    return f"{numbers.mean():.3g} +- {numbers.std():.2g}"
