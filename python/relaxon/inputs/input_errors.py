"""Inputs as unknowns beside the parameters, and how they are weighed against the targets.

Unknown inputs x + s xi are held to what is known of them, x +- s, against the targets' residuals r:

    F = 1/n sum_n sum_k w (tau / tau_k)^2 r^2 + c tau^2 / n sum xi^2,    c = mean of w,

with the error tau_k of the targets of each layer that has some, and tau^2 the mean of its squares.
An observed input has the standard deviation of its error for s; a gap has mean and variance of its
prediction from observed neighbours. Ratios of s to tau alone matter, and pairs alone do not tell
them: without a known one, slope and noise cannot be told apart.

References: W. A. Fuller, Measurement Error Models (1987), secs. 1.3 and 4.1; S. Van Huffel,
J. Vandewalle, The Total Least Squares Problem (1991).
"""

from __future__ import annotations

import dataclasses
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..base.validate import refuse
from ..model.losses import Distance
from ..model.relaxation import Relaxation

__all__ = ["InputErrors", "balance", "find_target_errors", "layer_terms", "parameter_scales"]

Array = NDArray[Any]
# Arrays up to this length get a scale per entry, longer ones the root mean square of all.
MOST_ENTRIES = 32


@dataclasses.dataclass(frozen=True, eq=False)
class InputErrors:
    """Inputs that are unknowns: x + spread xi, with the penalty strength sum xi^2.

    Attributes
    ----------
    x, spread : ndarray of the model's type, shape (samples, *grid.shape)
        What is known of the inputs and its standard deviation; 0 where an input stays as it is.
    strength : float
        Of the penalty, in the units of the loss.
    gaps : ndarray of int64, shape (n,)
        Flat indices of gaps that move with their neighbours: x_g + s_g xi_g + sum_k f_gk s_k xi_k.
    neighbours : ndarray of int64, shape (n, k)
        Flat indices of these; -1 for none.
    factors : ndarray of the model's type, shape (n, k)
        f, 0 where there is no neighbour.
    """

    x: Array
    spread: Array
    strength: float
    gaps: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    factors: Array

    def astype(self, dtype: Any) -> InputErrors:
        """The same with numbers of another type."""
        x, spread, factors = (a.astype(dtype) for a in (self.x, self.spread, self.factors))
        return InputErrors(x, spread, self.strength, self.gaps, self.neighbours, factors)

    def move(self, deviations: Array) -> Array:
        """What deviations change in the inputs: L xi."""
        moved = self.spread * deviations
        shifts = moved.ravel()[self.neighbours]
        moved.ravel()[self.gaps] += np.einsum("gk,gk->g", self.factors, shifts)
        return np.asarray(moved)

    def pull(self, bars: Array) -> Array:
        """The transposed: from gradients of the inputs to those of the deviations."""
        pulled = bars.copy()
        linked = self.factors * bars.ravel()[self.gaps][:, np.newaxis]
        has_one = self.neighbours >= 0
        np.add.at(pulled.ravel(), self.neighbours[has_one], linked[has_one])
        return np.asarray(self.spread * pulled)


def layer_terms(
    model: Relaxation, y: Any, x: Array, loss: Distance
) -> tuple[Array, Array, list[int]]:
    """Targets and weights with an axis of layers, shape (samples, layers, *cells)."""
    target, weights, at = model._check_target("y", y, x, loss)
    shape = (model._batch(x), len(at), *model.output_shape)
    full = np.ones(()) if weights is None else weights
    if full.shape not in ((), model.output_shape):
        full = full.reshape(shape)
    full = np.broadcast_to(full, shape)
    if model.readout is None and model.grid.mask is not None:
        full = np.where(model.grid.mask, full, 0.0)
    return target.reshape(shape), full, at


