"""Times of data files, which are numbers and a unit, become dates.

Months and years since a date are calendar months: n + f of them is the date n months later and the
share f of the way to the next.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..base.validate import refuse
from .attributes import unit_of
from .axis import JITTER
from .dates import months_later

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["decode_times", "is_since"]

_MONTHS = re.compile(r"\s*(month|year)s?\s+since\s+(.*)", re.IGNORECASE)
_SINCE = re.compile(r"\s*(\w+?)[\s_]+since(?:[\s_]+|$)", re.IGNORECASE)
_GREGORIAN = ("standard", "gregorian", "proleptic_gregorian")
# What every version of xarray writes as datetime64.
_FIRST_YEAR, _LAST_YEAR = 1678, 2261


def is_since(unit: str) -> bool:
    """Whether a unit is a length of time since a date, in whatever letters."""
    return _SINCE.match(unit) is not None


def decode_times(da: DataArray) -> DataArray:
    """Dates in place of numbers whose unit is a length of time since a date.

    Parameters
    ----------
    da : xarray.DataArray
        As a file holds it, or with times that are dates already.

    Returns
    -------
    xarray.DataArray
        With datetime64 or, where the calendar or the year needs it, cftime dates. Lengths of time
        stay numbers with their unit.

    Raises
    ------
    ValueError
        If an axis has a unit of time that cannot be decoded. Other coordinates are left as they
        are then.
    """
    for name, coordinate in list(da.coords.items()):
        unit = unit_of(coordinate.attrs)
        is_axis = coordinate.dims == (name,)
        if coordinate.dtype.kind not in "iuf":
            continue
        if "%Y" in unit and is_axis:
            _refuse_unit(str(name), coordinate.attrs, "numbers that spell a date")
        if is_since(unit):
            try:
                da = da.assign_coords({name: _decode(coordinate)})
            except (ValueError, OverflowError, TypeError) as error:
                if is_axis:
                    reason = str(error).partition(". Try opening")[0]
                    _refuse_unit(str(name), coordinate.attrs, " ".join(reason.split()))
    return da


def _decode(coordinate: DataArray) -> tuple[Any, ...]:
    """Dimensions, dates, attributes and encoding."""
    import xarray

    attributes = {**coordinate.attrs, "units": _plain(unit_of(coordinate.attrs))}
    match = _MONTHS.match(attributes["units"])
    calendar = _calendar(coordinate.attrs)
    if match and calendar != "360_day":
        numbers = np.asarray(coordinate.values, np.float64)
        per_unit = 12.0 if match[1].lower() == "year" else 1.0
        dates = _months_since(per_unit * numbers, match[2], calendar).reshape(numbers.shape)
        others = {k: v for k, v in coordinate.attrs.items() if k not in ("units", "calendar")}
        return coordinate.dims, dates, others
    # Under a name of its own: it would be an index otherwise.
    dims = [f"{dim} of times" for dim in coordinate.dims]
    numbers = coordinate.values
    if attributes["units"].startswith("week"):
        numbers = 7.0 * numbers
        attributes["units"] = re.sub("weeks?", "days", attributes["units"], count=1)
    encoded = xarray.Dataset({"dates": (dims, numbers, attributes)})
    with warnings.catch_warnings():
        # That dates are those of cftime where others cannot be, and that NaN is none.
        warnings.simplefilter("ignore", RuntimeWarning)
        decoded = xarray.decode_cf(encoded, decode_timedelta=False)["dates"].load()
    return coordinate.dims, decoded.values, decoded.attrs, decoded.encoding


def _plain(unit: str) -> str:
    """The unit as the conventions write it."""
    return _SINCE.sub(lambda match: f"{match[1].lower()} since ", unit, count=1).strip()


def _months_since(numbers: NDArray[np.float64], reference: str, calendar: str) -> NDArray[Any]:
    """Dates so many calendar months after a date."""
    import cftime

    halves = np.rint(2.0 * numbers)
    is_odd = np.abs(2.0 * numbers - halves) > 2.0 * JITTER
    if is_odd.any() or not np.isfinite(numbers).all():
        odd = numbers[~np.isfinite(numbers) | is_odd].ravel()[0]
        raise ValueError(
            f"{odd:g} months after a date is no calendar month: expected whole or half ones"
        )
    start = np.array([cftime.num2date(0, f"days since {reference}", calendar=calendar)], object)
    n_months = np.floor(halves / 2.0).astype(int).ravel()
    dates = np.empty(len(n_months), object)
    for i, (n, is_half) in enumerate(zip(n_months, halves.ravel() % 2.0, strict=True)):
        date = months_later(start, int(n))[0]
        if is_half:
            date += (months_later(start, int(n) + 1)[0] - date) / 2
        dates[i] = date
    years = [date.year for date in dates]
    if calendar in _GREGORIAN and min(years) >= _FIRST_YEAR and max(years) <= _LAST_YEAR:
        return np.array([date.isoformat() for date in dates], "M8[ns]")
    return dates


def _calendar(attributes: Mapping[str, Any]) -> str:
    return str(attributes.get("calendar", "standard")).strip().lower()


def _refuse_unit(name: str, attributes: Mapping[str, Any], reason: str) -> NoReturn:
    got = f"{unit_of(attributes)!r}"
    if "calendar" in attributes:
        got += f" in the calendar {attributes['calendar']!r}"
    refuse(
        name,
        "times in a unit that can be read, such as 'days since 2000-01-01'",
        f"{got} ({reason})",
        fix="set the attributes units and calendar of the axis to what its numbers mean",
    )
