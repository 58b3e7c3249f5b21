"""Operators W: what the trained numbers of a layer mean."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from ._validate import (
    check_array,
    check_choice,
    check_finite,
    check_instance,
    check_integer,
    check_shape,
    check_states,
    refuse,
    useful_threads,
)
from .grid import Dirichlet, Grid

__all__ = ["ADR", "Banded", "Dense", "Moments"]

SPACES = ("homogeneous", "local")
TIMES = ("constant", "layered")
START_DIFFUSIVITY = 0.1
MOST_LAYERS = 2**31 - 1
MOST_RADIUS = 2**30 - 1
SCHEMES = ("central", "upwind", "lax-wendroff")
Array = NDArray[Any]


def check_depth(value: object) -> int:
    """A number of layers that schedules can count."""
    return check_integer("depth", value, 1, MOST_LAYERS)


@dataclasses.dataclass(frozen=True)
class Operator:
    """What all operators share: a grid, parameter arrays, and W as a function and as a matrix."""

    grid: Grid

    _kind: ClassVar[str]
    space: ClassVar[str] = "homogeneous"

    def __post_init__(self) -> None:
        check_instance("grid", self.grid, Grid)
        for name, choices in (("space", SPACES), ("time", TIMES), ("scheme", SCHEMES)):
            if hasattr(self, name):
                check_choice(name, getattr(self, name), choices)
        self._check()

    def _check(self) -> None:
        """Rules of one kind of operator."""

    @property
    def is_local(self) -> bool:
        """Whether every cell has its own coefficients."""
        return self.space == "local"

    @property
    def is_layered(self) -> bool:
        """Whether every layer has its own coefficients."""
        return getattr(self, "time", "constant") == "layered"

    @property
    def _order(self) -> int:
        return 0

    def _components(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters of one layer and one cell, by name."""
        raise NotImplementedError

    def _row_length(self) -> int:
        """Entries in a row of W, about: for estimates of work."""
        return 2 * self.grid.ndim + 1

    def start_values(self, name: str) -> dict[int, float]:
        """What the components of a parameter start from where that is not zero."""
        return {}

    def derivatives(self) -> dict[str, list[tuple[int, ...]]]:
        """The axes along which each component of a parameter differentiates, by name.

        Empty where entries are free and belong to no derivative.
        """
        return {}

    def _core_network(
        self, depth: int, omega: str, dtype: np.dtype[Any], **options: Any
    ) -> _core.Network:
        """The core's network of this operator; without options one that only applies it."""
        settings: dict[str, Any] = {"activation": "identity", "bias": "none", "beta": 0.0}
        settings |= {end: _core.End(0, "identity") for end in ("lift", "readout")} | options
        return _core.Network(
            grid=self.grid._core_grid,
            op=self._kind,
            scheme=getattr(self, "scheme", "central"),
            order=self._order,
            is_local=self.is_local,
            is_layered=self.is_layered,
            depth=depth,
            omega=omega,
            is_double=dtype == np.float64,
            **settings,
        )

    def parameter_shapes(self, depth: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the trained arrays, by name.

        Parameters
        ----------
        depth : int
            Number of layers; it matters for layered coefficients.

        Returns
        -------
        dict of str to tuple of int
            lead + components + cells: lead is (depth,) if layered, cells the grid's shape if local.

        Raises
        ------
        TypeError, ValueError
            If the depth is no integer from 1 to 2^31 - 1.

        Examples
        --------
        >>> import relaxon as rx
        >>> rx.Dense(rx.Grid((8,)), time="layered").parameter_shapes(depth=3)
        {'W': (3, 8, 8)}
        """
        n_layers = check_depth(depth)
        lead = (n_layers,) if self.is_layered else ()
        cells = self.grid.shape if self.is_local else ()
        return {name: (*lead, *shape, *cells) for name, shape in self._components().items()}

    def n_parameters(self, depth: int) -> int:
        """Number of trained coefficients, those of existing cells only.

        Parameters
        ----------
        depth : int
            Number of layers.

        Returns
        -------
        int
            The count; arrays keep the full shape of the grid.

        Examples
        --------
        >>> import relaxon as rx
        >>> rx.ADR(rx.Grid((4,), mask=[True, True, False, True]), space="local").n_parameters(1)
        9
        """
        n = sum(math.prod(shape) for shape in self.parameter_shapes(depth).values())
        return n // math.prod(self.grid.shape) * self.grid.n_cells if self.is_local else n

    def apply(
        self,
        params: Mapping[str, ArrayLike],
        z: Array,
        layer: int = 0,
        omega: float | Array | None = None,
    ) -> Array:
        """W z, affine where Dirichlet values are not zero.

        Parameters
        ----------
        params : mapping of str to array
            The operator's arrays.
        z : array of float32 or float64, shape (batch, *grid.shape) or grid.shape
            States; masked cells are not read.
        layer : int, default 0
            Which set of layered coefficients.
        omega : float or array of grid.shape, optional
            Relaxation rate of the layer; the Lax-Wendroff scheme needs it.

        Returns
        -------
        array
            As `z`; zero on masked cells.

        Raises
        ------
        TypeError, ValueError
            If an array has another type or shape, or omega is missing.

        Examples
        --------
        >>> import numpy as np, relaxon as rx
        >>> op = rx.Banded(rx.Grid((4,)), radius=1)
        >>> op.apply({"weights": np.array([0.5, 0.0, 0.25])}, np.array([0.0, 1.0, 0.0, 0.0]))
        array([0.25, 0.  , 0.5 , 0.  ])
        """
        dtype = np.asarray(z).dtype
        if dtype not in (np.float32, np.float64):
            refuse("z", "an array of float32 or float64", str(dtype), TypeError)
        states = check_states("z", z, self.grid.shape, dtype)
        check_finite("z", states, self.grid.mask)
        depth, arrays = self._read_params(params, dtype)
        check_integer("layer", layer, 0, depth - 1 if self.is_layered else None)
        rate = self._read_omega(omega, dtype)
        network = self._core_network(depth, "cell" if rate.ndim else "scalar", dtype)
        out = np.empty_like(states)
        number = layer if self.is_layered else 0
        n_threads = useful_threads(states.size * self._row_length())
        network.apply([*arrays, rate], number, states, out, n_threads)
        return out

    def to_dense(
        self,
        params: Mapping[str, ArrayLike],
        layer: int = 0,
        omega: float | Array | None = None,
    ) -> Array:
        """W as a matrix: apply(z) = W z + apply(0).

        Parameters
        ----------
        params, layer, omega
            As in :meth:`apply`.

        Returns
        -------
        array, shape (N, N)
            N cells in C order; rows and columns of masked cells are zero.

        Notes
        -----
        N applications to unit vectors: N^2 numbers.

        Examples
        --------
        >>> import numpy as np, relaxon as rx
        >>> op = rx.Banded(rx.Grid((3,), boundary="neumann"), radius=1)
        >>> op.to_dense({"weights": np.array([0.25, 0.5, 0.25])})
        array([[0.75, 0.25, 0.  ],
               [0.25, 0.5 , 0.25],
               [0.  , 0.25, 0.75]])
        """
        dtypes = {np.asarray(value).dtype for value in params.values()}
        dtype = np.dtype(np.float32 if dtypes == {np.dtype(np.float32)} else np.float64)
        n = int(np.prod(self.grid.shape))
        unit = np.eye(n, dtype=dtype).reshape(n, *self.grid.shape)
        linear = dataclasses.replace(self, grid=_with_zero_values(self.grid))
        columns = linear.apply(params, unit, layer, omega).reshape(n, n)
        matrix: Array = columns.T.copy()
        return matrix

    def _read_params(
        self, params: Mapping[str, ArrayLike], dtype: np.dtype[Any]
    ) -> tuple[int, list[Array]]:
        names = list(self.parameter_shapes(1))
        check_names("params", params, names)
        depth = 1
        if self.is_layered:
            lead = np.shape(params[names[0]])
            depth = lead[0] if lead else 1
        shapes = self.parameter_shapes(max(depth, 1))
        return depth, [
            check_parameter(name, params[name], shapes[name], dtype, self.grid) for name in names
        ]

    def _read_omega(self, omega: float | Array | None, dtype: np.dtype[Any]) -> Array:
        if omega is None:
            if getattr(self, "scheme", "") == "lax-wendroff":
                refuse(
                    "omega", "the relaxation rate of the layer", "None", fix="the scheme uses it"
                )
            omega = 1.0
        rate = np.array(omega, dtype)
        if rate.ndim and rate.size != int(np.prod(self.grid.shape)):
            refuse("omega", f"a number or {self.grid.shape}", rate.shape)
        return rate


def _with_zero_values(grid: Grid) -> Grid:
    def zero(condition: Any) -> Any:
        return Dirichlet(0.0) if isinstance(condition, Dirichlet) else condition

    return grid.replace(
        boundary=tuple((zero(low), zero(high)) for low, high in grid.boundary),
        mask_boundary=zero(grid.mask_boundary),
    )


def check_names(argument: str, given: Mapping[str, Any], known: list[str]) -> None:
    """Exactly the known names."""
    for name in given:
        if name not in known:
            refuse(argument, f"names out of {', '.join(known)}", repr(name))
    for name in known:
        if name not in given:
            refuse(argument, f"an entry for every one of {', '.join(known)}", f"none for {name!r}")


def check_parameter(
    name: str, value: Any, shape: tuple[int, ...], dtype: np.dtype[Any], grid: Grid
) -> Array:
    """A parameter array of the model's own type; Python numbers stand for arrays without axes."""
    if isinstance(value, float | int) and not isinstance(value, bool | np.generic):
        value = np.array(value, dtype)
    array = check_array(name, value, dtype)
    check_shape(name, array, shape)
    is_field = shape[-grid.ndim :] == grid.shape
    check_finite(name, array, grid.mask if is_field else None)
    return array


@dataclasses.dataclass(frozen=True)
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

    space: str = "homogeneous"  # type: ignore[misc]
    time: str = "constant"
    scheme: str = "central"

    _kind = "adr"

    def _components(self) -> dict[str, tuple[int, ...]]:
        n = self.grid.ndim
        return {"R": (), "U": (n,), "D": (n * (n + 1) // 2,)}

    def start_values(self, name: str) -> dict[int, float]:
        """A little diffusion along every axis."""
        return dict.fromkeys(self.diagonal(), START_DIFFUSIVITY) if name == "D" else {}

    def derivatives(self) -> dict[str, list[tuple[int, ...]]]:
        """None for R, one axis for U, two for D."""
        axes = range(self.grid.ndim)
        pairs: list[tuple[int, ...]] = list(itertools.combinations_with_replacement(axes, 2))
        return {"R": [()], "U": [(a,) for a in axes], "D": pairs}

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


@dataclasses.dataclass(frozen=True)
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

    order: int = dataclasses.field(kw_only=True)
    space: str = "homogeneous"  # type: ignore[misc]
    time: str = "constant"

    _kind = "moments"

    def _components(self) -> dict[str, tuple[int, ...]]:
        return {"moments": (self.order + 1,)}

    def start_values(self, name: str) -> dict[int, float]:
        """The identity."""
        return {0: 1.0}

    def derivatives(self) -> dict[str, list[tuple[int, ...]]]:
        """The k-th derivative for the moment k."""
        return {"moments": [(0,) * k for k in range(self.order + 1)]}

    def _check(self) -> None:
        check_integer("order", self.order, 1, 8)
        _check_line(self.grid, (self.order + 1) // 2)

    @property
    def _order(self) -> int:
        return self.order


@dataclasses.dataclass(frozen=True)
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

    radius: int = dataclasses.field(kw_only=True)
    space: str = "homogeneous"  # type: ignore[misc]
    time: str = "constant"

    _kind = "banded"

    def _components(self) -> dict[str, tuple[int, ...]]:
        return {"weights": (2 * self.radius + 1,)}

    def start_values(self, name: str) -> dict[int, float]:
        """The identity."""
        return {self.radius: 1.0}

    def _check(self) -> None:
        check_integer("radius", self.radius, 1, MOST_RADIUS)
        _check_line(self.grid, self.radius)

    @property
    def _order(self) -> int:
        return self.radius


@dataclasses.dataclass(frozen=True)
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

    time: str = "constant"

    _kind = "dense"

    def _components(self) -> dict[str, tuple[int, ...]]:
        return {"W": (math.prod(self.grid.shape),) * 2}

    def _row_length(self) -> int:
        return self.grid.n_cells

    def n_parameters(self, depth: int) -> int:
        """Number of trained coefficients, those of existing cells only."""
        check_depth(depth)
        return self.grid.n_cells**2 * (depth if self.is_layered else 1)


def _check_line(grid: Grid, radius: int) -> None:
    if grid.ndim != 1:
        refuse("grid", "a 1-D grid for this operator", f"{grid.ndim}-D")
    if "neumann" in grid.boundary[0] and grid.shape[0] < radius:
        refuse("grid", f"at least {radius} cells, the stencil radius", f"{grid.shape[0]}")
