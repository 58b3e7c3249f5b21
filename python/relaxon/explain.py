"""The physics a trained model has learned, in the units of its grid and time.

A layer is one explicit Euler step of z_t = gamma A z with omega = gamma dt (Succi 2025, eq. 19).
About z = 0 the activation acts as its slope s = f'(0), so the lattice values R, u, d read

    rate        = omega (s (1 + R) - 1) / dt
    velocity    = omega s u h / dt
    diffusivity = omega s d h h / dt
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ._core import slope_at_zero
from .grid import Grid
from .model import Relaxation
from .operators import ADR, Banded, Dense, Moments

__all__ = ["Explanation", "Process", "Row", "explain"]

Field = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Process:
    """One coefficient of the equation a model has learned.

    Attributes
    ----------
    name : str
        For people, for instance "advection along longitude".
    symbol : str
        "R", "U", "D", "M3", "M4", ... or "numerical D".
    axes : tuple of int
        The grid axes it belongs to: none for R, one for U, two for D.
    unit : str
        Unit of the values; "1" where the grid and the model have none.
    values : ndarray of float64
        Shape (L,) + space where it differs between layers, else space; space is the grid's shape
        where it differs between cells, else (). NaN on masked cells.
    null : ndarray of float64 or None
        For dense matrices: the same coefficient after the off-diagonal entries of each row have
        been shuffled, what a matrix without any spatial order would show.
    """

    name: str
    symbol: str
    axes: tuple[int, ...]
    unit: str
    values: Field
    null: Field | None = None


@dataclass(frozen=True)
class Row:
    """One line of the table: a process in one layer, over the cells that exist.

    Attributes
    ----------
    process, unit : str
        Name and unit.
    layer : int or None
        None where all layers share the coefficient.
    median, low, high : float
        Median and 5th and 95th percentile over existing cells.
    null_low, null_high : float or None
        5th and 95th percentile of the shuffled matrix; None where there is no such comparison.
    """

    process: str
    layer: int | None
    unit: str
    median: float
    low: float
    high: float
    null_low: float | None = None
    null_high: float | None = None


@dataclass(frozen=True, eq=False)
class Explanation:
    """Coefficients of a model in physical units; ``str`` gives a table.

    Attributes
    ----------
    processes : tuple of Process
        One entry per coefficient; empty where there is no linearisation.
    names : tuple of str
        Names of the grid's axes.
    note : str
        What limits the reading, empty where nothing does.
    n_layers : int or None
        Number of layers where coefficients differ between them, else None.
    """

    processes: tuple[Process, ...]
    names: tuple[str, ...]
    note: str = ""
    n_layers: int | None = None

    @property
    def fields(self) -> Mapping[str, Field]:
        """Arrays by symbol; U, D and numerical D carry their components on an axis before space."""
        groups = self._by_symbol()
        lead = 0 if self.n_layers is None else 1
        return MappingProxyType(
            {
                symbol: np.stack([p.values for p in group], axis=lead)
                if symbol in ("U", "D", "numerical D")
                else group[0].values
                for symbol, group in groups.items()
            }
        )

    @property
    def units(self) -> Mapping[str, tuple[str, ...]]:
        """Units by symbol, one per component, in the order of ``fields``."""
        return MappingProxyType(
            {symbol: tuple(p.unit for p in group) for symbol, group in self._by_symbol().items()}
        )

    def table(self) -> tuple[Row, ...]:
        """Median and 5-95 % range over the existing cells, per process and layer.

        Returns
        -------
        tuple of Row
            Layers of one process follow each other.
        """
        rows = []
        for process in self.processes:
            layers = [None] if self.n_layers is None else list(range(self.n_layers))
            for layer in layers:
                low, median, high = _percentiles(process.values, layer)
                row = Row(process.name, layer, process.unit, median, low, high)
                if process.null is not None:
                    null_low, _, null_high = _percentiles(process.null, layer)
                    row = replace(row, null_low=null_low, null_high=null_high)
                rows.append(row)
        return tuple(rows)

    def __str__(self) -> str:
        rows = self.table()
        if not rows:
            return self.note
        has_layers = self.n_layers is not None
        has_null = any(row.null_low is not None for row in rows)
        head = ["process", *(["layer"] if has_layers else []), "unit", "median", "5-95 %"]
        head += ["5-95 %, shuffled"] if has_null else []
        cells = [head]
        for row in rows:
            line = [row.process, *([str(row.layer)] if has_layers else []), row.unit]
            line += [f"{row.median:.4g}", _range(row.low, row.high)]
            if has_null:
                line.append(_range(row.null_low, row.null_high))
            cells.append(line)
        widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in cells]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join(line.rstrip() for line in lines) + (f"\n{self.note}" if self.note else "")

    def _by_symbol(self) -> dict[str, list[Process]]:
        groups: dict[str, list[Process]] = {}
        for process in self.processes:
            groups.setdefault(process.symbol, []).append(process)
        return groups


def explain(model: Relaxation) -> Explanation:
    """Read a model's weights as advection, diffusion and reaction in physical units.

    With the slope s = f'(0), the lattice coefficients R, u, d, the spacing h and the time dt per
    layer: rate = omega (s (1 + R) - 1) / dt, velocity = omega s u h / dt, diffusivity
    = omega s d h h / dt, and for moments of order k > 2: omega s W_k h^k / (k! dt), the coefficient
    of the k-th derivative.

    Parameters
    ----------
    model : Relaxation
        Any model; its ``dt`` and ``time_unit`` and its grid's spacing and unit set the units.

    Returns
    -------
    Explanation
        Fields by name, units, and a table.

    Notes
    -----
    The numerical diffusion that the upwind and Lax-Wendroff schemes add is listed apart from the
    trained one. The soft normalisation (beta) and the bias are not part of the linearisation.
    Where f'(0) = 0 (relu, square) there is no linearisation, and the result says so. Moments of a
    dense matrix stand beside those of the same matrix with each row's off-diagonal entries shuffled
    (seed 0): trained dense matrices may carry no physics at all.

    References
    ----------
    S. Succi, On the physical interpretation of neural PDEs, MEMOCS 13 (2025) 275-286, sections 5-7.

    Examples
    --------
    >>> import numpy as np
    >>> import relaxon as rx
    >>> grid = rx.Grid((16,), spacing=500.0, unit="m", names=("distance",))
    >>> model = rx.Relaxation(rx.ADR(grid), depth=4, activation="identity", dt=60.0, time_unit="s")
    >>> model = model.with_params(
    ...     {"R": np.array(0.0), "U": np.array([0.6]), "D": np.array([0.24])}
    ... )
    >>> print(rx.explain(model))
    process                   unit   median  5-95 %
    ------------------------  -----  ------  ------
    reaction                  1/s    0
    advection along distance  m/s    2.5
    diffusion along distance  m^2/s  500
    """
    slope = slope_at_zero(model.activation)
    if slope == 0.0:
        return Explanation(
            (),
            model.grid.names,
            f"no linearisation: f'(0) = 0 for {model.activation}, so the weights are no rates of a "
            f"linear process; the lattice values are in the model's params",
        )
    reading = _Reading(model, slope)
    operator = model.operator
    if isinstance(operator, ADR):
        processes = _explain_adr(reading, operator)
    elif isinstance(operator, Dense):
        processes = _explain_dense(reading)
    elif isinstance(operator, Moments | Banded):
        processes = _explain_line(reading, operator)
    else:
        raise TypeError(f"no reading is known for the operator {type(operator).__name__}")
    note = "without the soft normalisation (beta)" if model.beta else ""
    return Explanation(tuple(processes), model.grid.names, note, reading.n_layers)


class _Reading:
    """Turns lattice coefficients of one model into processes.

    Inside, every coefficient has the shape (L or 1, *(grid.shape or ones)), so that operators and
    omega of all families broadcast against each other.
    """

    def __init__(self, model: Relaxation, slope: float) -> None:
        self.grid: Grid = model.grid
        self._model = model
        self._slope = slope
        omega = np.asarray(model.params.get("omega", model.omega), dtype=np.float64)
        ones = (1,) * self.grid.ndim
        # A 1-D array of length L is per layer; per cell with N = L is written (1, N).
        omega_is_per_layer = omega.shape == (model.depth,)
        omega_is_per_cell = omega.ndim > 0 and not omega_is_per_layer
        self.omega: Field = omega.reshape(
            (omega.size, *ones) if not omega_is_per_cell else (1, *self.grid.shape)
        )
        self._is_layered = model.operator.is_layered
        self._is_local = model.operator.is_local
        self._spreads = self._is_local or omega_is_per_cell or isinstance(model.operator, Dense)
        self.n_layers = model.depth if self._is_layered or omega_is_per_layer else None

    def lattice(self, name: str) -> Field:
        """A parameter; its components, if it has any, come first."""
        values = np.asarray(self._model.params[name], dtype=np.float64)
        if not self._is_layered:
            values = values[np.newaxis]
        if not self._is_local:
            values = values.reshape(values.shape + (1,) * self.grid.ndim)
        return values if name == "R" else np.moveaxis(values, 1, 0)

    def dense(self) -> Field:
        """The matrices of a dense operator, shape (L or 1, N, N)."""
        matrices = np.asarray(self._model.params["W"], dtype=np.float64)
        return matrices if self._is_layered else matrices[np.newaxis]

    def process(
        self,
        name: str,
        symbol: str,
        axes: tuple[int, ...],
        lattice: Field,
        null: Field | None = None,
    ) -> Process:
        """The physical process of lattice values: the coefficient of the derivative along axes."""
        return Process(
            name=" ".join([name, *self._directions(axes)]),
            symbol=symbol,
            axes=axes,
            unit=self._unit(axes),
            values=self._physical(lattice, axes),
            null=None if null is None else self._physical(null, axes),
        )

    def _physical(self, lattice: Field, axes: tuple[int, ...]) -> Field:
        if axes:
            size = math.prod(self._spacing(a) for a in axes)
            values = self.omega * (self._slope * size / self._model.dt) * lattice
        else:
            values = self.omega * (self._slope * (1.0 + lattice) - 1.0) / self._model.dt
        space = self.grid.shape if self._spreads else (1,) * self.grid.ndim
        values = np.broadcast_to(values, (self.n_layers or 1, *space))
        if not self._spreads:
            values = values.reshape(values.shape[0])
        elif self.grid.mask is not None:
            values = np.where(self.grid.mask, values, np.nan)
        return np.array(values if self.n_layers is not None else values[0])

    def _spacing(self, axis: int) -> Field | float:
        """The grid's spacing; for fields on a sphere, that of each row."""
        scaling = self._model.scaling
        spacing = self.grid.spacing[axis]
        if scaling is None or not self._spreads:
            return spacing
        return spacing * scaling.coordinates.stretch(axis)

    def _unit(self, axes: tuple[int, ...]) -> str:
        lengths = [self.grid.unit[a] for a in axes if self.grid.unit[a]]
        powers = {unit: lengths.count(unit) for unit in lengths}
        parts = [unit if power == 1 else f"{unit}^{power}" for unit, power in powers.items()]
        numerator = " ".join(parts) or "1"
        time = self._model.time_unit
        return f"{numerator}/{time}" if time else numerator

    def _directions(self, axes: tuple[int, ...]) -> list[str]:
        names = [self.grid.names[a] for a in dict.fromkeys(axes)]
        return ["along " + " and ".join(names)] if names else []


