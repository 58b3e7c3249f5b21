"""Free matrices."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .operator import NOISE, TIMES, Operator, setting
from .parameters import Parameter

__all__ = ["Dense"]


@dataclasses.dataclass(frozen=True, eq=False)
class Dense(Operator):
    """A free matrix: every cell sees every other, as in a plain network.

    Parameters
    ----------
    grid : Grid
        One to three dimensions; its boundary is ignored, masked rows and columns are not read.
    time : {"constant", "layered"}, default "constant"
        One matrix for all layers, or one per layer.

    Raises
    ------
    TypeError, ValueError
        If the grid is none, or a name is misspelt.

    Notes
    -----
    Parameter ``W``: lead + (N, N), cells in C order, initially the identity.

    Examples
    --------
    >>> import relaxon as rx
    >>> rx.Dense(rx.Grid((18, 432))).n_parameters(depth=10)
    60466176
    """

    time: str = setting(TIMES, "constant")

    reads_all = True

    @property
    def noise(self) -> float:
        """Less where more cells add up."""
        return float(NOISE / np.sqrt(math.prod(self.grid.shape)))

    def _make_core(self) -> _core.Operator:
        return _core.dense(self.is_layered)

    def start(self, parameter: Parameter) -> NDArray[np.float64]:
        """The identity."""
        return np.eye(parameter.shape[-1])
