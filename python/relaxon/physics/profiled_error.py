"""Scores and Hessian of parameters when unknown inputs have been found beside them.

With the unknowns at their best for given parameters, xi(p), each sample n has a profiled loss

    phi_n(p) = sum_k w r^2 / strength + xi^2,

whose score is the partial derivative g_n = sum_k w r dz/dp / strength at xi(p), and whose Hessian
is the derivative of g_n along p with xi following. Both enter the sandwich of `standard_error`.
Errors that were stated larger than residuals show them count as stated: no variance is smaller than
that of the inverse Hessian in these units.

xi(p) comes from Gauss-Newton steps; each solves (1 + L^T J^T w J L / strength) d = - gradient by
conjugate gradients, J by tangent and adjoint sweeps and never as a matrix, L from deviations to
inputs. Samples are independent of each other, so that each has step lengths of its own.

References: S. A. Murphy, A. W. van der Vaart, J. Am. Stat. Assoc. 95 (2000) 449-465;
M. R. Hestenes, E. Stiefel, J. Res. NBS 49 (1952) 409-436.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.validate import refuse
from ..inputs.input_errors import InputErrors, layer_terms
from ..model.losses import Distance
from ..model.relaxation import Relaxation

__all__ = ["profile"]

Field = NDArray[np.float64]
Array = NDArray[Any]

MOST_ITERATIONS = 1000  # of conjugate gradients
CG_TOLERANCE = 1e-10
MOST_NEWTON_STEPS = 30
NEWTON_TOLERANCE = 1e-8
# Step of the derivative of scores, in the parameter's standard deviation with inputs known.
STEP = 0.05


def profile(
    model: Relaxation,
    y: Array,
    loss: Distance,
    errors: InputErrors,
    threads: int | None,
) -> tuple[Field, Field, NDArray[np.bool_], int]:
    """Hessian and score of every sample.

    Parameters
    ----------
    model : Relaxation
        At the minimum.
    y : array
        Targets.
    loss : SquaredDistance
        As it was balanced against the inputs.
    errors : InputErrors
        The unknowns.
    threads : int, optional
        As for a call of the model.

    Returns
    -------
    hessians, scores : ndarray of float64, shapes (n, p, p) and (n, p)
        Of phi / 2.
    is_counted : ndarray of bool, shape (n,)
        Samples that have a weight above 0.
    n_values : int
        Weights above 0.

    Notes
    -----
    2 p + 1 solutions for the unknowns and as many tangent sweeps per parameter.
    """
    sample = _Samples(model, y, loss, errors, threads)
    start = np.concatenate([array.ravel() for array in sample.params.values()])
    deviations = sample.solve(start, np.zeros(errors.x.shape))
    scores = sample.scores(start, deviations)
    steps = STEP / np.sqrt(np.maximum(sample.curvature(start, deviations), 1e-300))
    columns = []
    for k, step in enumerate(steps):
        if not np.isfinite(step) or step > 1e100:
            columns.append(np.zeros_like(scores))
            continue
        sides = []
        for sign in (1.0, -1.0):
            moved = start.copy()
            moved[k] += sign * step
            sides.append(sample.scores(moved, sample.solve(moved, deviations)))
        columns.append((sides[0] - sides[1]) / (2.0 * step))
    hessians: Field = np.stack(columns, axis=-1)
    hessians = 0.5 * (hessians + hessians.transpose(0, 2, 1))
    counted: NDArray[np.bool_] = sample.weights > 0.0
    return (
        hessians,
        scores,
        np.asarray(counted.reshape(len(counted), -1).any(axis=1)),
        int(np.count_nonzero(counted)),
    )


class _Samples:
    """All samples in double precision: states, tangents and adjoints at the layers with targets."""

    def __init__(
        self,
        model: Relaxation,
        y: Array,
        loss: Distance,
        errors: InputErrors,
        threads: int | None,
    ) -> None:
        target, weights, self._at = layer_terms(model, y, errors.x, loss)
        self._target = target.astype(np.float64)
        self.weights = weights.astype(np.float64) / (errors.strength * len(weights))
        self._target = np.where(self.weights > 0.0, self._target, 0.0)
        self._errors = errors.astype(np.float64)
        self._model = model.astype("float64")
        self.params = dict(self._model.params)
        self._threads = threads

    def _networks(self, flat: Field) -> list[Relaxation]:
        params, begin = {}, 0
        for name, array in self.params.items():
            params[name] = flat[begin : begin + array.size].reshape(array.shape)
            begin += array.size
        model = self._model.with_params(params)
        return [model._until(layer) for layer in self._at]

    def _states(self, networks: list[Relaxation], x: Field) -> Field:
        return np.stack([n(x, threads=self._threads) for n in networks], axis=1)

    def _residual(self, networks: list[Relaxation], x: Field) -> Field:
        states = self._states(networks, x)
        if not np.isfinite(states).all():
            refuse("data", "inputs that the model answers with finite numbers", "an overflow")
        return np.where(self.weights > 0.0, states - self._target, 0.0)

    def _tangent(self, networks: list[Relaxation], x: Field, x_dot: Field) -> Field:
        return np.stack([n.jvp(x, {}, x_dot, self._threads) for n in networks], axis=1)

    def _adjoint(self, networks: list[Relaxation], x: Field, bars: Field) -> Field:
        total = np.zeros_like(x)
        for k, network in enumerate(networks):
            bar = np.ascontiguousarray(bars[:, k])
            total += network.vjp(x, bar, threads=self._threads)["x"]
        return total

    def _parameter_tangents(self, networks: list[Relaxation], x: Field) -> list[Field]:
        tangents = []
        for name, array in self.params.items():
            for index in np.ndindex(array.shape):
                unit = np.zeros(array.shape)
                unit[index] = 1.0
                dots = np.zeros(self.weights.shape)
                for k, network in enumerate(networks):
                    dots[:, k] = network.jvp(x, {name: unit}, threads=self._threads)
                tangents.append(dots)
        return tangents

    def _inputs(self, deviations: Field) -> Field:
        return self._errors.x + self._errors.move(deviations)

    def scores(self, flat: Field, deviations: Field) -> Field:
        """Of each sample: sum w r dz/dp."""
        networks, x = self._networks(flat), self._inputs(deviations)
        weighted = self.weights * self._residual(networks, x)
        tangents = self._parameter_tangents(networks, x)
        return np.stack([_inner(weighted, dot) for dot in tangents], axis=1)

    def curvature(self, flat: Field, deviations: Field) -> Field:
        """Gauss-Newton, with the inputs as they are: sum w (dz/dp)^2 over samples."""
        networks, x = self._networks(flat), self._inputs(deviations)
        tangents = self._parameter_tangents(networks, x)
        return np.array([np.sum(self.weights * dot**2) for dot in tangents])

    def solve(self, flat: Field, deviations: Field) -> Field:
        """The unknowns that lower phi at these parameters."""
        networks = self._networks(flat)
        for _ in range(MOST_NEWTON_STEPS):
            x = self._inputs(deviations)
            weighted = self.weights * self._residual(networks, x)
            gradient = self._errors.pull(self._adjoint(networks, x, weighted)) + deviations

            def product(d: Field, x: Field = x) -> Field:
                dots = self._tangent(networks, x, self._errors.move(d))
                return self._errors.pull(self._adjoint(networks, x, self.weights * dots)) + d

            step = _conjugate_gradients(product, -gradient)
            deviations = deviations + step
            size = np.sqrt(_inner(step, step).max())
            if size <= NEWTON_TOLERANCE * (1.0 + np.sqrt(_inner(deviations, deviations).max())):
                break
            model = self._model
            if model.activation == "identity" and not model.beta and not model.normalization:
                break
        return deviations


def _inner(a: Field, b: Field) -> Field:
    """Inner products per sample."""
    return np.asarray(np.einsum("nk,nk->n", a.reshape(len(a), -1), b.reshape(len(b), -1)))


def _conjugate_gradients(product: Callable[[Field], Field], right: Field) -> Field:
    """Solve for all samples at once, each with its own step lengths."""
    wide = (-1, *[1] * (right.ndim - 1))
    found, residual = np.zeros_like(right), right.copy()
    direction, square = right.copy(), _inner(right, right)
    goal = CG_TOLERANCE**2 * square
    for _ in range(MOST_ITERATIONS):
        if (square <= goal).all():
            break
        image = product(direction)
        curvature = _inner(direction, image)
        length = np.divide(square, curvature, out=np.zeros_like(square), where=curvature > 0.0)
        found += length.reshape(wide) * direction
        residual -= length.reshape(wide) * image
        after = _inner(residual, residual)
        ratio = np.divide(after, square, out=np.zeros_like(square), where=square > 0.0)
        direction = residual + ratio.reshape(wide) * direction
        square = after
    return found
