"""Coordinates of gridded data: their spacing in units of length, direction and closure.

Degrees become metres on a sphere of radius 6371 km: along latitude h = r dphi, along longitude
h = r cos(phi) dlambda, at the mean latitude phi for the grid, at a row's own for maps.
"""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
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

__all__ = [
    "EARTH_RADIUS",
    "JITTER",
    "KINDS",
    "Axis",
    "Coordinates",
    "check_monotone",
    "kind_of",
    "read_only",
    "unit_of",
]

EARTH_RADIUS = 6.371e6  # metres; the mean radius
METRES_PER_DEGREE = float(np.deg2rad(EARTH_RADIUS))
# Of cells and steps of time: coefficients, with squares of lengths over times, stay numbers.
SHORTEST, LONGEST = 1e-100, 1e100
# Largest distance of a coordinate from its even place, in spacings.
JITTER = 1e-3
HIGHEST_LATITUDE = 90.0 * (1.0 + JITTER)
KINDS = ("latitude", "longitude", "")

_DEGREES = re.compile(r"degrees?(_?(north|east|n|e))?", re.IGNORECASE)
_NORTH = re.compile(r"degrees?_?(north|n)", re.IGNORECASE)
_EAST = re.compile(r"degrees?_?(east|e)", re.IGNORECASE)
_GEOGRAPHIC = {"lat": "latitude", "lon": "longitude", "latitude": "latitude"}
_GEOGRAPHIC |= {"longitude": "longitude"}
# On a sphere whose poles lie elsewhere.
_ROTATED = {"rlat": "latitude", "rlon": "longitude"}
_ROTATED |= {"grid_latitude": "latitude", "grid_longitude": "longitude"}
# What data write where there is no unit; those of vertical levels are udunits' own.
_NO_UNIT = re.compile(
    r"1|-+|#|n\.?/?a\.?|none|no[ _]units?|unit-?less|dimension-?less|index|number|counts?"
    r"|(grid[ _]?)?(cells?|points?)|levels?|layers?|sigma_levels?",
    re.IGNORECASE,
)
_POLES = {"latitude": "north", "longitude": "east"}


