"""Coordinates of gridded data: their spacing in units of length, direction and closure.

Degrees become metres on a sphere of radius 6371 km: along latitude h = r dphi, along longitude
h = r cos(phi) dlambda, at the mean latitude phi for the grid, at a row's own for maps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.validate import (
    check_array,
    check_choice,
    check_finite,
    check_flag,
    check_number,
    check_shape,
    check_text,
    refuse,
)
from ..domain.grid import Grid
from .attributes import DEGREES, kind_of, unit_of
from .axis import HIGHEST_LATITUDE, JITTER, METRES_PER_DEGREE, Axis, read_axis, read_only

__all__ = ["KINDS", "Coordinates"]

KINDS = ("latitude", "longitude", "")


@dataclasses.dataclass(frozen=True, eq=False)
class Coordinates:
    """The axes of space of a field, in array order.

    Attributes
    ----------
    axes : tuple of Axis
        One to three.

    Examples
    --------
    >>> import numpy as np
    >>> from relaxon.datasets.coordinates import Coordinates
    >>> north, east = {"units": "degrees_north"}, {"units": "degrees_east"}
    >>> earth = Coordinates.read(
    ...     [("lat", np.array([60.0, 50.0, 40.0]), north), ("lon", np.arange(0.0, 360.0, 10), east)]
    ... )
    >>> [round(h / 1000) for h in earth.spacing], earth.boundary
    ([1112, 715], ('neumann', 'periodic'))
    >>> [round(h / 1000 * earth.spacing[1]) for h in earth.stretch(1).ravel()]
    [852, 715, 556]
    """

    axes: tuple[Axis, ...]

    @classmethod
    def read(
        cls,
        entries: Sequence[tuple[str, Any, Mapping[str, Any]]],
        latitude: float | None = None,
    ) -> Coordinates:
        """Read axes as data files describe them.

        Parameters
        ----------
        entries : sequence of (name, values, attributes)
            One per axis. The attributes "units" and "standard_name" are looked at.
        latitude : float, optional
            Degrees north of a field that has a longitude, but no latitude in degrees among its
            axes; default the equator.

        Returns
        -------
        Coordinates
            With ascending values.

        Raises
        ------
        ValueError
            If an axis is not monotone or not even, a longitude meets a place twice, or the
            latitude is a pole; the message names the axis and says where.

        Warns
        -----
        UserWarning
            If a unit or a coordinate cannot be understood: the axis keeps lattice units.
        """
        kinds = [kind_of(name, attributes) for name, _, attributes in entries]
        has_longitude = any(kind == "longitude" for kind, _ in kinds)
        if latitude is not None and has_longitude and not abs(latitude) < 90.0:
            refuse(
                "latitude", "degrees between the poles, where longitudes have a length", latitude
            )
        mean_latitude = 0.0 if latitude is None else latitude
        for (_, values, attributes), (kind, _) in zip(entries, kinds, strict=True):
            is_number = np.asarray(values).dtype.kind in "iuf"
            if kind == "latitude" and is_number and DEGREES.fullmatch(unit_of(attributes)):
                mean_latitude = float(np.mean(values))
        return cls(
            tuple(
                read_axis(*entry, *kind, mean_latitude)
                for entry, kind in zip(entries, kinds, strict=True)
            )
        )

    @classmethod
    def lattice(
        cls, shape: tuple[int, ...], lengths: Sequence[tuple[float, str]] | None = None
    ) -> Coordinates:
        """Coordinates of arrays that come without any: cell numbers, times lengths and their units.

        Parameters
        ----------
        shape : tuple of int
            Numbers of cells.
        lengths : sequence of (float, str), optional
            Spacing and its unit along each axis; default 1 without unit.

        Returns
        -------
        Coordinates
            The first cell at 0.
        """
        lengths = lengths or [(1.0, "")] * len(shape)
        return cls(
            tuple(
                Axis(f"axis {a}", read_only(h * np.arange(float(n))), unit, h, unit)
                for a, (n, (h, unit)) in enumerate(zip(shape, lengths, strict=True))
            )
        )

    @classmethod
    def of_grid(cls, grid: Grid) -> Coordinates:
        """Coordinates of a grid that knows no others: origin and spacing in its own unit."""
        return cls(
            tuple(
                Axis(name, read_only(start + h * np.arange(n, dtype=np.float64)), unit, h, unit)
                for name, start, h, n, unit in zip(
                    grid.names, grid.origin, grid.spacing, grid.shape, grid.unit, strict=True
                )
            )
        )

    def check(self) -> None:
        """Refuse what no data have.

        Raises
        ------
        TypeError, ValueError
            If there are not one to three axes, an attribute of one is of another type or out of
            range, or its values do not ascend.
        """
        if not 1 <= len(self.axes) <= 3:
            refuse("coordinates", "1 to 3 axes", len(self.axes))
        for a, axis in enumerate(self.axes):
            _check_axis(f"axes[{a}]", axis)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the axes."""
        return tuple(axis.name for axis in self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of cells along each axis."""
        return tuple(len(axis.values) for axis in self.axes)

    @property
    def text(self) -> str:
        """Names and lengths."""
        return ", ".join(f"{axis.name} ({len(axis.values)})" for axis in self.axes)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Spacing of the grid along each axis."""
        return tuple(axis.spacing for axis in self.axes)

    @property
    def spacing_unit(self) -> tuple[str, ...]:
        """Unit of the spacing along each axis."""
        return tuple(axis.spacing_unit for axis in self.axes)

    @property
    def boundary(self) -> tuple[str, ...]:
        """Boundary conditions the data suggest: periodic where an axis closes, else neumann."""
        return tuple("periodic" if axis.is_periodic else "neumann" for axis in self.axes)

    def stretch(self, axis: int) -> NDArray[np.float64]:
        """Length of a cell along an axis at its own latitude, over that of the grid's spacing.

        cos(phi) / cos(mean phi) along a longitude beside a latitude in degrees, else 1; 0 at a
        pole.

        Parameters
        ----------
        axis : int
            Number of the axis.

        Returns
        -------
        ndarray of float64
            Its shape broadcasts against the grid's: one number, or one for each row.
        """
        shape = [1] * len(self.axes)
        if self.axes[axis].is_longitude:
            for a, other in enumerate(self.axes):
                if other.is_latitude:
                    shape[a] = len(other.values)
                    cosine = np.cos(np.deg2rad(other.values)) * (np.abs(other.values) < 90.0)
                    return np.reshape(cosine / np.cos(np.deg2rad(other.values.mean())), shape)
        return np.ones(shape)

    def areas(self) -> NDArray[np.float64] | None:
        """Areas of the cells on the sphere, over that of the largest.

        sin(phi + h / 2) - sin(phi - h / 2) of a row of height h at the latitude phi, which is
        proportional to cos(phi); rows end at the poles.

        Returns
        -------
        ndarray of float64, or None
            Its shape broadcasts against the grid's. None where no axis is a latitude in degrees.
        """
        for a, axis in enumerate(self.axes):
            if axis.is_latitude:
                edges = axis.values[:, np.newaxis] + axis.step * np.array([-0.5, 0.5])
                sines = np.sin(np.deg2rad(np.clip(edges, -90.0, 90.0)))
                shape = [1] * len(self.axes)
                shape[a] = len(axis.values)
                bands = sines[:, 1] - sines[:, 0]
                return np.reshape(bands / bands.max(), shape)
        return None

    def flip(self, values: NDArray[Any]) -> NDArray[Any]:
        """Turn fields from the data's directions to ascending axes, or back.

        Parameters
        ----------
        values : ndarray
            The last axes are those of space.

        Returns
        -------
        ndarray
            A view.
        """
        steps = [slice(None, None, -1 if axis.is_flipped else 1) for axis in self.axes]
        index: Any = (..., *steps)
        return np.asarray(values[index])

    def grid(self, mask: NDArray[np.bool_] | None = None, **changes: Any) -> Grid:
        """The grid of these coordinates.

        Parameters
        ----------
        mask : ndarray of bool, optional
            True where a cell exists.
        **changes
            Other arguments of :class:`relaxon.Grid`, such as ``boundary``.

        Returns
        -------
        Grid
            With spacing, names, origin and unit; periodic where an axis closes, else neumann.
        """
        arguments = {
            "spacing": self.spacing,
            "boundary": self.boundary,
            "names": self.names,
            "origin": tuple(axis.origin for axis in self.axes),
            "unit": self.spacing_unit,
        }
        return Grid(self.shape, mask=mask, **(arguments | changes))

    def describe(self) -> Iterator[str]:
        """Lines about the spacing, its spread between rows, and where degrees were measured."""
        has_latitude = any(axis.is_latitude for axis in self.axes)
        for a, axis in enumerate(self.axes):
            rows = axis.spacing * self.stretch(a)
            unit = f" {axis.spacing_unit}" if axis.spacing_unit else ""
            line = f"{axis.name}: {len(axis.values)} cells of {axis.spacing:.5g}{unit}"
            if rows.size > 1:
                line += f" at the mean latitude ({rows.min():.5g} to {rows.max():.5g}{unit})"
                if rows.min() == 0.0:
                    line += ", none at a pole: local drift and diffusivity along it are 0 there"
            elif axis.is_longitude and not has_latitude:
                cosine = axis.spacing / (METRES_PER_DEGREE * axis.step)
                degrees = float(np.rad2deg(np.arccos(min(cosine, 1.0))))
                place = f"{degrees:.3g} degrees from" if cosine < 1.0 - JITTER**2 else "at"
                line += f" as {place} the equator (no axis is a latitude in degrees)"
            if axis.is_periodic:
                line += ", closes"
            if axis.is_flipped:
                line += ", descending"
            yield line


def _check_axis(place: str, axis: Axis) -> None:
    for name in ("name", "unit", "spacing_unit"):
        check_text(f"{place}.{name}", getattr(axis, name))
    for name in ("is_flipped", "is_periodic", "is_rotated"):
        check_flag(f"{place}.{name}", getattr(axis, name))
    check_choice(f"{place}.kind", axis.kind, KINDS)
    check_number(f"{place}.spacing", axis.spacing, 0.0, is_open=True)
    values = check_array(f"{place}.values", axis.values, np.dtype(np.float64))
    check_shape(f"{place}.values", values, ("cells",))
    check_finite(f"{place}.values", values)
    if not (values[1:] > values[:-1]).all():
        refuse(f"{place}.values", "ascending positions", "others")
    if axis.is_latitude and np.abs(values).max() > HIGHEST_LATITUDE:
        refuse(f"{place}.values", "latitudes from -90 to 90 degrees", f"{np.abs(values).max():g}")
