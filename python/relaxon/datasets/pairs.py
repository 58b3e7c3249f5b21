"""Data to fit: the set shipped with the package, and pairs from any labelled array."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..base.validate import check_choice, check_instance, check_integer, refuse
from ..domain.grid import Grid
from .coordinates import Coordinates
from .scaling import Scaling
from .series import Series
from .time_axis import PERIODS, TimeAxis

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["Pairs", "SeaSurfaceTemperature", "from_xarray", "sst"]

_NORTH = {"units": "degrees_north", "standard_name": "latitude"}
_EAST = {"units": "degrees_east", "standard_name": "longitude"}


@dataclass(frozen=True, eq=False)
class SeaSurfaceTemperature:
    """Monthly mean sea-surface temperature along the equator; all arrays are read-only.

    Attributes
    ----------
    temperature : ndarray of float64, shape (54, 18, 432)
        Temperature in K, one field per month; NaN on land.
    time : ndarray of datetime64[h], shape (54,)
        Middle of each month, April 2006 to September 2010.
    latitude : ndarray of float64, shape (18,)
        Degrees north, ascending.
    longitude : ndarray of float64, shape (432,)
        Degrees east, ascending, all the way round.
    mask : ndarray of bool, shape (18, 432)
        True on sea.
    spacing : tuple of float
        Size of a cell along latitude and longitude in metres.
    unit : str
        Unit of the temperature, "K".
    spacing_unit : str
        Unit of the spacing, "m".
    licence : str
        Source and terms of use.

    Notes
    -----
    Degrees become metres on a sphere of radius 6371 km, longitudes at the mean latitude: the cells'
    width varies by 0.4 % between the equator and 5 degrees.
    """

    temperature: NDArray[np.float64] = field(repr=False)
    time: NDArray[np.datetime64] = field(repr=False)
    latitude: NDArray[np.float64] = field(repr=False)
    longitude: NDArray[np.float64] = field(repr=False)
    mask: NDArray[np.bool_] = field(repr=False)
    spacing: tuple[float, float]
    unit: str
    spacing_unit: str
    licence: str = field(repr=False)

    def series(self) -> Series:
        """The temperatures as a series of fields, as an experiment takes it.

        Returns
        -------
        Series
            With coordinates and time.
        """
        coordinates = Coordinates.read(
            [("latitude", self.latitude, _NORTH), ("longitude", self.longitude, _EAST)]
        )
        return Series(
            name="sst",
            unit=self.unit,
            values=np.where(self.mask, self.temperature, np.nan),
            time=TimeAxis.read("time", self.time, {}),
            coordinates=coordinates,
            source="sst",
            domain="sea",
            anomaly="month",
        )

    def to_xarray(self) -> DataArray:
        """The temperatures as a labelled array; needs the extra ``data``.

        Returns
        -------
        xarray.DataArray
            Of shape (54, 18, 432), with the axes time, latitude and longitude.

        Examples
        --------
        >>> import relaxon as rx
        >>> rx.datasets.sst().to_xarray().sizes["longitude"]
        432
        """
        from xarray import DataArray

        return DataArray(
            self.temperature,
            {
                "time": self.time.astype("datetime64[ns]"),
                "latitude": ("latitude", self.latitude, _NORTH),
                "longitude": ("longitude", self.longitude, _EAST),
            },
            ("time", "latitude", "longitude"),
            name="sst",
            attrs={"units": self.unit, "standard_name": "sea_surface_temperature"},
        )


def sst() -> SeaSurfaceTemperature:
    """Monthly satellite sea-surface temperature, 5 S to 4.4 N, all longitudes, 54 months.

    Met Office OSTIA, rounded to 0.001 K. Contains public sector information licensed under the
    Open Government Licence v3.0; the result's ``licence`` gives source and terms.

    Returns
    -------
    SeaSurfaceTemperature
        Fields of shape (54, 18, 432) with coordinates, mask and spacing in metres.

    Examples
    --------
    >>> import relaxon as rx
    >>> data = rx.datasets.sst()
    >>> data.temperature.shape, int(data.mask.sum())
    ((54, 18, 432), 5721)
    >>> [round(h / 1000, 1) for h in data.spacing]
    [61.8, 92.7]
    """
    # Slow to load.
    from importlib import resources

    folder = resources.files("relaxon") / "data"
    with (folder / "ostia_sst_monthly.npz").open("rb") as file, np.load(file) as packed:
        changes = packed["high"] * np.int16(256) + packed["low"]
        steps = changes.cumsum(axis=0, dtype=np.int16).transpose(2, 0, 1).copy()
        temperature = packed["offset"] + packed["step"] * steps
        is_land = steps == packed["land"]
        time = packed["hours_since_1970"].astype("datetime64[h]")
        latitude = packed["latitude"].astype(np.float64)
        longitude = packed["longitude"].astype(np.float64)
    temperature[is_land] = np.nan
    mask = ~is_land.any(axis=0)
    coordinates = Coordinates.read(
        [("latitude", latitude, _NORTH), ("longitude", longitude, _EAST)]
    )
    arrays: tuple[NDArray[Any], ...] = (temperature, time, latitude, longitude, mask)
    for array in arrays:
        array.flags.writeable = False
    return SeaSurfaceTemperature(
        temperature=temperature,
        time=time,
        latitude=latitude,
        longitude=longitude,
        mask=mask,
        spacing=(coordinates.spacing[0], coordinates.spacing[1]),
        unit="K",
        spacing_unit="m",
        licence=(folder / "ostia_sst_monthly.txt").read_text(encoding="utf-8"),
    )


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of fields a lead apart, ready for :func:`relaxon.fit`; all arrays are read-only.

    Attributes
    ----------
    x, y : ndarray of float64, shape (pairs, *grid.shape)
        Anomalies in units of `scaling.scale`, the later ones in y. NaN on masked cells and where
        missing.
    weights : ndarray of bool or None
        False where y is missing, for ``SquaredDistance(weights=)``; None where none is.
    time : ndarray, shape (pairs,)
        Times of y; with an ensemble each occurs once for each member.
    grid : Grid
        Shape, spacing, boundary, mask, names, origin and unit.
    scaling : Scaling
        Climatology, scale, lead and coordinates, for ``model.with_scaling``.
    coordinates : Coordinates
        Positions of the cells, in the data's units, ascending.
    notes : tuple of str
        What was found: spacing, its spread, times without partner, missing values.
    groups : ndarray of int64, shape (pairs,), optional
        Pairs of equal number are one cluster of the standard errors, for ``explain(groups=)``:
        the members of one time, or with a lead above 1 blocks of two leads of times; None
        where each is its own.
    """

    x: NDArray[np.float64] = field(repr=False)
    y: NDArray[np.float64] = field(repr=False)
    weights: NDArray[np.bool_] | None = field(repr=False)
    time: NDArray[Any] = field(repr=False)
    grid: Grid
    scaling: Scaling
    coordinates: Coordinates = field(repr=False)
    notes: tuple[str, ...]
    groups: NDArray[np.int64] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def missing(self) -> NDArray[np.bool_] | None:
        """Where an existing cell has no x; None where all have one."""
        is_missing = np.isnan(self.x)
        if self.grid.mask is not None:
            is_missing &= self.grid.mask
        return is_missing if is_missing.any() else None