@dataclasses.dataclass(frozen=True, eq=False)
class Axis:
    """One axis of space.

    Attributes
    ----------
    name : str
        As in the data.
    values : ndarray of float64
        Positions of the cells in `unit`, ascending, read-only.
    unit : str
        Unit of the values as the data give it, such as "degrees_north"; "" for none.
    spacing : float
        Distance of neighbouring cells in `spacing_unit`; along longitude at the mean latitude.
    spacing_unit : str
        "m" where the unit is degrees of latitude or longitude, else `unit`.
    kind : {"latitude", "longitude", ""}
        What it is on a sphere.
    is_flipped : bool
        Whether the data have it descending.
    is_periodic : bool
        Whether it is a longitude that goes all the way round.
    is_rotated : bool
        Whether the sphere's poles are not those of the earth: north is the grid's alone then.
    """

    name: str
    values: NDArray[np.float64] = dataclasses.field(repr=False)
    unit: str
    spacing: float
    spacing_unit: str
    kind: str = ""
    is_flipped: bool = False
    is_periodic: bool = False
    is_rotated: bool = False

    @property
    def is_geographic(self) -> bool:
        """Whether it leads to the north or the east of the earth."""
        return bool(self.kind) and not self.is_rotated

    @property
    def is_latitude(self) -> bool:
        """Whether it is a latitude whose degrees are known in metres."""
        return self.kind == "latitude" and self.spacing_unit == "m"

    @property
    def is_longitude(self) -> bool:
        """Whether it is a longitude whose degrees are known in metres."""
        return self.kind == "longitude" and self.spacing_unit == "m"

    @property
    def step(self) -> float:
        """Distance of neighbouring cells in `unit`; of a single cell without a length, its size."""
        if len(self.values) == 1:
            return self.spacing
        return (float(self.values[-1]) - float(self.values[0])) / (len(self.values) - 1)

    @property
    def origin(self) -> float:
        """Position of the first cell in `spacing_unit`."""
        return float(self.values[0]) * self.spacing / self.step


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
            if kind == "latitude" and is_number and _DEGREES.fullmatch(unit_of(attributes)):
                mean_latitude = float(np.mean(values))
        return cls(
            tuple(
                _read_axis(*entry, *kind, mean_latitude)
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


def unit_of(attributes: Mapping[str, Any]) -> str:
    """The unit among the attributes of a coordinate; "" where there is none, as "1" says, too."""
    unit = attributes.get("units", "")
    if not isinstance(unit, str):
        return repr(unit)
    return "" if _NO_UNIT.fullmatch(unit.strip()) else unit.strip()


def kind_of(name: str, attributes: Mapping[str, Any]) -> tuple[str, bool]:
    """What a coordinate is on a sphere, by its standard name, its name or its unit.

    Parameters
    ----------
    name : str
        Its name.
    attributes : mapping
        "standard_name" and "units" are looked at.

    Returns
    -------
    kind : {"latitude", "longitude", ""}
        "" for neither.
    is_rotated : bool
        Whether that sphere's poles are not those of the earth.
    """
    standard, unit = str(attributes.get("standard_name", "")), unit_of(attributes)
    if standard in _GEOGRAPHIC:
        return _GEOGRAPHIC[standard], False
    for word in (standard, name.lower()):
        if word in _ROTATED:
            return _ROTATED[word], True
    if _NORTH.fullmatch(unit):
        return "latitude", False
    if _EAST.fullmatch(unit):
        return "longitude", False
    return _GEOGRAPHIC.get(name.lower(), ""), False


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


def _read_axis(
    name: str,
    values: Any,
    attributes: Mapping[str, Any],
    kind: str,
    is_rotated: bool,
    latitude: float,
) -> Axis:
    numbers = np.asarray(values)
    unit = unit_of(attributes)
    doubt = ""
    if numbers.dtype.kind not in "iuf":
        doubt = f"its values are of type {numbers.dtype}"
        numbers = np.arange(float(len(numbers)))
    elif not isinstance(attributes.get("units", ""), str):
        doubt = f"its unit is {unit}, no text"
    elif kind and not _DEGREES.fullmatch(unit):
        doubt = f"a {kind} in {unit or 'no unit'!r} cannot be converted to metres"
        doubt += f"; degrees are marked by the attribute units='degrees_{_POLES[kind]}'"
    rounding = np.finfo(numbers.dtype).eps if numbers.dtype.kind == "f" else 0.0
    positions = numbers.astype(np.float64)
    if not np.isfinite(positions).all():
        i = int(np.argmin(np.isfinite(positions)))
        refuse(name, "finite coordinates", f"{positions[i]} at index {i}")
    if not positions.size:
        refuse(name, "at least one entry", "none")
    is_flipped = bool(positions[-1] < positions[0])
    if is_flipped:
        positions = positions[::-1]
    check_monotone(name, positions, "longitude" if kind == "longitude" else "")
    _check_even(name, positions, float(rounding))
    step = float(np.diff(positions).mean())
    if not SHORTEST <= step <= LONGEST:
        refuse(name, f"cells of {SHORTEST:g} to {LONGEST:g}", f"{step:g}")
    is_degrees = bool(kind and _DEGREES.fullmatch(unit))
    if is_degrees and kind == "latitude" and np.abs(positions).max() > HIGHEST_LATITUDE:
        i = int(np.argmax(np.abs(positions)))
        rule = "latitudes from -90 to 90 degrees"
        refuse(name, rule, f"{positions[i]:g} at index {i} (in ascending order)")
    if is_degrees and kind == "longitude":
        _check_once(name, positions, float(rounding))
    is_periodic = is_degrees and kind == "longitude" and _closes(positions, float(rounding))
    if doubt:
        warnings.warn(f"axis '{name}' keeps lattice units: {doubt}", UserWarning, stacklevel=4)
        spacing, spacing_unit = 1.0, ""
    elif is_degrees:
        narrowing = float(np.cos(np.deg2rad(latitude))) if kind == "longitude" else 1.0
        spacing, spacing_unit = METRES_PER_DEGREE * narrowing * step, "m"
    else:
        spacing, spacing_unit = step, unit
    return Axis(
        name,
        read_only(positions),
        unit,
        spacing,
        spacing_unit,
        kind,
        is_flipped,
        is_periodic,
        is_rotated,
    )


def check_monotone(
    name: str,
    values: NDArray[np.float64],
    kind: str = "",
    label: Callable[[int], str] | None = None,
) -> None:
    """Refuse an axis that does not ascend; `label` writes the value at an index."""
    wrong = np.diff(values) <= 0.0
    if wrong.any():
        i = int(np.argmax(wrong))
        label = label or (lambda i: f"{values[i]:g}")
        fix = "a longitude that jumps can be sorted: da.assign_coords, then da.sortby"
        refuse(
            name,
            "a monotone axis",
            f"{label(i)} followed by {label(i + 1)} at index {i + 1} (in ascending order)",
            fix=fix if kind == "longitude" else "sort it with da.sortby, and drop duplicates",
        )


def _check_even(name: str, values: NDArray[np.float64], rounding: float) -> None:
    """Refuse an axis whose steps differ by more than jitter and the rounding of its type."""
    even = np.linspace(values[0], values[-1], len(values))
    step = (values[-1] - values[0]) / max(len(values) - 1, 1)
    allowed = JITTER * step + rounding * np.abs(values).max()
    if np.abs(values - even).max() > allowed:
        steps = np.diff(values)
        typical = float(np.quantile(steps, 0.5, method="lower"))
        i = int(np.argmax(np.abs(steps - typical)))
        refuse(
            name,
            "an even axis",
            f"a step of {steps[i]:g} at index {i + 1} (in ascending order, from {values[i]:g} to "
            f"{values[i + 1]:g}) where the usual one is {typical:g}",
            fix="put the data on an even grid with da.interp, or choose one entry with da.sel (on "
            "the command line with --select)",
        )


def _check_once(name: str, values: NDArray[np.float64], rounding: float) -> None:
    """Refuse a longitude that goes further than once round."""
    step = (values[-1] - values[0]) / (len(values) - 1)
    allowed = 2.0 * (JITTER * step + rounding * np.abs(values).max())
    n_repeated = int(np.sum(values - values[0] > 360.0 - allowed))
    if n_repeated:
        entries = "entry" if n_repeated == 1 else f"{n_repeated} entries"
        refuse(
            name,
            "a longitude that meets each place once",
            f"{values[0]:g} to {values[-1]:g} degrees",
            fix=f"leave out the last {entries}, as da.isel({name}=slice(None, -{n_repeated})) does",
        )


def _closes(values: NDArray[np.float64], rounding: float) -> bool:
    step = (values[-1] - values[0]) / (len(values) - 1)
    gap = 360.0 - (values[-1] - values[0])
    return bool(abs(gap - step) <= 2.0 * (JITTER * step + rounding * np.abs(values).max()))


def read_only(values: NDArray[Any]) -> NDArray[Any]:
    """A copy that nobody changes."""
    copy = np.array(values)
    copy.flags.writeable = False
    return copy