def _explain_adr(reading: _Reading, operator: ADR) -> list[Process]:
    ndim = operator.grid.ndim
    velocity = reading.lattice("U")
    processes = [reading.process("reaction", "R", (), reading.lattice("R"))]
    processes += [reading.process("advection", "U", (a,), velocity[a]) for a in range(ndim)]
    processes += [
        reading.process("diffusion", "D", axes, component)
        for axes, component in zip(_axis_pairs(ndim), reading.lattice("D"), strict=True)
    ]
    added = {
        "upwind": lambda u: np.abs(u) / 2.0,
        "lax-wendroff": lambda u: reading.omega * u**2 / 2.0,
    }.get(operator.scheme)
    if added is not None:
        processes += [
            reading.process(
                f"numerical diffusion ({operator.scheme})",
                "numerical D",
                (a, a),
                added(velocity[a]),
            )
            for a in range(ndim)
        ]
    return processes


def _explain_line(reading: _Reading, operator: Moments | Banded) -> list[Process]:
    if isinstance(operator, Moments):
        moments = list(reading.lattice("moments"))
    else:
        weights = reading.lattice("weights")
        offsets = np.arange(len(weights)) - len(weights) // 2
        moments = [
            np.tensordot(offsets.astype(np.float64) ** k, weights, axes=1)
            for k in range(len(weights))
        ]
    processes = [reading.process("reaction", "R", (), moments[0] - 1.0)]
    for k, moment in enumerate(moments[1:], start=1):
        # Z = sum_k W_k / k! d^k z; advection carries the opposite sign by convention.
        coefficient = -moment if k == 1 else moment / math.factorial(k)
        name = {1: "advection", 2: "diffusion", 3: "dispersion", 4: "hyper-diffusion"}.get(
            k, f"moment {k}"
        )
        symbol = {1: "U", 2: "D"}.get(k, f"M{k}")
        processes.append(reading.process(name, symbol, (0,) * k, coefficient))
    return processes


