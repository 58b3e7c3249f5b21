"""Advection, diffusion and reaction."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .operator import SPACES, TIMES, Operator, setting
from .parameters import Component

__all__ = ["ADR"]

SCHEMES = ("central", "upwind", "lax-wendroff")
START_DIFFUSIVITY = 0.1
Array = NDArray[Any]


@dataclasses.dataclass(frozen=True, eq=False)
class ADR(Operator):
    """Advection, diffusion and reaction: three kinds of numbers instead of a matrix.

    W = I + A with A z = R z - sum_a U_a d_a z + sum_ab D_ab d_a d_b z, in central differences of
    second order on the lattice (spacing 1). U_a > 0 carries the signal towards +q_a.

    Parameters
    ----------
    grid : Grid
        One to three dimensions.
    space : {"homogeneous", "local"}, default "homogeneous"
        One value for all cells, or one per cell.
    time : {"constant", "layered"}, default "constant"
        One set for all layers, or one per layer. In one dimension the four combinations hold 3,
        3 N, 3 L and 3 N L numbers.
    scheme : {"central", "upwind", "lax-wendroff"}, default "central"
        Diffusion added on the diagonal: none, |u_a| / 2, or omega u_a^2 / 2 with the omega of that
        layer and cell.

    Raises
    ------
    TypeError, ValueError
        If the grid is none, or a name is misspelt.

    Notes
    -----
    Parameters, with lead = (depth,) if layered and cells = grid.shape if local: ``R`` lead + cells;
    ``U`` lead + (ndim,) + cells; ``D`` lead + (ndim (ndim + 1) / 2,) + cells, the upper triangle in
    row order (xx, xy, yy); a mixed entry counts twice. 3, 9 or 19 stencil arms, so 6, 18 or 38
    flops per cell.

    References
    ----------
    S. Succi, MEMOCS 13 (2025) 275-286, sec. 7. P. Lax, B. Wendroff, CPAM 13 (1960) 217-237.

    Examples
    --------
    >>> import relaxon as rx
    >>> op = rx.ADR(rx.Grid((18, 432)), space="local")
    >>> op.parameter_shapes(depth=10)
    {'R': (18, 432), 'U': (2, 18, 432), 'D': (3, 18, 432)}
    """

    space: str = setting(SPACES, "homogeneous")  # type: ignore[misc]
    time: str = setting(TIMES, "constant")
    scheme: str = setting(SCHEMES, "central")

    has_derivatives = True

    @property
    def uses_omega(self) -> bool:
        """Whether numerical diffusion follows the relaxation rate."""
        return self.scheme == "lax-wendroff"

    def _make_core(self) -> _core.Operator:
        return _core.adr(self.scheme, self.is_local, self.is_layered)

    def components(self) -> dict[str, tuple[Component, ...]]:
        """Of the derivatives of order 0, 1 and 2; a little diffusion along every axis."""
        names = self.grid.names
        axes = range(self.grid.ndim)
        return {
            "R": (Component("R", ()),),
            "U": tuple(Component(f"U along {names[a]}", (a,)) for a in axes),
            "D": tuple(
                Component(f"D along {names[a]}", (a, a), START_DIFFUSIVITY)
                if a == b
                else Component(f"D along {names[a]} and {names[b]}", (a, b))
                for a, b in itertools.combinations_with_replacement(axes, 2)
            ),
        }

    def diagonal(self) -> list[int]:
        """The components of D that belong to one axis each."""
        ndim = self.grid.ndim
        return [a * ndim - a * (a - 1) // 2 for a in range(ndim)]

    @staticmethod
    def from_paper(A: ArrayLike, C: ArrayLike, B: ArrayLike) -> dict[str, Array]:
        """Parameters of a 1-D operator from the weights printed in the paper.

        u = A - B, d = (A + B) / 2, R = A + B + C - 1, where A, C, B weigh z_{i-1}, z_i, z_{i+1}.

        Parameters
        ----------
        A, C, B : array_like, shape () or (N,)
            Weights, one set or one per cell.

        Returns
        -------
        dict of str to array of float64
            "R" shape () or (N,), "U" and "D" with one component in front.

        References
        ----------
        S. Succi, MEMOCS 13 (2025) 275-286, sec. 7; the printed A and B are those of -U.

        Examples
        --------
        >>> import relaxon as rx
        >>> params = rx.ADR.from_paper(A=0.5, C=0.5, B=0.25)
        >>> rx.ADR(rx.Grid((5,))).to_dense(params)[2]
        array([0.  , 0.5 , 0.5 , 0.25, 0.  ])
        """
        low, centre, high = np.broadcast_arrays(*(np.asarray(w, np.float64) for w in (A, C, B)))
        return {
            "R": low + high + centre - 1.0,
            "U": (low - high)[np.newaxis],
            "D": ((low + high) / 2.0)[np.newaxis],
        }