def from_xarray(
    da: DataArray,
    lead: int | None = None,
    anomaly: str | None = None,
    scaling: Scaling | None = None,
) -> Pairs:
    """Pairs of fields from a labelled array: x now, y `lead` steps of time later.

    x = (v(t) - c) / s, y = (v(t + lead) - c) / s, with the climatology c and the standard deviation
    s of the anomalies.

    Parameters
    ----------
    da : xarray.DataArray
        One axis of time, most of it at one step or one number of calendar months, and one to three
        even axes of space, in any order. Times without partner a lead later are left out. Degrees
        of latitude and longitude (by their attributes) become metres on a sphere of radius 6371 km,
        longitudes at the mean latitude; other units are kept. Descending axes are turned round. A
        cell without any value becomes masked.
    lead : int, optional
        Steps from x to y. Default: that of `scaling`, or 1 without one.
    anomaly : {"none", "mean", "month", "hour"}, optional
        The climatology to remove: a mean per cell for each month of the year, hour of the day or
        for all times, or one mean for all cells. Default: that of `scaling`; without one "mean"
        where the means of the cells hold more than half of the variance (a note says so), for what
        stands still would hide what moves, and else "none".
    scaling : Scaling, optional
        Of other pairs, those for training: for data to test on. It brings climatology, scale, mask,
        lead and the anomaly's kind along. Default: those of `da`.

    Returns
    -------
    Pairs
        Arrays, grid, scaling and coordinates.

    Raises
    ------
    TypeError, ValueError
        If there is no time axis or no step prevails in it, no two times are the lead apart, the
        anomaly is of no use for its times (hours for steps of days, each month once), an axis is
        not monotone, one of space is uneven (which one and where), times have a unit that cannot be
        read, all values are missing, one value is so far outside the others that it seems to stand
        for gaps, no pair has values in both x and y, or `scaling` is of another grid, unit, step of
        time, lead or anomaly, or has no climatology for a month or hour of `da`.

    Warns
    -----
    UserWarning
        If the unit of an axis cannot be understood: it keeps lattice units.

    Notes
    -----
    Evenness is checked to 1e-3 of the spacing. Missing are NaN, what lies outside the attributes
    valid_min, valid_max and valid_range (packed numbers where the encoding says so; NetCDF Users
    Guide, Attribute Conventions), and netCDF's default fill value. :func:`relaxon.fit` leaves out
    targets that read a missing x, or estimates it.

    Examples
    --------
    >>> import relaxon as rx
    >>> da = rx.datasets.sst().to_xarray()
    >>> training = rx.datasets.from_xarray(da[:40], anomaly="month")
    >>> held_out = rx.datasets.from_xarray(da[40:], scaling=training.scaling)
    >>> training.x.shape, held_out.x.shape, training.grid.boundary[1]
    ((39, 18, 432), (13, 18, 432), ('periodic', 'periodic'))
    >>> rx.datasets.from_xarray(da[40:], lead=2, scaling=training.scaling)
    Traceback (most recent call last):
    ValueError: argument 'lead': expected 1, that of the scaling, got 2; leave it out
    """
    if scaling is not None:
        check_instance("scaling", scaling, Scaling)
    series = Series.read(da, order=() if scaling is None else scaling.coordinates.names)
    if lead is not None:
        lead = check_integer("lead", lead, 1)
    if anomaly is not None:
        check_choice("anomaly", anomaly, tuple(PERIODS))
    note = ""
    if scaling is None:
        lead = lead or 1
        series.time.check_lead(lead)
        if anomaly is None:
            anomaly, note = series.usual_period(len(series))
        scaling = series.scaling(len(series), lead, anomaly)
    else:
        scaling.check(series.coordinates, series.time.step, series.unit)
        for name, given, own in (
            ("lead", lead, scaling.lead),
            ("anomaly", anomaly, scaling.period),
        ):
            if given not in (None, own):
                refuse(name, f"{own!r}, that of the scaling", repr(given), fix="leave it out")
        series.time.check_lead(scaling.lead)
        series.check_climatology(scaling)
    samples = series.samples(scaling, 0, len(series))
    if not samples.has_pair(scaling.mask):
        refuse("lead", "one at which x and y both have values", f"{scaling.lead}: no pair has them")
    assert samples.time is not None
    mask = None if scaling.mask.all() else scaling.mask
    assert samples.time is not None
    return Pairs(
        x=samples.x,
        y=samples.y,
        weights=samples.weights,
        time=samples.time,
        grid=series.coordinates.grid(mask),
        scaling=scaling,
        coordinates=series.coordinates,
        notes=(*series.describe(scaling), *([note] if note else [])),
        groups=samples.groups,
    )
