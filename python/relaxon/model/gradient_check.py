"""A test of a gradient that anybody can run on their own model."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ..base.validate import check_instance, check_integer
from .losses import Distance, SquaredDistance
from .relaxation import Relaxation

__all__ = ["GradientCheck", "check_gradient"]

# Steps h = 2^-k of the Taylor test: large enough for the remainder to stand above rounding.
EXPONENTS = {np.dtype(np.float64): range(6, 15), np.dtype(np.float32): range(1, 6)}


@dataclasses.dataclass(frozen=True)
class GradientCheck:
    """Result of :func:`check_gradient`.

    Attributes
    ----------
    order : float
        Measured order of the Taylor remainder; 2 for an exact gradient (1 for a wrong one). NaN
        where a remainder is 0: the loss does not bend along the direction.
    error : float
        Relative distance of the directional derivative from a Richardson-extrapolated central
        difference.
    steps, remainders : array
        The steps h and |F(p + h d) - F(p) - h F'(p) d|.
    """

    order: float
    error: float
    steps: NDArray[np.float64]
    remainders: NDArray[np.float64]


def check_gradient(
    model: Relaxation,
    x: NDArray[np.floating],
    y: NDArray[np.floating],
    loss: Distance = SquaredDistance(),  # noqa: B008 (immutable)
    seed: int = 0,
) -> GradientCheck:
    """Compare the gradient with the loss itself along a random direction.

    The direction takes in all parameters and the input, each scaled to its own size. For an exact
    gradient the remainder of the first-order Taylor expansion falls with the square of the step.

    Parameters
    ----------
    model : Relaxation
        The model; kinks of its activation spoil the order where they are crossed.
    x, y, loss
        As in :meth:`Relaxation.loss`.
    seed : int, default 0
        Of the direction.

    Returns
    -------
    GradientCheck
        Measured order and error.

    Raises
    ------
    TypeError, ValueError
        As :meth:`Relaxation.value_and_grad`.

    Notes
    -----
    One gradient and about twenty losses; a float32 model is measured in float32, where only few
    steps lie above rounding.

    Examples
    --------
    >>> import numpy as np, relaxon as rx
    >>> model = rx.Relaxation(rx.ADR(rx.Grid((32,)), space="local"), depth=5)
    >>> x = np.random.default_rng(0).standard_normal((3, 32))
    >>> round(rx.check_gradient(model, x, np.zeros_like(x)).order, 1)
    2.0
    """
    check_instance("model", model, Relaxation)
    rng = np.random.default_rng(check_integer("seed", seed, 0))
    value, grads = model.value_and_grad(x, y, loss, input_grad=True)
    points = {**model.params, "x": np.asarray(x)}
    direction = {name: _direction(rng, point) for name, point in points.items()}
    slope = sum(
        float(np.sum(grads[name].astype(np.float64) * direction[name])) for name in direction
    )

    def moved(h: float) -> float:
        at = {
            name: np.asarray(point + h * direction[name], model.dtype)
            for name, point in points.items()
        }
        return model.with_params({k: v for k, v in at.items() if k != "x"}).loss(at["x"], y, loss)

    steps = np.array([2.0**-k for k in EXPONENTS[model.dtype]])
    remainders = np.array([abs(moved(h) - value - h * slope) for h in steps])
    order = np.nan
    if remainders.all():
        order = float(np.median(np.diff(np.log2(remainders)) / np.diff(np.log2(steps))))
    h = float(steps[len(steps) // 2])
    coarse, fine = ((moved(s) - moved(-s)) / (2 * s) for s in (h, h / 2))
    central = (4 * fine - coarse) / 3
    scale = max(abs(central), abs(slope), np.finfo(np.float64).tiny)
    return GradientCheck(order, float(abs(central - slope) / scale), steps, remainders)


def _direction(rng: np.random.Generator, point: NDArray[np.floating]) -> NDArray[np.float64]:
    values = np.where(np.isfinite(point), point, 0.0).astype(np.float64)
    size = float(np.sqrt(np.mean(values**2))) or 1.0
    return rng.standard_normal(point.shape) * 0.1 * size
