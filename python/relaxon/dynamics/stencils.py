"""The weights of stencils without boundaries: what a row of W looks like inside the grid."""

from __future__ import annotations

import functools
import itertools
from typing import Any

from numpy.typing import NDArray

from ..model.lattice import Lattice, numerical_diffusion
from ..operators import ADR, Operator

__all__ = ["Arms", "stencil_arms"]

Array = NDArray[Any]
# Offset of an arm along every axis, and its weight per layer and cell.
Arms = list[tuple[tuple[int, ...], Array]]


@functools.singledispatch
def stencil_arms(operator: Operator, lattice: Lattice) -> Arms | None:
    """Offsets and weights of all arms; None for operators that are no stencil.

    Parameters
    ----------
    operator : Operator
        That of the lattice.
    lattice : Lattice
        Coefficients of a model.

    Returns
    -------
    list of (tuple of int, ndarray) or None
        Weights broadcast to (layers, cells along every axis).
    """
    weights = operator.line_weights(lattice.coefficient)
    if weights is None:
        return None
    reach = len(weights) // 2
    return [((j - reach,), weight) for j, weight in enumerate(weights)]


@stencil_arms.register
def _(operator: ADR, lattice: Lattice) -> Arms:
    ndim = operator.grid.ndim
    drift, spread = lattice.coefficient("U"), lattice.coefficient("D")
    diffusion = spread[operator.diagonal()]
    added = numerical_diffusion(lattice)
    if added is not None:
        diffusion = diffusion + added
    centre = 1.0 + lattice.coefficient("R") - 2.0 * diffusion.sum(axis=0)
    arms: Arms = [((0,) * ndim, centre)]
    for a, side in itertools.product(range(ndim), (-1, 1)):
        offset = tuple(side * int(b == a) for b in range(ndim))
        arms.append((offset, diffusion[a] - side * drift[a] / 2.0))
    mixed = itertools.combinations_with_replacement(range(ndim), 2)
    for (a, b), value in zip(mixed, spread, strict=True):
        if a == b:
            continue
        for i, j in itertools.product((-1, 1), repeat=2):
            offset = tuple({a: i, b: j}.get(c, 0) for c in range(ndim))
            arms.append((offset, i * j * value / 2.0))
    return arms
