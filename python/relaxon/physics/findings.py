"""What is read of a model, as data and as rows: fields, units, stability, a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets.coordinates import Coordinates
from ..datasets.scaling import Scaling
from ..domain.grid import Grid
from .coefficients import Process
from .remarks import Remark
from .stability import (
    ADVECTIVE,
    DIFFUSIVE,
    MONOTONE_BOUND,
    STABLE_BOUND,
    Stability,
)
from .standard_error import StandardErrors

__all__ = ["Findings", "Row", "coordinates_of"]

Field = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One line of the table: a quantity in one layer, over the cells that exist.

    Attributes
    ----------
    process, unit : str
        Name and unit.
    layer : int or None
        None where all layers share it.
    median, low, high : float
        Median and 5th and 95th percentile over existing cells.
    null_low, null_high : float or None
        5th and 95th percentile of the shuffled matrix; None where there is none: for R
        and for operators other than Dense.
    standard_error : float or None
        Infinite where the data do not determine the value; None where none was asked for, and where
        parameters differ between cells.
    bound, share_over : float or None
        For Peclet and stability numbers: the bound, and the share of existing cells above it.
    """

    process: str
    layer: int | None
    unit: str
    median: float
    low: float
    high: float
    null_low: float | None = None
    null_high: float | None = None
    standard_error: float | None = None
    bound: float | None = None
    share_over: float | None = None


@dataclass(frozen=True, eq=False)
class Findings:
    """The data of an :class:`relaxon.Explanation`, which says what they are."""

    processes: tuple[Process, ...]
    grid: Grid
    parameters: tuple[Process, ...] = ()
    stability: Stability | None = None
    standard_errors: StandardErrors | None = None
    note: str = ""
    n_layers: int | None = None
    scaling: Scaling | None = None
    remarks: tuple[Remark, ...] = ()

    @property
    def coordinates(self) -> Coordinates:
        """Coordinates of the cells: those of the data, or else of the grid."""
        return coordinates_of(self.grid, self.scaling)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the grid's axes."""
        return self.grid.names

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

    def readable_unit(self, process: Process) -> tuple[str, float]:
        """A unit that people read, and what values are multiplied by to be in it.

        Parameters
        ----------
        process : Process
            One of the processes.

        Returns
        -------
        unit : str
            For rates of data with a step of time that of the step, such as "1/month"; else the unit
            of the process.
        factor : float
            1 where the unit stays.
        """
        if process.symbol not in ("R", "gamma") or self.scaling is None:
            return process.unit, 1.0
        name, length = self.scaling.step.rate_unit
        return (f"1/{name}", length) if name else (process.unit, 1.0)

    def table(self) -> tuple[Row, ...]:
        """Median and 5-95 % range over the existing cells, per quantity and layer.

        Returns
        -------
        tuple of Row
            Processes, then trained numbers that are none, then Peclet and stability numbers. Layers
            of one quantity follow each other.
        """
        rows = [row for p in (*self.processes, *self.parameters) for row in self._rows_of(p)]
        return (*rows, *self._stability_rows())

    def _rows_of(self, process: Process) -> list[Row]:
        rows = []
        layers: Sequence[int | None] = range(len(process.values)) if process.is_layered else [None]
        for layer in layers:
            low, median, high = _percentiles(process.values, layer)
            row = Row(process.name, layer, process.unit, median, low, high)
            if process.null is not None:
                null_low, _, null_high = _percentiles(process.null, layer)
                row = replace(row, null_low=null_low, null_high=null_high)
            if process.standard_error is not None:
                error = process.standard_error
                row = replace(row, standard_error=float(error if layer is None else error[layer]))
            rows.append(row)
        return rows

    def _stability_rows(self) -> list[Row]:
        if self.stability is None:
            return []
        numbers = [
            (f"cell Peclet number along {name}", values, MONOTONE_BOUND)
            for name, values in zip(self.names, self.stability.peclet, strict=True)
        ]
        if self.stability.has_bounds:
            numbers += [
                (f"diffusive stability, {DIFFUSIVE}", self.stability.diffusive, STABLE_BOUND),
                (f"advective stability, {ADVECTIVE}", self.stability.advective, STABLE_BOUND),
            ]
        rows = []
        layers: Sequence[int | None] = [None] if self.n_layers is None else range(self.n_layers)
        for name, values, bound in numbers:
            for layer in layers:
                low, median, high = _percentiles(values, layer)
                chosen = values if layer is None else values[layer]
                known = chosen[~np.isnan(chosen)]
                share = float(np.mean(known > bound))
                rows.append(Row(name, layer, "1", median, low, high, bound=bound, share_over=share))
        return rows

    def _by_symbol(self) -> dict[str, list[Process]]:
        groups: dict[str, list[Process]] = {}
        for process in self.processes:
            groups.setdefault(process.symbol, []).append(process)
        return groups


def coordinates_of(grid: Grid, scaling: Scaling | None) -> Coordinates:
    """Coordinates of the cells: those of the data, or else of the grid."""
    return Coordinates.of_grid(grid) if scaling is None else scaling.coordinates


def _percentiles(values: Field, layer: int | None) -> tuple[float, float, float]:
    chosen = values if layer is None else values[layer]
    # Between infinite numbers there is nothing to interpolate.
    method: Any = "nearest" if np.isinf(chosen).any() else "linear"
    with np.errstate(invalid="ignore"):
        low, median, high = np.nanpercentile(chosen, [5.0, 50.0, 95.0], method=method)
    return float(low), float(median), float(high)
