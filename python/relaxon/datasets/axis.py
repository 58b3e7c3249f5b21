"""One axis of gridded data: what it must be like, and its spacing in units of length.

Degrees become metres on a sphere of radius 6371 km: along latitude h = r dphi, along longitude
h = r cos(phi) dlambda.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.validate import refuse
from .attributes import DEGREES, unit_of

__all__ = [
    "EARTH_RADIUS",
    "HIGHEST_LATITUDE",
    "JITTER",
    "LONGEST",
    "METRES_PER_DEGREE",
    "SHORTEST",
    "Axis",
    "check_monotone",
    "read_axis",
    "read_only",
]

EARTH_RADIUS = 6.371e6  # metres; the mean radius
METRES_PER_DEGREE = float(np.deg2rad(EARTH_RADIUS))
# Of cells and steps of time: coefficients, with squares of lengths over times, stay numbers.
SHORTEST, LONGEST = 1e-100, 1e100
# Largest distance of a coordinate from its even place, in spacings.
JITTER = 1e-3
HIGHEST_LATITUDE = 90.0 * (1.0 + JITTER)

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


def read_axis(
    name: str,
    values: Any,
    attributes: Mapping[str, Any],
    kind: str,
    is_rotated: bool,
    latitude: float,
) -> Axis:
    """Read one axis as data files describe it.

    Parameters
    ----------
    name : str
        Its name.
    values : array_like
        Positions of the cells.
    attributes : mapping
        "units" is looked at.
    kind : {"latitude", "longitude", ""}
        What it is on a sphere.
    is_rotated : bool
        Whether that sphere's poles are not those of the earth.
    latitude : float
        Degrees north at which degrees of longitude are measured.

    Returns
    -------
    Axis
        With ascending values.

    Raises
    ------
    ValueError
        If the values are none, not finite, not monotone or not even, cells are too short or too
        long to compute with, a latitude is beyond a pole, or a longitude meets a place twice.

    Warns
    -----
    UserWarning
        If the unit or the values cannot be understood: the axis keeps lattice units.
    """
    numbers = np.asarray(values)
    unit = unit_of(attributes)
    doubt = ""
    if numbers.dtype.kind not in "iuf":
        doubt = f"its values are of type {numbers.dtype}"
        numbers = np.arange(float(len(numbers)))
    elif not isinstance(attributes.get("units", ""), str):
        doubt = f"its unit is {unit}, no text"
    elif kind and not DEGREES.fullmatch(unit):
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
    is_degrees = bool(kind and DEGREES.fullmatch(unit))
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
