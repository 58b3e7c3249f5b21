"""Grids: shape, spacing, boundary conditions and mask."""

from __future__ import annotations

import dataclasses
import math
import numbers
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from ..base.cached import cached_property
from ..base.validate import check_choice, check_integer, check_number, check_text, per_axis, refuse

__all__ = ["Dirichlet", "Grid"]


@dataclasses.dataclass(frozen=True)
class Dirichlet:
    """Boundary condition: a fixed value on the ghost cells.

    Parameters
    ----------
    value : float, default 0
        The value, in units of the signal: what the model sees. With a scaling these are scaled
        anomalies, and ``scaling.scale_number`` makes them of a number in the unit of the data.

    Raises
    ------
    TypeError, ValueError
        If the value is no number, or not finite.

    Examples
    --------
    >>> import relaxon as rx
    >>> rx.Grid((8,), boundary=(("neumann", rx.Dirichlet(1.0)),)).boundary
    (('neumann', Dirichlet(value=1.0)),)
    """

    value: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", check_number("value", self.value))


Condition = str | Dirichlet
CONDITIONS: tuple[str, ...] = tuple(_core.conditions())
MASK_CONDITIONS = ("neumann",)
MOST_CELLS = 2**40


def _check_condition(argument: str, value: object, choices: tuple[str, ...]) -> Condition:
    if isinstance(value, Dirichlet):
        return value
    if isinstance(value, numbers.Real):
        refuse(
            argument,
            "a condition",
            repr(value),
            TypeError,
            f"a fixed value is written Dirichlet({value!r})",
        )
    return check_choice(argument, value, choices)