def find_target_errors(
    model: Relaxation,
    x: Array,
    y: Any,
    loss: Distance,
    spread: Array,
    has_input_error: bool = True,
) -> tuple[float, ...]:
    """Standard deviation of the targets' errors, from residuals, per layer with targets.

    tau_k^2 = mean of w r^2 - mean of w sum_j (dz_i / dx_j)^2 s_j^2: what errors of the inputs
    contribute through the model is taken away.

    Parameters
    ----------
    model : Relaxation
        A fitted model.
    x, y, loss
        Data and weights.
    spread : ndarray
        Standard deviations of the inputs.
    has_input_error : bool, default True
        Whether those of observed inputs were given, and could be given smaller.

    Returns
    -------
    tuple of float
        One per layer.

    Raises
    ------
    ValueError
        If it is not positive.

    Notes
    -----
    The sum over inputs is the variance of the tangent along random signs (Hutchinson).
    """
    target, weights, at = layer_terms(model, y, x, loss)
    signs = np.random.default_rng(0).choice(np.array([-1, 1], model.dtype), x.shape)
    direction = spread * signs
    errors = []
    for k, layer in enumerate(at):
        part = model._until(layer)
        states, tangent = part(x), part.jvp(x, {}, direction)
        counted = weights[:, k] > 0.0
        residual = np.where(counted, states.reshape(counted.shape) - target[:, k], 0.0)
        total = float(np.sum(weights[:, k], dtype=np.float64))
        ours = float(np.sum(weights[:, k] * residual.astype(np.float64) ** 2)) / total
        through = np.where(counted, tangent.reshape(counted.shape), 0.0).astype(np.float64)
        theirs = float(np.sum(weights[:, k] * through**2)) / total
        if not ours > theirs:
            _refuse_residuals(ours, theirs, layer, has_input_error)
        errors.append(float(np.sqrt(ours - theirs)))
    return tuple(errors)


def _refuse_residuals(ours: float, theirs: float, layer: int, has_input_error: bool) -> NoReturn:
    """In ratios, which hold in every unit."""
    got, fix = f"residuals of layer {layer} that are 0", "give target_error"
    if ours > 0.0:
        got = (
            f"{theirs / ours:.4g} times the mean square of the residuals of layer {layer} through "
            "the inputs"
        )
        if has_input_error:
            share = float(np.sqrt(ours / theirs))
            fix = f"lower input_error to less than {share:.3g} of what it is, or give target_error"
    rule = "a number where residuals are smaller than what errors of the inputs contribute"
    refuse("target_error", rule, f"None, with {got}", fix=fix)


def balance(
    model: Relaxation, x: Array, y: Any, loss: Distance, errors: tuple[float, ...]
) -> tuple[Distance, float]:
    """Weights of the loss and strength of the penalty that weigh targets against inputs.

    Parameters
    ----------
    model, x, y, loss
        As for :func:`find_target_errors`.
    errors : tuple of float
        tau_k, per layer with targets.

    Returns
    -------
    loss : Distance
        With weights w (tau / tau_k)^2, tau^2 the mean of tau_k^2; as given where these are equal.
    strength : float
        c tau^2 / n.
    """
    _, weights, _ = layer_terms(model, y, x, loss)
    squares = np.square(errors)
    mean = float(squares.mean())
    counted = weights > 0.0
    level = float(weights.sum(dtype=np.float64)) / max(int(np.count_nonzero(counted)), 1)
    strength = level * mean / len(weights)
    if np.all(squares == squares[0]):
        return loss, strength
    factors = (mean / squares).reshape(-1, *[1] * len(model.output_shape))
    scaled = np.asarray(weights * factors, model.dtype).reshape(np.shape(y))
    return loss.with_weights(scaled), strength


def parameter_scales(
    model: Relaxation, x: Array, y: Any, loss: Distance, strength: float
) -> NDArray[np.float64]:
    """Units of the parameters in which their curvatures are those of the deviations xi.

    Gauss-Newton: sqrt(2 strength / h) with h = 2/n sum w (dz/dp)^2 and the penalty's 2 strength.
    L-BFGS starts from a multiple of the unit matrix and takes hundreds of steps without.

    Parameters
    ----------
    model, x, y, loss
        As for :func:`find_target_errors`.
    strength : float
        Of the penalty.

    Returns
    -------
    ndarray of float64
        For all parameters, one array behind the other, omega or gamma last; 1 where nothing
        depends on one.
    """
    _, weights, at = layer_terms(model, y, x, loss)
    random = np.random.default_rng(0)

    def curvature(name: str, direction: Array) -> float:
        total = 0.0
        for k, layer in enumerate(at):
            tangent = model._until(layer).jvp(x, {name: direction}).astype(np.float64)
            total += float(np.sum(weights[:, k] * tangent.reshape(weights[:, k].shape) ** 2))
        return total / (len(weights) * strength)

    scales = []
    for name in model.params:
        shape = model.params[name].shape
        n = int(np.prod(shape))
        if n > MOST_ENTRIES:
            signs = random.choice(np.array([-1, 1], model.dtype), shape)
            found = np.full(n, curvature(name, signs) / n)
        else:
            units = np.eye(n, dtype=model.dtype).reshape(n, *shape)
            found = np.array([curvature(name, unit) for unit in units])
        scales.append(1.0 / np.sqrt(np.where(found > 0.0, found, 1.0)))
    if not model.trainable_omega:
        scales.append(np.ones(model._rate.size))
    return np.concatenate(scales)
