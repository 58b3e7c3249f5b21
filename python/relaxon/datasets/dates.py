"""Arithmetic with times of any kind: datetime64, cftime objects, durations and plain numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..base.validate import refuse
from .axis import JITTER

__all__ = [
    "elapsed",
    "has_cftime",
    "later",
    "months",
    "months_later",
    "pack_times",
    "time_text",
    "unpack_times",
]

DAY = np.timedelta64(1, "D")
SECOND = np.timedelta64(1, "s")
LARGEST = 2**63 - 1
_ISO_DATE = re.compile(r"(-?\d+)-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?)?")


def time_text(time: Any, unit: str = "") -> str:
    """A date in as few characters as it takes, or a number and its unit."""
    if isinstance(time, np.datetime64):
        return str(np.datetime_as_string(time, unit="auto"))
    if isinstance(time, np.timedelta64):
        return f"{time / SECOND:g} s"
    if isinstance(time, np.number | float | int):
        return f"{time:g} {unit}".rstrip()
    # Of cftime.
    return str(time.isoformat()).removesuffix(":00").removesuffix("T00:00")


def has_cftime(times: NDArray[Any]) -> bool:
    """Whether all are dates of the package cftime."""
    return times.dtype.kind == "O" and all(hasattr(t, "calendar") for t in times.ravel())


def pack_times(times: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Times as arrays without Python objects, for archives.

    Parameters
    ----------
    times : ndarray
        Of any kind.

    Returns
    -------
    dict of str to ndarray
        "time"; dates of cftime are texts as in "2001-02-30T12:00:00", beside their "calendar".
    """
    if not has_cftime(times):
        return {"time": times}
    texts = [time.isoformat() for time in times.ravel()]
    return {
        "time": np.array(texts, np.str_).reshape(times.shape),
        "calendar": np.array(times.ravel()[0].calendar if times.size else "standard"),
    }


