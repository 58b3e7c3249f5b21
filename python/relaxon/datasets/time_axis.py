"""The axis of time: even steps of dates or numbers, or calendar months."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._validate import refuse
from .coordinates import JITTER, check_even, check_monotone, read_only, unit_of

__all__ = [
    "PERIODS",
    "SECONDS_PER_MONTH",
    "Step",
    "TimeAxis",
    "slot_text",
    "slots_of",
    "time_text",
]

SECONDS_PER_MONTH = 365.25 * 86400.0 / 12.0
SHORTEST_MONTH = 27.0 * 86400.0
# What a climatology repeats with, and its number of places.
PERIODS = {"month": 12, "hour": 24, "none": 1}


@dataclasses.dataclass(frozen=True)
class Step:
    """The step of a time axis.

    Attributes
    ----------
    length : float
        In `unit`; a calendar month counts 365.25 / 12 days.
    unit : str
        "s" where times are dates, else the unit of the numbers, or "".
    n_months : int
        Calendar months in it; 0 where steps are even in time.
    has_dates : bool
        Whether times are dates.
    """

    length: float
    unit: str = ""
    n_months: int = 0
    has_dates: bool = False

    @property
    def rate_unit(self) -> tuple[str, float]:
        """A unit of time fit for rates and sentences, and its length in `unit`."""
        if not self.has_dates:
            return self.unit, 1.0
        if self.n_months:
            return "month", SECONDS_PER_MONTH
        for name, seconds in (("day", 86400.0), ("hour", 3600.0)):
            if self.length >= seconds:
                return name, seconds
        return "s", 1.0

    @property
    def plural(self) -> str:
        """What the times are called in a sentence: months, days, hours, or just times."""
        name, length = self.rate_unit
        is_plain = self.has_dates and name != "s" and self.length == length
        return f"{name}s" if is_plain else "times"

    def text(self, n_steps: int) -> str:
        """A number of steps in words, such as "6 hours"."""
        name, length = self.rate_unit
        number = n_steps * self.length / length
        if not name:
            return f"{number:g}"
        # A unit of the data's own is nothing to put an s to.
        ending = "s" if self.has_dates and name != "s" and number != 1.0 else ""
        return f"{number:g} {name}{ending}"


@dataclasses.dataclass(frozen=True, eq=False)
class TimeAxis:
    """The axis of time: even steps, or calendar months.

    Attributes
    ----------
    name : str
        As in the data.
    values : ndarray
        datetime64, cftime objects, timedelta64 or numbers, ascending, read-only.
    step : Step
        From one time to the next.
    is_flipped : bool
        Whether the data have it descending.
    """

    name: str
    values: NDArray[Any] = dataclasses.field(repr=False)
    step: Step
    is_flipped: bool = False

    @classmethod
    def read(
        cls, name: str, values: Any, attributes: Mapping[str, Any], step: Step | None = None
    ) -> TimeAxis:
        """Read a time axis as data files describe it.

        Parameters
        ----------
        name : str
            Its name.
        values : array
            datetime64, cftime objects, timedelta64 or numbers.
        attributes : mapping
            "units" is looked at where the values are numbers.
        step : Step, optional
            Where it is known, times need not be even.

        Returns
        -------
        TimeAxis
            Ascending.

        Raises
        ------
        TypeError, ValueError
            If the values are no times, fewer than two, not monotone, or uneven and no calendar
            months.
        """
        times = np.asarray(values)
        has_dates = times.dtype.kind == "M" or _has_cftime(times)
        if not has_dates and times.dtype.kind not in "iufm":
            refuse(name, "times: dates or numbers", f"an axis of {times.dtype}", TypeError)
        if times.size < (2 if step is None else 1):
            refuse(name, "at least two times", times.size)
        if times.dtype.kind in "mM" and np.isnat(times).any():
            refuse(name, "dates", f"NaT at index {int(np.argmax(np.isnat(times)))}")
        numbers = _elapsed(times)
        if not np.isfinite(numbers).all():
            i = int(np.argmin(np.isfinite(numbers)))
            refuse(name, "finite times", f"{times[i]} at index {i}")
        is_flipped = bool(numbers[-1] < numbers[0])
        if is_flipped:
            times, numbers = times[::-1], numbers[::-1]
        unit = "s" if has_dates or times.dtype.kind == "m" else unit_of(attributes)
        check_monotone(name, numbers, label=lambda i: time_text(times[i], unit))
        if step is None:
            step = _read_step(name, times, numbers, Step(0.0, unit, 0, has_dates))
        elif step.has_dates != has_dates:
            kinds = ("numbers", "dates")
            refuse(name, kinds[step.has_dates], kinds[has_dates])
        return cls(name, read_only(times), step, is_flipped)

    def slots(self, period: str) -> NDArray[np.int64]:
        """Place of each time within a climatology.

        Parameters
        ----------
        period : {"month", "hour", "none"}
            What the climatology repeats with.

        Returns
        -------
        ndarray of int64
            Month of the year 0 to 11, hour of the day 0 to 23, or 0.

        Raises
        ------
        ValueError
            If times are plain numbers, which have neither month nor hour, or as
            :meth:`check_period`.
        """
        self.check_period(period)
        return slots_of(self.values, period, self.name)

    def check_period(self, period: str) -> None:
        """Refuse a climatology that these times cannot have.

        Parameters
        ----------
        period : {"month", "hour", "none"}
            What the climatology repeats with.

        Raises
        ------
        ValueError
            If hours are asked for and steps are days, months or years: every time has the same
            hour then.
        """
        days = self.step.length / 86400.0
        is_whole = self.step.n_months > 0 or (days > 0.5 and abs(days - round(days)) < JITTER)
        if period == "hour" and self.step.has_dates and is_whole:
            refuse(
                "anomaly",
                f"'month' or 'none' for the axis '{self.name}', whose step of {self.step.text(1)} "
                f"meets one hour of the day alone",
                repr(period),
            )

    def ahead(self, n_steps: int) -> NDArray[Any]:
        """The times a number of steps later.

        Parameters
        ----------
        n_steps : int
            Steps ahead.

        Returns
        -------
        ndarray
            As `values`: times of this axis where it goes on so far, else extrapolated; calendar
            months keep their day, the last one of a month stays the last one.
        """
        step, times = self.step, self.values
        if step.n_months:
            n_months = n_steps * step.n_months
            keys, distance, allowed = _months(times).astype(np.float64), float(n_months), 0.0
            later = _months_later(times, n_months)
        else:
            keys = _elapsed(times)
            distance, allowed = n_steps * step.length, JITTER * step.length
            later = _later(times, distance)
        nearest = np.searchsorted(keys, keys + distance - allowed).clip(max=len(keys) - 1)
        is_known = np.abs(keys[nearest] - (keys + distance)) <= allowed
        return np.where(is_known, times[nearest], later).astype(times.dtype)


def slots_of(times: NDArray[Any], period: str, name: str = "time") -> NDArray[np.int64]:
    """Place of each time within a climatology; see :meth:`TimeAxis.slots`."""
    if period == "none":
        return np.zeros(len(times), np.int64)
    if times.dtype.kind in "iufm":
        refuse(
            "anomaly",
            f"'none' for the axis '{name}', whose times are numbers without a calendar",
            repr(period),
        )
    if period == "month":
        return _months(times) % 12
    if times.dtype.kind == "M":
        hours = times.astype("datetime64[h]").astype(np.int64)
        return np.asarray(hours % 24)
    return np.array([t.hour for t in times], np.int64)


def slot_text(period: str, slots: NDArray[Any]) -> str:
    """Places within a climatology in words, such as "hours 0, 6"; numbers, or one bool for each."""
    found = np.flatnonzero(slots) if slots.dtype.kind == "b" else np.unique(slots)
    numbers = [str(slot + (period == "month")) for slot in found]
    return f"{period}{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"


def time_text(time: Any, unit: str = "") -> str:
    """A date in as few characters as it takes, or a number and its unit."""
    if isinstance(time, np.datetime64):
        return str(np.datetime_as_string(time, unit="auto"))
    if isinstance(time, np.timedelta64):
        return f"{time / np.timedelta64(1, 's'):g} s"
    return f"{time:g} {unit}".rstrip() if isinstance(time, np.number | float | int) else str(time)


def _read_step(name: str, times: NDArray[Any], numbers: NDArray[np.float64], empty: Step) -> Step:
    length = float(numbers[-1] - numbers[0]) / (len(numbers) - 1)
    if empty.has_dates and length >= SHORTEST_MONTH:
        steps = np.unique(np.diff(_months(times)))
        if len(steps) == 1 and steps[0] > 0:
            n_months = int(steps[0])
            return dataclasses.replace(
                empty, length=n_months * SECONDS_PER_MONTH, n_months=n_months
            )
    fix = "a missing time can be put in by da.resample or da.reindex, with missing values"
    check_even(
        name,
        numbers,
        float(np.finfo(np.float64).eps),
        fix,
        length=lambda length: dataclasses.replace(empty, length=length).text(1),
        label=lambda i: time_text(times[i], empty.unit),
    )
    return dataclasses.replace(empty, length=length)


def _has_cftime(times: NDArray[Any]) -> bool:
    return times.dtype.kind == "O" and all(hasattr(t, "calendar") for t in times)


def _elapsed(times: NDArray[Any]) -> NDArray[np.float64]:
    """Seconds since the first date, or numbers as they are."""
    if times.dtype.kind in "iuf":
        return times.astype(np.float64)
    elapsed = times - times[0]
    if times.dtype.kind in "mM":
        return np.asarray(elapsed / np.timedelta64(1, "s"))
    return np.array([duration.total_seconds() for duration in elapsed])


def _later(times: NDArray[Any], length: float) -> NDArray[Any]:
    if times.dtype.kind in "iuf":
        return np.asarray(times + length)
    if times.dtype.kind in "mM":
        return np.asarray(times + np.timedelta64(round(length * 1e9), "ns"))
    return np.array([time + timedelta(seconds=length) for time in times], object)


def _months(times: NDArray[Any]) -> NDArray[np.int64]:
    """Months since the year 0, or since 1970, which is as many years of twelve."""
    if times.dtype.kind == "M":
        return np.asarray(times.astype("datetime64[M]").astype(np.int64))
    return np.array([12 * t.year + t.month - 1 for t in times], np.int64)


def _months_later(times: NDArray[Any], n_months: int) -> NDArray[Any]:
    later = np.empty_like(times)
    for i, time in enumerate(times):
        begin, end = _month(time, 0), _month(time, 1)
        later_begin, later_end = _month(time, n_months), _month(time, n_months + 1)
        day = np.timedelta64(1, "D") if times.dtype.kind == "M" else timedelta(days=1)
        last_day = later_end - day + (time - begin) % day
        later[i] = last_day if end - time <= day else min(later_begin + (time - begin), last_day)
    return later


def _month(time: Any, n_months: int) -> Any:
    """The beginning of a time's month, or of one so many months later."""
    if isinstance(time, np.datetime64):
        return (time.astype("datetime64[M]") + n_months).astype(time.dtype)
    years, month = divmod(time.month - 1 + n_months, 12)
    start = {"day": 1, "hour": 0, "minute": 0, "second": 0, "microsecond": 0}
    return time.replace(year=time.year + years, month=month + 1, **start)
