"""Gaps in the inputs: which targets they reach, and what stands in their place.

A target reads its input within a reach: the radius of the stencil at least; for a trained model the
way that drift and spreading go within its layers,

    sum_l omega_l u_l + sqrt(2 sum_l omega_l d_l)  cells,

rounded to whole cells and counted against the drift on the other side. Targets that read a gap say
little about the equation and much about what was put into the gap.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._core import slope_at_zero
from ..base.validate import check_state_shape, refuse
from ..domain.grid import Grid
from .lattice import Lattice, transport
from .network import Network

__all__ = [
    "Reach",
    "answer",
    "check_gaps",
    "fill_means",
    "find_gaps",
    "model_reach",
    "near_gaps",
    "stencil_reach",
]

Array = NDArray[Any]
# Cells read on the low and on the high side, per axis.
Reach = tuple[tuple[int, int], ...]


def find_gaps(model: Network, x: Any) -> NDArray[np.bool_] | None:
    """Where an existing cell has no value; None where all have one.

    Parameters
    ----------
    model : Network
        Its grid's mask says which cells exist.
    x : array
        Inputs, NaN where missing.

    Returns
    -------
    ndarray of bool or None
        Of x's shape.

    Raises
    ------
    ValueError
        If gaps are in an array of another shape.
    """
    array = np.asarray(x)
    if array.dtype.kind != "f" or not np.isnan(array).any():
        return None
    check_state_shape("x", array, model.input_shape)
    is_missing = np.isnan(array)
    if model.lift is None and model.grid.mask is not None:
        is_missing &= model.grid.mask
    return is_missing if is_missing.any() else None


def check_gaps(model: Network, argument: str = "x") -> None:
    """Refuse gaps where every output depends on every input.

    Parameters
    ----------
    model : Network
        What the inputs are for.
    argument : str
        What the message calls them.

    Raises
    ------
    ValueError
        For a dense operator, an attractor, a lift or a readout.
    """
    for is_there, name in (
        (model.operator.reads_all, f"a {type(model.operator).__name__} operator"),
        (model.is_at_attractor, f"depth={model.depth!r}"),
        (model.lift is not None, "a lift"),
        (model.readout is not None, "a readout"),
    ):
        if is_there:
            fix = "fill them, or leave these samples out"
            refuse(argument, f"no gaps (NaN) with {name}, which reads all cells", "some", fix=fix)


def stencil_reach(model: Network) -> Reach:
    """The operator's radius on all sides."""
    radius = model.operator.reach
    assert radius is not None
    sides: Reach = ((radius, radius),) * model.grid.ndim
    return sides


def model_reach(model: Network) -> Reach:
    """How far the outputs of a model look, but no less than its stencil.

    Parameters
    ----------
    model : Network
        A trained model; where coefficients differ between cells, their medians count.

    Returns
    -------
    tuple of (int, int)
        Cells on the low and the high side of each axis; the whole grid for a dense operator and
        at the attractor.
    """
    if model.operator.reads_all or model.is_at_attractor:
        return tuple((n - 1, n - 1) for n in model.output_shape)
    sides: list[tuple[int, int]] = []
    for (low, high), moved, spread in zip(stencil_reach(model), *_travel(model), strict=True):
        # A drift towards the high side brings what was on the low one.
        sides.append((max(low, round(spread + moved)), max(high, round(spread - moved))))
    return tuple(sides)


def _travel(model: Network) -> tuple[list[float], list[float]]:
    """Cells that drift and spreading cover within all layers, per axis."""
    lattice, slope = Lattice(model), slope_at_zero(model.activation)
    read = transport(model.operator, lattice)
    if read is None:
        return [0.0] * model.grid.ndim, [0.0] * model.grid.ndim
    velocity, diffusion = read
    rate = slope * lattice.omega
    n_layers = model.n_layers // (1 if lattice.n_layers is None else lattice.n_layers)

    def total(values: Array) -> float:
        fields = n_layers * np.sum(rate * values, axis=0)
        exists = model.grid.mask if fields.shape == model.grid.shape else None
        return float(np.median(fields if exists is None else fields[exists]))

    drift = [total(u) for u in velocity]
    return drift, [math.sqrt(2.0 * max(total(d), 0.0)) for d in diffusion]


def fill_means(x: Array, gaps: NDArray[np.bool_], grid: Grid) -> Array:
    """Fields with the mean of their own values in their gaps: each time stands for itself.

    Parameters
    ----------
    x : ndarray, shape (..., *grid.shape)
        Fields.
    gaps : ndarray of bool
        Of x's shape.
    grid : Grid
        Which cells exist.

    Returns
    -------
    ndarray
        A copy of x; fields without any value become 0.
    """
    is_known = ~gaps if grid.mask is None else ~gaps & grid.mask
    axes = tuple(range(x.ndim - grid.ndim, x.ndim))
    sums = np.sum(x, axis=axes, where=is_known, keepdims=True, dtype=np.float64)
    means = sums / np.maximum(is_known.sum(axis=axes, keepdims=True), 1)
    return np.where(gaps, means.astype(x.dtype), x)


def answer(
    model: Network, x: Array, reach: Reach | None = None, threads: int | None = None
) -> Array:
    """Outputs of a model for inputs with gaps.

    Parameters
    ----------
    model : Network
        A model from fields to fields.
    x : ndarray
        Inputs, NaN where missing.
    reach : tuple of (int, int), optional
        How far outputs look; default that of the model.
    threads : int, optional
        As for a call of the model.

    Returns
    -------
    ndarray
        NaN within reach of a gap.
    """
    gaps = find_gaps(model, x)
    if gaps is None:
        return model(x, threads=threads)
    y = model(fill_means(x, gaps, model.grid), threads=threads)
    is_open = near_gaps(gaps, reach or model_reach(model), model.grid)
    if model.grid.mask is not None:
        is_open &= model.grid.mask
    y[is_open] = np.nan
    return y


def near_gaps(gaps: NDArray[np.bool_], reach: Reach, grid: Grid) -> NDArray[np.bool_]:
    """Which cells have a gap within reach.

    Parameters
    ----------
    gaps : ndarray of bool, shape (..., *grid.shape)
        True where there is one.
    reach : tuple of (int, int)
        Cells on the low and the high side of each axis.
    grid : Grid
        Periodic axes go round.

    Returns
    -------
    ndarray of bool
        Of the shape of `gaps`; gaps themselves are True.
    """
    near = gaps
    for axis, ((low, high), ends) in enumerate(zip(reach, grid.boundary, strict=True)):
        where = gaps.ndim - grid.ndim + axis
        is_ring = ends == ("periodic", "periodic")
        widened = near.copy()
        n = near.shape[where]
        for shift in range(-min(high, n - 1), min(low, n - 1) + 1):
            if not shift:
                continue
            if is_ring:
                widened |= np.roll(near, shift, where)
                continue
            to, source = (_slice(near.ndim, where, shift), _slice(near.ndim, where, -shift))
            widened[to] |= near[source]
        near = widened
    return near


def _slice(ndim: int, axis: int, shift: int) -> tuple[slice, ...]:
    """What an array shifted along an axis covers of its old place."""
    chosen: list[slice] = [slice(None)] * ndim
    chosen[axis] = slice(shift, None) if shift > 0 else slice(None, shift)
    return tuple(chosen)
