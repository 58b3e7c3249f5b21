"""Data sets shipped with the package."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SeaSurfaceTemperature", "sst"]

EARTH_RADIUS = 6.371e6  # metres; the mean radius, as the data's own grid assumes a sphere


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
    folder = resources.files("relaxon") / "data"
    with (folder / "ostia_sst_monthly.npz").open("rb") as file, np.load(file) as packed:
        steps = packed["sst"]
        temperature = packed["offset"] + packed["step"] * steps
        is_land = steps == packed["land"]
        time = packed["hours_since_1970"].astype("datetime64[h]")
        latitude = packed["latitude"].astype(np.float64)
        longitude = packed["longitude"].astype(np.float64)
    temperature[is_land] = np.nan
    mask = ~is_land.any(axis=0)
    metres_per_degree = np.deg2rad(EARTH_RADIUS)
    narrowing = np.cos(np.deg2rad(latitude.mean()))
    spacing = (
        float(metres_per_degree * np.diff(latitude).mean()),
        float(metres_per_degree * narrowing * np.diff(longitude).mean()),
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
        spacing=spacing,
        unit="K",
        spacing_unit="m",
        licence=(folder / "ostia_sst_monthly.txt").read_text(encoding="utf-8"),
    )