def _explain_dense(reading: _Reading) -> list[Process]:
    grid = reading.grid
    matrices = reading.dense()
    random = np.random.default_rng(0)
    learned = [_matrix_moments(matrix, grid) for matrix in matrices]
    shuffled = [_matrix_moments(_shuffle_rows(matrix, grid, random), grid) for matrix in matrices]
    values = {axes: np.stack([moments[axes] for moments in learned]) for axes in learned[0]}
    null = {axes: np.stack([moments[axes] for moments in shuffled]) for axes in learned[0]}
    processes = [reading.process("reaction", "R", (), values[()] - 1.0, null[()] - 1.0)]
    for axes in list(values)[1:]:
        name, symbol, factor = (
            ("advection", "U", -1.0) if len(axes) == 1 else ("diffusion", "D", 0.5)
        )
        processes.append(
            reading.process(name, symbol, axes, factor * values[axes], factor * null[axes])
        )
    return processes


def _matrix_moments(matrix: Field, grid: Grid) -> dict[tuple[int, ...], Field]:
    """Moments of orders 0 to 2 of each row about its own cell, keyed by the axes multiplied."""
    n_cells = math.prod(grid.shape)
    if grid.mask is not None:
        matrix = np.where(grid.mask.ravel(), matrix, 0.0)
    entries = matrix.reshape(n_cells, *grid.shape)
    rows = np.unravel_index(np.arange(n_cells), grid.shape)
    distances = [_distances(grid, a) for a in range(grid.ndim)]
    moments: dict[tuple[int, ...], Field] = {(): matrix.sum(axis=1)}
    for a in range(grid.ndim):
        others = tuple(b + 1 for b in range(grid.ndim) if b != a)
        signed, _ = distances[a]
        moments[(a,)] = np.einsum("na,na->n", signed[rows[a]], entries.sum(axis=others))
    for a, b in _axis_pairs(grid.ndim):
        others = tuple(c + 1 for c in range(grid.ndim) if c not in (a, b))
        sums = entries.sum(axis=others)
        if a == b:
            squared = distances[a][1]
            moments[(a, a)] = np.einsum("na,na->n", squared[rows[a]], sums)
        else:
            along_a, along_b = distances[a][0][rows[a]], distances[b][0][rows[b]]
            moments[(a, b)] = np.einsum("na,nb,nab->n", along_a, along_b, sums)
    return {axes: moment.reshape(grid.shape) for axes, moment in moments.items()}


