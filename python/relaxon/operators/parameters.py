"""What the arrays of parameters are, as the core lists them: the one table that everything asks."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..base.validate import check_array, check_finite, check_shape, refuse
from ..domain.grid import Grid

__all__ = ["Component", "Parameter", "check_names", "check_parameter", "make_table"]

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Component:
    """One number of a parameter, of each layer and cell.

    Attributes
    ----------
    label : str
        For people, as "U along x".
    axes : tuple of int or None
        The axes along which it differentiates; None where it is free and belongs to no derivative.
    start : float
        Initial value, but for noise.
    """

    label: str
    axes: tuple[int, ...] | None = None
    start: float = 0.0


@dataclasses.dataclass(frozen=True)
class Parameter:
    """An array of parameters.

    Attributes
    ----------
    name : str
        As in :attr:`relaxon.Relaxation.params`.
    shape : tuple of int
        Of the array.
    axes : tuple of str
        What each axis counts: "layers", "components", "grid" (cells along one axis of the grid) or
        "cells" (all cells, in C order).
    reads_masked : bool
        Whether entries of masked cells are read, too, and must be finite.
    """

    name: str
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    reads_masked: bool

    @property
    def is_field(self) -> bool:
        """Whether there is a value per cell: the last axes are the grid's."""
        return "grid" in self.axes

    @property
    def is_layered(self) -> bool:
        """Whether there is a value per layer: the first axis is that of the layers."""
        return "layers" in self.axes

    @property
    def component_axis(self) -> int | None:
        """The axis of the components; None where there is a single one without axis."""
        return self.axes.index("components") if "components" in self.axes else None

    def along(self, axis: int, values: Array) -> Array:
        """Values along one axis, to be broadcast to the array."""
        return values.reshape(-1, *(1,) * (len(self.axes) - 1 - axis))

    def readable(self, grid: Grid) -> NDArray[np.bool_] | None:
        """Which entries are read, along the last axes; None where all are."""
        if grid.mask is None or self.reads_masked or not {"grid", "cells"} & set(self.axes):
            return None
        factors = [grid.mask] if self.is_field else []
        factors += [grid.mask.ravel() for axis in self.axes if axis == "cells"]
        return functools.reduce(np.logical_and.outer, factors)

    def n_trained(self, grid: Grid) -> int:
        """How many of its numbers are trained: those of existing cells."""
        n = grid.n_cells if self.is_field else 1
        for length, axis in zip(self.shape, self.axes, strict=True):
            if axis != "grid":
                n *= grid.n_cells if axis == "cells" else length
        return n


def make_table(arrays: Iterable[_core.ParameterArray]) -> dict[str, Parameter]:
    """Parameters by name, in the order of the core."""
    return {
        a.name: Parameter(a.name, tuple(a.shape), tuple(a.axes), a.reads_masked) for a in arrays
    }


def check_names(argument: str, given: Mapping[str, Any], known: list[str]) -> None:
    """Exactly the known names."""
    for name in given:
        if name not in known:
            refuse(argument, f"names out of {', '.join(known)}", repr(name))
    for name in known:
        if name not in given:
            refuse(argument, f"an entry for every one of {', '.join(known)}", f"none for {name!r}")


def check_parameter(parameter: Parameter, value: Any, dtype: np.dtype[Any], grid: Grid) -> Array:
    """An array of the model's own type; Python numbers stand for arrays without axes."""
    if isinstance(value, float | int) and not isinstance(value, bool | np.generic):
        value = np.array(value, dtype)
    array = check_array(parameter.name, value, dtype)
    check_shape(parameter.name, array, parameter.shape)
    check_finite(parameter.name, array, parameter.readable(grid))
    return array
