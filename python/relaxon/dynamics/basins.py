"""Which attractors a set of starts leads to, and how many of them each."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.validate import check_instance, refuse
from ..model.relaxation import Relaxation
from .attractor import AttractorStatus, _check_states, _settings, attractor

__all__ = ["Attractors", "attractors"]

Array = NDArray[Any]

# Residual at which layers hand over to Newton's method.
NEAR = 1e-3
# Where Newton's end is unstable, or far away, they go on to this.
NEARER = 1e-9
STRAYING = 0.1
# Relative distance of states that are the same attractor; in tolerances, where that is more.
SAME = 1e-6
SAME_TOLERANCES = 100.0


@dataclass(frozen=True, eq=False)
class Attractors:
    """The distinct attractors that a set of starts leads to.

    Attributes
    ----------
    z : ndarray, shape (n, *grid.shape)
        The attractors, the largest share first.
    share : ndarray of float64, shape (n,)
        Part of the starts that lead to each.
    index : ndarray of int64, shape (batch,)
        Number of the attractor that a start leads to; -1: none within the layers allowed.
    n_lost : int
        Starts that lead nowhere.

    Examples
    --------
    >>> import numpy as np, relaxon as rx
    >>> op = rx.ADR(rx.Grid((1,)))
    >>> model = rx.Relaxation(op, depth=1, activation="square", omega=0.5)
    >>> still = {"R": np.array(0.0), "U": np.zeros(1), "D": np.zeros(1)}
    >>> found = rx.attractors(model.with_params(still), np.linspace(-1.9, 0.9, 20)[:, np.newaxis])
    >>> abs(found.z) < 1e-9, found.share
    (array([[ True]]), array([1.]))
    """

    z: Array
    share: NDArray[np.float64]
    index: NDArray[np.int64]

    @property
    def n_lost(self) -> int:
        """Starts that lead nowhere."""
        return int(np.count_nonzero(self.index < 0))


def attractors(
    model: Relaxation,
    starts: Array,
    tol: float | None = None,
    max_iterations: int | None = None,
    threads: int | None = None,
) -> Attractors:
    """The attractors that the layers lead to from a set of starts, and the share of each.

    Parameters
    ----------
    model : Relaxation
        As for :func:`attractor`, explicit and without drive.
    starts : array of the model's type, shape (batch, *grid.shape)
        States.
    tol, threads
        As for :func:`attractor`.
    max_iterations : int, optional
        Layers from a start until the residual is below 1e-3; default 100 000.

    Returns
    -------
    Attractors
        Distinct ones, further apart than 1e-6 max(1, max |z|), or 100 tol in the place of 1e-6
        where that is more, as it is in float32.

    Raises
    ------
    TypeError, ValueError
        As :func:`attractor`.

    Notes
    -----
    Every start is followed by the layers, which stay in its basin, until the residual is below
    1e-3; Newton's method goes on from there. What it finds counts where it is stable and the layers
    had come near it: no share is that of an unstable state.

    References
    ----------
    S. Succi, MEMOCS 13 (2025) 275-286, sec. 4.

    Examples
    --------
    >>> import numpy as np, relaxon as rx
    >>> model = rx.Relaxation(rx.ADR(rx.Grid((8,))), depth=3, activation="tanh")
    >>> params = {"R": np.array(1.0), "U": np.zeros(1), "D": np.full(1, 0.1)}
    >>> starts = np.linspace(-1.0, 0.6, 16)[:, np.newaxis] * np.ones(8)
    >>> found = rx.attractors(model.with_params(params), starts)
    >>> found.z[:, 0].round(4), found.share
    (array([-0.9575,  0.9575]), array([0.625, 0.375]))
    """
    check_instance("model", model, Relaxation)
    if model.drive:
        refuse("model", "one without drive, whose attractor the input chooses", "drive=True")
    if model.theta:
        fix = "a model with theta=0 has the same attractors"
        refuse("model", "one of explicit layers", f"theta={model.theta:g}", fix=fix)
    starts = _check_states("starts", starts, model)
    if np.ndim(starts) != model.grid.ndim + 1:
        rule = f"a batch of states, (batch, {', '.join(map(str, model.grid.shape))})"
        refuse("starts", rule, np.shape(starts))
    same = max(SAME, SAME_TOLERANCES * _settings(model, None, tol, None).tolerance(model.dtype))
    index = np.full(len(starts), -1, np.int64)
    states, pending = starts, np.arange(len(starts))
    found: list[Array] = []
    stable: list[bool] = []
    for nearness in (NEAR, NEARER):
        near = attractor(model, states, None, "relaxation", nearness, max_iterations, threads)
        came = near.status == AttractorStatus.CONVERGED
        states, pending = near.z[came], pending[came]
        if len(pending) == 0:
            break
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of unstable ones, which do not count
            end = attractor(model, states, method="newton", tol=tol, threads=threads)
        sizes = np.maximum(1.0, _largest(end.z))
        is_end = (end.status == AttractorStatus.CONVERGED) & (
            _largest(end.z - states) <= STRAYING * sizes
        )
        for sample in np.flatnonzero(is_end):
            z = end.z[sample]
            place = _place_of(z, found, same * float(sizes[sample]))
            if place == len(found):
                found.append(z)
                stable.append(bool(_is_stable(model, z)))
            if stable[place]:
                index[pending[sample]] = place
        waits = index[pending] < 0
        states, pending = states[waits], pending[waits]
        if len(pending) == 0:
            break
    return _counted(model, found, index)


def _largest(states: Array) -> NDArray[np.float64]:
    """Largest |z| of every sample."""
    sizes: NDArray[np.float64] = np.abs(states).reshape(len(states), -1).max(axis=1)
    return sizes


def _place_of(z: Array, found: list[Array], distance: float) -> int:
    """Number of the attractor that z is; one behind the last where it is a new one."""
    for place, known in enumerate(found):
        if np.abs(z - known).max() <= distance:
            return place
    return len(found)


def _is_stable(model: Relaxation, z: Array) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return bool(attractor(model, z, method="newton").is_stable)


def _counted(model: Relaxation, found: list[Array], index: NDArray[np.int64]) -> Attractors:
    """Without those that nothing leads to, the largest share first."""
    counts = np.bincount(index[index >= 0], minlength=len(found))
    order = [int(place) for place in np.argsort(-counts, kind="stable") if counts[place]]
    numbers = np.full(len(found) + 1, -1, np.int64)
    numbers[order] = np.arange(len(order))
    z = np.stack([found[place] for place in order]) if order else np.empty((0, *model.grid.shape))
    return Attractors(
        z=z.astype(model.dtype, copy=False),
        share=counts[order] / len(index),
        index=numbers[index],
    )
