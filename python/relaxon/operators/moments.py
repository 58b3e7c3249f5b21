"""Stencils in the coordinates of their moments."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..base.validate import check_integer
from ..domain.grid import Grid
from .operator import SPACES, TIMES, Operator, check_line, setting
from .parameters import Component

__all__ = ["Moments"]

MOST_ORDER = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Moments(Operator):
    """A 1-D stencil in the coordinates of its moments, W_k = sum_j j^k w_j.

    k = 0 is a rate, 1 a drift (W_1 = -U), 2 a diffusivity (W_2 = 2 D), 3 a dispersion, 4 a
    hyper-diffusion. The stencil has radius ceil(order / 2).

    Parameters
    ----------
    grid : Grid
        One dimension.
    order : int, 1 to 8
        Highest moment; for odd orders the next one of the full stencil is zero.
    space, time : str
        As in :class:`ADR`.

    Raises
    ------
    TypeError, ValueError
        If the grid is not 1-D, the order out of range, or a name misspelt.

    Notes
    -----
    Parameter ``moments``: lead + (order + 1,) + cells, lattice moments, initially (1, 0, ...). The
    map to weights is the exact rational inverse of the Vandermonde matrix.

    References
    ----------
    S. Succi, MEMOCS 13 (2025) 275-286, eqs. 15-17.

    Examples
    --------
    >>> import relaxon as rx
    >>> rx.Moments(rx.Grid((64,)), order=4).parameter_shapes(depth=3)
    {'moments': (5,)}
    """

    order: int = setting(int)
    space: str = setting(SPACES, "homogeneous")  # type: ignore[misc]
    time: str = setting(TIMES, "constant")

    most_dimensions = 1

    has_derivatives = True

    @property
    def reach(self) -> int:
        """The radius of the stencil."""
        return (self.order + 1) // 2

    def _check(self) -> None:
        check_integer("order", self.order, 1, MOST_ORDER)
        check_line(self.grid, self.reach)

    def _make_core(self) -> _core.Operator:
        return _core.moments(self.order, self.is_local, self.is_layered)

    def components(self) -> dict[str, tuple[Component, ...]]:
        """The k-th derivative for the moment k; initially the identity."""
        return {
            "moments": tuple(
                Component(f"moment {k}", (0,) * k, float(k == 0)) for k in range(self.order + 1)
            )
        }

    def line_moments(self, coefficient: Callable[[str], NDArray[Any]]) -> list[NDArray[Any]]:
        """They are the parameter."""
        return list(coefficient("moments"))

    def line_weights(self, coefficient: Callable[[str], NDArray[Any]]) -> list[NDArray[Any]]:
        """Those of a row of W, by the core's map from moments."""
        ring = Grid((2 * self.reach + 1,))
        alone = dataclasses.replace(self, grid=ring, space="homogeneous", time="constant")
        units = np.eye(self.order + 1)
        rows = [alone.to_dense({"moments": unit})[self.reach] for unit in units]
        return list(np.tensordot(np.stack(rows, axis=1), coefficient("moments"), axes=1))