def _distances(grid: Grid, axis: int) -> tuple[Field, Field]:
    """Signed and squared distance in cells from each cell (rows) to each other along one axis."""
    n = grid.shape[axis]
    cells = np.arange(n, dtype=np.float64)
    signed = cells[np.newaxis] - cells[:, np.newaxis]
    if grid.boundary[axis][0] == "periodic":
        signed -= n * np.round(signed / n)
    squared = signed**2
    if grid.boundary[axis][0] == "periodic":
        # The half-way cell of an even axis lies on both sides: half of it at +n/2, half at -n/2.
        signed[np.abs(signed) == n / 2] = 0.0
    return signed, squared


def _shuffle_rows(matrix: Field, grid: Grid, random: np.random.Generator) -> Field:
    """Each row's off-diagonal entries in random order, over existing cells."""
    cells = np.arange(matrix.shape[0]) if grid.mask is None else np.flatnonzero(grid.mask)
    block = matrix[np.ix_(cells, cells)]
    off_diagonal = ~np.eye(len(cells), dtype=np.bool_)
    entries = block[off_diagonal].reshape(len(cells), len(cells) - 1)
    block[off_diagonal] = random.permuted(entries, axis=1).ravel()
    shuffled = np.zeros_like(matrix)
    shuffled[np.ix_(cells, cells)] = block
    return shuffled


def _axis_pairs(ndim: int) -> list[tuple[int, int]]:
    return list(itertools.combinations_with_replacement(range(ndim), 2))


def _percentiles(values: Field, layer: int | None) -> tuple[float, float, float]:
    chosen = values if layer is None else values[layer]
    low, median, high = np.nanpercentile(chosen, [5.0, 50.0, 95.0])
    return float(low), float(median), float(high)


def _range(low: float | None, high: float | None) -> str:
    if low is None or high is None or low == high:
        return ""
    return f"{low:.4g} to {high:.4g}"