def unpack_times(arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """The times that :func:`pack_times` made arrays of.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        With "time", and "calendar" beside texts that are not of the standard calendar.

    Returns
    -------
    ndarray
        datetime64, cftime objects, or what else "time" holds.

    Raises
    ------
    ValueError
        If a text is no date of its calendar.
    """
    times = arrays["time"]
    if times.dtype.kind != "U":
        return times
    calendar = str(arrays["calendar"]) if "calendar" in arrays else ""
    found = [_read_date(str(text), calendar) for text in times]
    return np.array(found, object if calendar else None)


def _read_date(text: str, calendar: str) -> Any:
    try:
        if not calendar:
            return np.datetime64(text)
        import cftime

        match = _ISO_DATE.fullmatch(text)
        if match is None:
            raise ValueError("no date")
        year, month, day, hour, minute, second = (int(number or 0) for number in match.groups()[:6])
        microsecond = int((match[7] or "0").ljust(6, "0"))
        return cftime.datetime(
            year, month, day, hour, minute, second, microsecond, calendar=calendar
        )
    except ValueError:
        kind = f"dates of the calendar {calendar!r}" if calendar else "dates"
        refuse("time", f"{kind}, as in '2001-02-28T12:00:00'", repr(text))


def elapsed(times: NDArray[Any]) -> NDArray[np.float64]:
    """Seconds since the first date, or numbers as they are."""
    if times.dtype.kind in "iuf":
        return times.astype(np.float64)
    if times.dtype.kind in "mM":
        # Nanoseconds between two dates they can write may be more than they can count.
        whole = times.astype(f"{times.dtype.kind}8[s]")
        rest = (times - whole) / SECOND
        return np.asarray((whole - whole[0]) / SECOND + (rest - rest[0]))
    return np.array([duration.total_seconds() for duration in times - times[0]])


def later(times: NDArray[Any], length: float) -> NDArray[Any]:
    """Times so many seconds later, or so many units of numbers.

    Dates are added in their own unit, or in a finer one where the length is not whole in it.

    Raises
    ------
    ValueError
        If a date does not fit into its unit.
    """
    if times.dtype.kind in "iu" and float(length).is_integer():
        return np.asarray(times.astype(np.int64) + int(length))
    if times.dtype.kind in "iuf":
        return np.asarray(times.astype(np.float64) + length)
    if times.dtype.kind == "O":
        try:
            return np.array([time + timedelta(seconds=length) for time in times], object)
        except (OverflowError, ValueError):
            _refuse_overflow(times[-1], "its calendar")
    times, ticks = _with_whole_ticks(times, length)
    numbers = times.astype(np.int64)
    # Addition of 64-bit integers wraps without a word.
    limit = LARGEST - abs(ticks)
    wrong = numbers > limit if ticks > 0 else numbers < -limit
    if wrong.any():
        _refuse_overflow(times[np.argmax(wrong)], str(times.dtype))
    return np.asarray((numbers + ticks).astype(times.dtype))


def _with_whole_ticks(times: NDArray[Any], length: float) -> tuple[NDArray[Any], int]:
    """Dates in a unit in which a length in seconds is whole, and that number."""
    own, count = np.datetime_data(times.dtype)
    # Months and years have no length in seconds.
    units = ["s"] if own in ("Y", "M") else [own]
    units += [unit for unit in ("s", "ms", "us", "ns") if _seconds(unit) < _seconds(units[0])]
    for unit in units:
        n_units = count if unit == own else 1
        ticks = length / (n_units * _seconds(unit))
        if abs(ticks - round(ticks)) <= JITTER * abs(ticks):
            break
    return _cast(times, np.dtype(f"{times.dtype.kind}8[{n_units}{unit}]")), round(ticks)


def _cast(times: NDArray[Any], dtype: np.dtype[Any], origins: Any = None) -> NDArray[Any]:
    """Dates in another unit, where NumPy wraps those that do not fit; `origins` are named then."""
    unit, count = np.datetime_data(dtype)
    most_days = LARGEST * count * _seconds(unit) / 86400.0 - 1.0
    wrong = np.abs(times.astype(f"{dtype.kind}8[D]").astype(np.int64)) > most_days
    if wrong.any():
        _refuse_overflow((times if origins is None else origins)[np.argmax(wrong)], str(dtype))
    return times.astype(dtype)


def _seconds(unit: str) -> float:
    return float(np.timedelta64(1, unit) / SECOND)  # type: ignore[call-overload]


def months(times: NDArray[Any]) -> NDArray[np.int64]:
    """Months since the year 0, or since 1970, which is as many years of twelve."""
    if times.dtype.kind == "M":
        return np.asarray(times.astype("datetime64[M]").astype(np.int64))
    return np.array([12 * t.year + t.month - 1 for t in times], np.int64)


def months_later(times: NDArray[Any], n_months: int) -> NDArray[Any]:
    """Dates so many calendar months later.

    They keep their day, but the last one of a month stays the last one.

    Raises
    ------
    ValueError
        If a date does not fit into its unit.
    """
    if times.dtype.kind == "M":
        return _datetimes_later(times, n_months)
    found = np.empty_like(times)
    for i, time in enumerate(times):
        begin, end = _month(time, 0), _month(time, 1)
        later_begin, later_end = _month(time, n_months), _month(time, n_months + 1)
        day = timedelta(days=1)
        last_day = later_end - day + (time - begin) % day
        found[i] = last_day if end - time <= day else min(later_begin + (time - begin), last_day)
    return found


def _month(time: Any, n_months: int) -> Any:
    """The beginning of a time's month, or of one so many months later."""
    years, month = divmod(time.month - 1 + n_months, 12)
    start = {"day": 1, "hour": 0, "minute": 0, "second": 0, "microsecond": 0}
    return time.replace(year=time.year + years, month=month + 1, **start)


def _datetimes_later(times: NDArray[Any], n_months: int) -> NDArray[Any]:
    unit = np.datetime_data(times.dtype)[0]
    if unit in ("Y", "M"):
        return np.asarray(times.astype("M8[M]") + n_months)
    days = times.astype("M8[D]")
    begin, last_day = _month_of_days(days, 0)
    later_begin, later_last_day = _month_of_days(days, n_months)
    day = np.minimum(days - begin, later_last_day - later_begin)
    later_days = np.where(days == last_day, later_last_day, later_begin + day)
    if unit == "W":
        return later_days
    return np.asarray(_cast(later_days, times.dtype, times) + (times - days.astype(times.dtype)))


def _month_of_days(days: NDArray[Any], n_months: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """First and last day of the month so many months later."""
    month = days.astype("M8[M]") + n_months
    return month.astype("M8[D]"), (month + 1).astype("M8[D]") - DAY


def _refuse_overflow(time: Any, kind: str) -> NoReturn:
    refuse(
        "time",
        f"dates whose forecasts fit into {kind}, too",
        time_text(time),
        fix="choose earlier times, or a coarser unit, as da.time.astype('datetime64[s]') has",
    )