def _core_condition(condition: Condition) -> tuple[str, float]:
    if isinstance(condition, Dirichlet):
        return ("dirichlet", condition.value)
    return (condition, 0.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """A uniform grid of cells in one to three dimensions.

    Axes are the array axes, in that order. A condition holds for the ghost cells beyond a side:
    "periodic", "neumann" (zero normal gradient: ghost -1 equals cell 0, ghost -2 equals cell 1) or
    :class:`Dirichlet` (fixed value). Where two Dirichlet sides meet, the last axis decides.

    Parameters
    ----------
    shape : tuple of 1 to 3 positive int
        Number of cells along each axis.
    spacing : float or tuple of float, default 1
        Distance of neighbouring cells, in `unit`. It enters reports and the normalisation term of
        the layers; trained coefficients are lattice values.
    boundary : condition or tuple, default "periodic"
        One condition for all sides, or a tuple with one entry per axis: a condition, or a pair
        (low, high). In one dimension a pair is written ``(("neumann", Dirichlet(0)),)``.
    mask : array of bool, shape `shape`, optional
        True where the cell exists. Masked cells hold zero and take no part in anything.
    mask_boundary : "neumann" or Dirichlet, default "neumann"
        What a stencil arm sees that points into the mask: the centre cell's own value (no flux) or
        a fixed value.
    names : tuple of str, optional
        Names of the axes for reports; default "axis 0", "axis 1", ...
    origin : float or tuple of float, default 0
        Position of cell 0 along each axis, in `unit`.
    unit : str or tuple of str, default ""
        Unit of spacing and origin, per axis.

    Attributes
    ----------
    ndim : int
        Number of axes.
    n_cells : int
        Number of existing cells.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type or shape, a length or spacing is not positive, a condition
        is misspelt, or the mask leaves no cell.

    Examples
    --------
    >>> import relaxon as rx
    >>> grid = rx.Grid((18, 432), spacing=(0.556, 0.833), boundary=("neumann", "periodic"))
    >>> grid.ndim, grid.n_cells
    (2, 7776)
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...] = 1.0  # type: ignore[assignment]
    boundary: tuple[tuple[Condition, Condition], ...] = "periodic"  # type: ignore[assignment]
    mask: NDArray[np.bool_] | None = None
    mask_boundary: Condition = "neumann"
    names: tuple[str, ...] = None  # type: ignore[assignment]
    origin: tuple[float, ...] = 0.0  # type: ignore[assignment]
    unit: tuple[str, ...] = ""  # type: ignore[assignment]

    def __init__(
        self,
        shape: tuple[int, ...] | int,
        spacing: float | tuple[float, ...] = 1.0,
        boundary: Any = "periodic",
        mask: ArrayLike | None = None,
        mask_boundary: Condition = "neumann",
        names: str | tuple[str, ...] | None = None,
        origin: float | tuple[float, ...] = 0.0,
        unit: str | tuple[str, ...] = "",
    ) -> None:
        lengths = (shape,) if isinstance(shape, int) else shape
        if not isinstance(lengths, tuple | list):
            refuse("shape", "a tuple of integers", repr(shape), TypeError)
        if not 1 <= len(lengths) <= 3:
            refuse("shape", "1 to 3 axes", repr(tuple(lengths)))
        ndim = len(lengths)
        shape = tuple(check_integer("shape", n, 1) for n in lengths)
        if math.prod(shape) > MOST_CELLS:
            refuse("shape", "at most 2^40 cells", shape)
        if mask is not None:
            mask = _check_mask(mask, shape)
        labels = [f"axis {a}" for a in range(ndim)]
        if names is not None:
            labels = per_axis("names", (names,) if isinstance(names, str) else names, ndim, ())
        normal = {
            "shape": shape,
            "spacing": tuple(
                check_number("spacing", h, 0.0, is_open=True)
                for h in per_axis("spacing", spacing, ndim, numbers.Real)
            ),
            "boundary": _check_boundary(boundary, ndim),
            "mask": mask,
            "mask_boundary": _check_condition("mask_boundary", mask_boundary, MASK_CONDITIONS),
            "names": tuple(check_text("names", name) for name in labels),
            "origin": tuple(
                check_number("origin", q) for q in per_axis("origin", origin, ndim, numbers.Real)
            ),
            "unit": tuple(check_text("unit", u) for u in per_axis("unit", unit, ndim, str)),
        }
        for name, value in normal.items():
            object.__setattr__(self, name, value)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def n_cells(self) -> int:
        """Number of existing cells."""
        return math.prod(self.shape) if self.mask is None else int(self.mask.sum())

    def replace(self, **changes: Any) -> Grid:
        """The same grid with some arguments changed.

        Parameters
        ----------
        **changes
            Arguments of the constructor by name.

        Returns
        -------
        Grid
            A new grid.

        Raises
        ------
        TypeError, ValueError
            As the constructor.

        Examples
        --------
        >>> import relaxon as rx
        >>> rx.Grid((8, 4)).replace(boundary="neumann").boundary
        (('neumann', 'neumann'), ('neumann', 'neumann'))
        """
        return Grid(**{f.name: getattr(self, f.name) for f in dataclasses.fields(self)} | changes)

    @cached_property
    def _core_grid(self) -> _core.Grid:
        return _core.Grid(
            shape=list(self.shape),
            boundary=[(_core_condition(low), _core_condition(high)) for low, high in self.boundary],
            mask=self.mask,
            mask_condition=_core_condition(self.mask_boundary),
            cell_volume=math.prod(self.spacing),
        )

    def _key(self) -> tuple[Any, ...]:
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        values["mask"] = None if self.mask is None else self.mask.tobytes()
        return tuple(values.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __getstate__(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        parts = [repr(self.shape)]
        if any(h != 1.0 for h in self.spacing):
            parts.append(f"spacing={self.spacing}")
        parts.append(f"boundary={self.boundary}")
        if self.mask is not None:
            parts.append(f"mask=<{self.n_cells} of {self.mask.size} cells>")
            parts.append(f"mask_boundary={self.mask_boundary!r}")
        if any(name != f"axis {a}" for a, name in enumerate(self.names)):
            parts.append(f"names={self.names}")
        if any(self.unit):
            parts.append(f"unit={self.unit}")
        return f"Grid({', '.join(parts)})"


def _check_mask(value: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = np.array(value, order="C")
    if mask.dtype != np.bool_:
        refuse("mask", "an array of bool, True where the cell exists", str(mask.dtype), TypeError)
    if mask.shape != shape:
        fix = "are the axes swapped?" if sorted(mask.shape) == sorted(shape) else ""
        refuse("mask", str(shape), mask.shape, fix=fix)
    if not mask.any():
        refuse("mask", "at least one existing cell", "False everywhere", fix="True means exists")
    mask.flags.writeable = False
    return mask


def _check_boundary(value: object, ndim: int) -> tuple[tuple[Condition, Condition], ...]:
    sides = []
    for entry in per_axis("boundary", value, ndim, (str, Dirichlet, numbers.Real)):
        pair = tuple(entry) if isinstance(entry, tuple | list) else (entry, entry)
        if len(pair) != 2:
            refuse("boundary", "a condition or a pair (low, high) for each axis", repr(entry))
        low, high = (_check_condition("boundary", side, CONDITIONS) for side in pair)
        if (low == "periodic") != (high == "periodic"):
            refuse("boundary", "'periodic' on both sides of an axis or on none", repr(entry))
        sides.append((low, high))
    return tuple(sides)
