"""Lattice values of a model in physical units.

A layer is one explicit Euler step of z_t = gamma A z with omega = gamma dt (Succi 2025, eq. 19).
About z = 0 the activation acts as its slope s = f'(0), so the lattice values R, u, d read

    rate        = omega (s (1 + R) - 1) / dt
    velocity    = omega s u h / dt
    diffusivity = omega s d h h / dt

and a moment of order k > 2: omega s W_k h^k / (k! dt), the coefficient of the k-th derivative.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.lattice import Lattice, numerical_diffusion
from ..operators import ADR, Operator
from .matrix_moments import axis_pairs, matrix_moments, shuffle_rows

__all__ = ["Process", "read_processes"]

Field = NDArray[np.float64]
Array = NDArray[Any]


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
        been shuffled, what a matrix without any spatial order would show. None for R, which is the
        sum of the row and so the same in any order, and for other operators.
    standard_error : ndarray of float64 or None
        Shaped as the values; infinite where the data do not determine them. None without data, and
        where parameters differ between cells.
    is_layered : bool
        Whether the first axis of the values is that of the layers.
    mean_standard_error : float or None
        Of the mean over layers.
    """

    name: str
    symbol: str
    axes: tuple[int, ...]
    unit: str
    values: Field
    null: Field | None = None
    standard_error: Field | None = None
    is_layered: bool = False
    mean_standard_error: float | None = None

    @property
    def is_field(self) -> bool:
        """Whether the values differ between cells."""
        return self.values.ndim > self.is_layered

    @property
    def typical_value(self) -> float:
        """One number for all: the mean over layers, the median over cells, where they differ."""
        values = self.values.mean(axis=0) if self.is_layered else self.values
        return float(np.nanmedian(values))

    @property
    def typical_error(self) -> float | None:
        """The standard error of that number; None without one."""
        if self.standard_error is None:
            return None
        error = self.mean_standard_error if self.is_layered else self.standard_error
        return None if error is None else float(error)


def read_processes(lattice: Lattice, slope: float) -> list[Process]:
    """The processes of a model.

    Parameters
    ----------
    lattice : Lattice
        Its coefficients.
    slope : float
        s, the slope of the activation, not zero.

    Returns
    -------
    list of Process
        Reaction, advection, diffusion, and what else the operator has.
    """
    return _read(lattice.model.operator, _Reading(lattice, slope))


class _Reading:
    """Turns lattice values into processes."""

    def __init__(self, lattice: Lattice, slope: float) -> None:
        self.lattice = lattice
        self.grid = lattice.grid
        self._slope = slope

    def process(self, name: str, symbol: str, axes: tuple[int, ...], lattice: Array) -> Process:
        """The physical process of lattice values: the coefficient of the derivative along axes."""
        return Process(
            name=" ".join([name, *self._directions(axes)]),
            symbol=symbol,
            axes=axes,
            unit=self._unit(axes),
            values=self.physical(lattice, axes),
            is_layered=self.lattice.n_layers is not None,
        )

    def physical(self, values: Array, axes: tuple[int, ...]) -> Array:
        """Lattice values in physical units."""
        dt = self.lattice.model.dt
        if axes:
            size = math.prod(self._spacing(a) for a in axes)
            values = self.lattice.omega * (self._slope * size / dt) * values
        else:
            values = self.lattice.omega * (self._slope * (1.0 + values) - 1.0) / dt
        return self.lattice.spread(values)

    def _spacing(self, axis: int) -> Field | float:
        """The grid's spacing; for fields on a sphere, that of each row."""
        scaling = self.lattice.model.scaling
        spacing: float = self.grid.spacing[axis]
        if scaling is None or not self.lattice.is_spread:
            return spacing
        return spacing * scaling.coordinates.stretch(axis)

    def _unit(self, axes: tuple[int, ...]) -> str:
        lengths = [self.grid.unit[a] for a in axes if self.grid.unit[a] not in ("", "1")]
        powers = {unit: lengths.count(unit) for unit in lengths}
        parts = [unit if power == 1 else f"{unit}^{power}" for unit, power in powers.items()]
        numerator = " ".join(parts) or "1"
        time = self.lattice.model.time_unit
        return f"{numerator}/{time}" if time else numerator

    def _directions(self, axes: tuple[int, ...]) -> list[str]:
        names = [self.grid.names[a] for a in dict.fromkeys(axes)]
        return ["along " + " and ".join(names)] if names else []


@functools.singledispatch
def _read(operator: Operator, reading: _Reading) -> list[Process]:
    """Of an operator without a reading of its own: the moments of its stencil or its matrix."""
    moments = operator.line_moments(reading.lattice.coefficient)
    return _read_matrix(reading) if moments is None else _read_line(reading, moments)


def _read_matrix(reading: _Reading) -> list[Process]:
    grid = reading.grid
    matrices = reading.lattice.matrices()
    random = np.random.default_rng(0)
    learned = [matrix_moments(matrix, grid) for matrix in matrices]
    shuffled = [matrix_moments(shuffle_rows(matrix, grid, random), grid) for matrix in matrices]
    processes = []
    for axes in learned[0]:
        values, null = (
            np.stack([moments[axes] for moments in group]) for group in (learned, shuffled)
        )
        name, symbol, factor = {
            0: ("reaction", "R", 1.0),
            1: ("advection", "U", -1.0),
            2: ("diffusion", "D", 0.5),
        }[len(axes)]
        if not axes:
            # The sum of a row is the same in any order: there is nothing to compare with.
            processes.append(reading.process(name, symbol, axes, factor * (values - 1.0)))
            continue
        process = reading.process(name, symbol, axes, factor * values)
        processes.append(replace(process, null=reading.physical(factor * null, axes)))
    return processes


@_read.register
def _(operator: ADR, reading: _Reading) -> list[Process]:
    ndim = operator.grid.ndim
    lattice = reading.lattice
    velocity = lattice.coefficient("U")
    processes = [reading.process("reaction", "R", (), lattice.coefficient("R"))]
    processes += [reading.process("advection", "U", (a,), velocity[a]) for a in range(ndim)]
    processes += [
        reading.process("diffusion", "D", axes, component)
        for axes, component in zip(axis_pairs(ndim), lattice.coefficient("D"), strict=True)
    ]
    added = numerical_diffusion(lattice)
    if added is not None:
        name = f"numerical diffusion ({operator.scheme})"
        processes += [reading.process(name, "numerical D", (a, a), added[a]) for a in range(ndim)]
    return processes


def _read_line(reading: _Reading, moments: list[Array]) -> list[Process]:
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
