"""What all operators W share."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from ..base.cached import cached_property
from ..base.validate import (
    check_array,
    check_choice,
    check_finite,
    check_instance,
    check_integer,
    check_states,
    refuse,
    useful_threads,
)
from ..domain.grid import Dirichlet, Grid
from .parameters import Component, Parameter, check_names, check_parameter, make_table

__all__ = ["SPACES", "TIMES", "Data", "Operator", "check_depth", "check_line", "setting"]

SPACES = ("homogeneous", "local")
TIMES = ("constant", "layered")
MOST_LAYERS = 2**31 - 1
NOISE = 0.01
Array = NDArray[Any]


def check_depth(value: object) -> int:
    """A number of layers that schedules can count."""
    return check_integer("depth", value, 1, MOST_LAYERS)


@dataclasses.dataclass(frozen=True)
class Data:
    """The kind of a setting that is an array, which the operator keeps read-only.

    Attributes
    ----------
    dtype : str
        Its type.
    """

    dtype: str


def setting(kind: Any, default: Any = dataclasses.MISSING) -> Any:
    """A setting of an operator, a field of its dataclass.

    Parameters
    ----------
    kind : tuple of str, int, or Data
        The names out of which it is one, or that it is an integer or an array: files keep it as
        that.
    default : object, optional
        Without one it is given by name.

    Returns
    -------
    dataclasses.Field
        To be assigned in the class.
    """
    is_required = default is dataclasses.MISSING
    field: Any = dataclasses.field(
        default=default,
        kw_only=is_required,
        repr=not isinstance(kind, Data),
        metadata={"kind": kind},
    )
    return field


@dataclasses.dataclass(frozen=True, eq=False)
class Operator:
    """What all operators share: a grid, parameter arrays, and W as a function and as a matrix.

    One of them is a frozen dataclass of settings that makes its object of the core.
    """

    grid: Grid

    # Of those that have no such setting.
    space: ClassVar[str] = "homogeneous"
    time = "constant"
    most_dimensions: ClassVar[int] = 3
    # Whether each number is the coefficient of a derivative.
    has_derivatives: ClassVar[bool] = False
    # Whether a row of W reads all cells, not only those near its own.
    reads_all: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_instance("grid", self.grid, Grid)
        for name, kind in self.settings().items():
            value = getattr(self, name)
            if isinstance(kind, tuple):
                check_choice(name, value, kind)
            elif isinstance(kind, Data):
                array = np.array(check_array(name, value, np.dtype(kind.dtype)), order="C")
                self._keep(name, array)
        if self.grid.ndim > self.most_dimensions:
            refuse("grid", "a 1-D grid for this operator", f"{self.grid.ndim}-D")
        self._check()

    def _check(self) -> None:
        """Rules of one kind of operator."""

    def _make_core(self) -> _core.Operator:
        """The operator of the core."""
        raise NotImplementedError

    @classmethod
    def settings(cls) -> dict[str, Any]:
        """Kinds of its settings by name: names to choose from, or a type."""
        return {f.name: f.metadata["kind"] for f in dataclasses.fields(cls) if f.name != "grid"}

    def components(self) -> dict[str, tuple[Component, ...]]:
        """What the numbers of each parameter mean, by name; empty where they are plain entries."""
        return {}

    def line_moments(self, coefficient: Callable[[str], Array]) -> list[Array] | None:
        """Moments W_0, W_1, ... of a stencil in one dimension; None where it is none.

        `coefficient` gives the values of a parameter, its components first.
        """
        return None

    def line_weights(self, coefficient: Callable[[str], Array]) -> list[Array] | None:
        """Weights of a stencil in one dimension at the offsets -r..r; None where it is none.

        `coefficient` as for `line_moments`.
        """
        return None

    def start(self, parameter: Parameter) -> Array:
        """Initial values of a parameter, but for noise; to be broadcast to its shape."""
        starts = np.array([component.start for component in self.components()[parameter.name]])
        axis = parameter.component_axis
        return starts[0] if axis is None else parameter.along(axis, starts)

    @property
    def reach(self) -> int | None:
        """Cells that a row of W reads on each side of its own; None where it reads all."""
        return None if self.reads_all else 1

    @property
    def noise(self) -> float:
        """Standard deviation of the initial values about their start."""
        return NOISE

    @property
    def uses_omega(self) -> bool:
        """Whether W depends on the relaxation rate of the layer."""
        return False

    @property
    def is_local(self) -> bool:
        """Whether every cell has its own coefficients."""
        return self.space == "local"

    @property
    def is_layered(self) -> bool:
        """Whether every layer has its own coefficients."""
        return self.time == "layered"

    @cached_property
    def _core_operator(self) -> _core.Operator:
        return self._make_core()

    def _keep(self, name: str, value: Any) -> None:
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
        object.__setattr__(self, name, value)

    def _key(self) -> tuple[Any, ...]:
        values = [getattr(self, name) for name in self.settings()]
        return (
            type(self),
            self.grid,
            *((v.shape, v.tobytes()) if isinstance(v, np.ndarray) else v for v in values),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Operator) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __getstate__(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            self._keep(name, value)

    def _row_length(self) -> int:
        """Entries in a row of W, about: for estimates of work."""
        return self.grid.n_cells if self.reads_all else 2 * self.grid.ndim + 1

    def _parameters(self, depth: int) -> dict[str, Parameter]:
        """The table of its parameters."""
        arrays = self._core_operator.arrays(self.grid._core_grid, check_depth(depth))
        return make_table(arrays)

    def _core_network(
        self,
        dynamics: _core.Explicit | _core.Theta | _core.Attractor,
        dtype: np.dtype[Any],
        **options: Any,
    ) -> _core.Network:
        """The core's network of this operator; without options one that only applies it."""
        settings: dict[str, Any] = {"activation": "identity", "bias": "none", "gamma_dt": 0.0}
        settings |= {end: _core.End(0, "identity") for end in ("lift", "readout")} | options
        return _core.Network(
            grid=self.grid._core_grid,
            op=self._core_operator,
            dynamics=dynamics,
            is_double=dtype == np.float64,
            **settings,
        )

    def _applying_network(self, depth: int, rate: Array, dtype: np.dtype[Any]) -> _core.Network:
        """One that only applies it; `rate` is the omega that schemes read."""
        dynamics = _core.Explicit(depth, "cell" if rate.ndim else "scalar", 0.0, False, "none")
        return self._core_network(dynamics, dtype)

    def parameter_names(self) -> tuple[str, ...]:
        """Names of the trained arrays."""
        return tuple(self._parameters(1))

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
        return {name: p.shape for name, p in self._parameters(depth).items()}

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
        return sum(p.n_trained(self.grid) for p in self._parameters(depth).values())

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
        >>> params = rx.ADR.from_paper(A=0.5, C=0.0, B=0.25)
        >>> rx.ADR(rx.Grid((4,))).apply(params, np.array([0.0, 1.0, 0.0, 0.0]))
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
        network = self._applying_network(depth, rate, dtype)
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
        >>> op = rx.ADR(rx.Grid((3,), boundary="neumann"))
        >>> op.to_dense(rx.ADR.from_paper(A=0.25, C=0.5, B=0.25))
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

    def _assemble(
        self,
        params: Mapping[str, ArrayLike],
        layer: int = 0,
        omega: float | Array | None = None,
    ) -> tuple[Array, Array]:
        """W as a matrix and what it adds, from its entries: apply(z) = W z + shift."""
        rows, columns, values, shift = self._entries(params, layer, omega)
        n = len(shift)
        if rows is None:
            return values.reshape(n, n), shift
        matrix = np.zeros((n, n), values.dtype)
        matrix[rows, columns] = values
        return matrix, shift

    def _entries(
        self,
        params: Mapping[str, ArrayLike],
        layer: int = 0,
        omega: float | Array | None = None,
    ) -> tuple[Array | None, Array | None, Array, Array]:
        """Rows, columns and values of W, and what it adds; of a full W no rows and columns."""
        dtypes = {np.asarray(value).dtype for value in params.values()}
        dtype = np.dtype(np.float32 if dtypes == {np.dtype(np.float32)} else np.float64)
        depth, arrays = self._read_params(params, dtype)
        rate = self._read_omega(omega, dtype)
        network = self._applying_network(depth, rate, dtype)
        is_full, row_begin, columns = network.pattern()
        n = math.prod(self.grid.shape)
        values = np.empty(n * n if is_full else len(columns), dtype)
        shift = np.empty(n, dtype)
        number = layer if self.is_layered else 0
        network.assemble([*arrays, rate], number, values, shift, 1)
        if is_full:
            return None, None, values, shift
        rows = np.repeat(np.arange(n), np.diff(row_begin))
        return rows, np.array(columns, np.int64), values, shift

    def _read_params(
        self, params: Mapping[str, ArrayLike], dtype: np.dtype[Any]
    ) -> tuple[int, list[Array]]:
        names = list(self._parameters(1))
        check_names("params", params, names)
        depth = 1
        if self.is_layered:
            lead = np.shape(params[names[0]])
            depth = lead[0] if lead else 1
        table = self._parameters(max(depth, 1))
        return depth, [check_parameter(table[n], params[n], dtype, self.grid) for n in names]

    def _read_omega(self, omega: float | Array | None, dtype: np.dtype[Any]) -> Array:
        if omega is None:
            if self.uses_omega:
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


def check_line(grid: Grid, radius: int) -> None:
    """Sides that a stencil of one dimension can look beyond."""
    # All conditions with a name but this one mirror cells.
    is_mirrored = any(isinstance(side, str) and side != "periodic" for side in grid.boundary[0])
    if is_mirrored and grid.shape[0] < radius:
        refuse("grid", f"at least {radius} cells, the stencil radius", f"{grid.shape[0]}")
