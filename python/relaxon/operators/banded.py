"""Free stencils."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..base.validate import check_integer
from .operator import SPACES, TIMES, Operator, check_line, setting
from .parameters import Component

__all__ = ["Banded"]

MOST_RADIUS = 2**30 - 1


@dataclasses.dataclass(frozen=True, eq=False)
class Banded(Operator):
    """A free 1-D stencil: the weights of the offsets -radius..radius themselves.

    ``Banded(radius=r)`` and ``Moments(order=2 r)`` are two coordinates of one space.

    Parameters
    ----------
    grid : Grid
        One dimension.
    radius : int, from 1 to 2^30 - 1
        Reach of the stencil.
    space, time : str
        As in :class:`ADR`.

    Raises
    ------
    TypeError, ValueError
        If the grid is not 1-D, the radius out of range, or a name misspelt.

    Notes
    -----
    Parameter ``weights``: lead + (2 radius + 1,) + cells, initially the identity.

    Examples
    --------
    >>> import relaxon as rx
    >>> rx.Banded(rx.Grid((64,)), radius=2, space="local").n_parameters(depth=3)
    320
    """

    radius: int = setting(int)
    space: str = setting(SPACES, "homogeneous")  # type: ignore[misc]
    time: str = setting(TIMES, "constant")

    most_dimensions = 1

    @property
    def reach(self) -> int:
        """The radius of the stencil."""
        return self.radius

    def _check(self) -> None:
        check_integer("radius", self.radius, 1, MOST_RADIUS)
        check_line(self.grid, self.radius)

    def _make_core(self) -> _core.Operator:
        return _core.banded(self.radius, self.is_local, self.is_layered)

    def components(self) -> dict[str, tuple[Component, ...]]:
        """One weight per offset, free; initially the identity."""
        offsets = range(-self.radius, self.radius + 1)
        return {"weights": tuple(Component(f"weight {k:+d}", start=float(k == 0)) for k in offsets)}

    def line_moments(self, coefficient: Callable[[str], NDArray[Any]]) -> list[NDArray[Any]]:
        """W_k = sum_j j^k w_j, as many as there are weights."""
        weights = coefficient("weights")
        offsets = np.arange(-self.radius, self.radius + 1, dtype=np.float64)
        return [np.tensordot(offsets**k, weights, axes=1) for k in range(len(weights))]

    def line_weights(self, coefficient: Callable[[str], NDArray[Any]]) -> list[NDArray[Any]]:
        """They are the parameter."""
        return list(coefficient("weights"))
