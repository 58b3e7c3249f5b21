"""The axis of time: a step that prevails, of dates or numbers, or calendar months."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..base.validate import check_flag, check_integer, check_number, check_text, refuse
from .attributes import unit_of
from .axis import JITTER, check_monotone, read_only
from .dates import elapsed, has_cftime, later, months, months_later, time_text

__all__ = [
    "MOST_STEPS",
    "PERIODS",
    "SECONDS_PER_MONTH",
    "Step",
    "TimeAxis",
    "slot_text",
    "slots_of",
]

SECONDS_PER_MONTH = 365.25 * 86400.0 / 12.0
SHORTEST_MONTH = 27.0 * 86400.0
# What a climatology repeats with, and its number of places.
PERIODS = {"month": 12, "hour": 24, "mean": 1, "none": 1}
# Of time from input to output, and calendar months in a step: NumPy's dates end long before.
MOST_STEPS = 2**31 - 1


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

    def check(self) -> None:
        """Refuse what no data have.

        Raises
        ------
        TypeError, ValueError
            If an attribute is of another type or out of range.
        """
        check_number("step.length", self.length, 0.0, is_open=True)
        check_text("step.unit", self.unit)
        check_integer("step.n_months", self.n_months, 0, MOST_STEPS)
        check_flag("step.has_dates", self.has_dates)

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
    """The axis of time: a step that prevails, in time or in calendar months.

    Times need not be a step apart: what belongs together, :meth:`pairs` tells.

    Attributes
    ----------
    name : str
        As in the data.
    values : ndarray
        datetime64, cftime objects, timedelta64 or numbers, ascending, read-only.
    step : Step
        From most times to the next.
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
            Where it is known, any times will do.

        Returns
        -------
        TimeAxis
            Ascending.

        Raises
        ------
        TypeError, ValueError
            If the values are no times, fewer than two, not monotone, or no step prevails.

        Notes
        -----
        A step prevails if half of all steps are equal, or if all are multiples of the shortest
        and that one occurs twice. Steps in calendar months are preferred where they are as many.
        """
        times = np.asarray(values)
        has_dates = times.dtype.kind == "M" or has_cftime(times)
        if not has_dates and times.dtype.kind not in "iufm":
            refuse(name, "times: dates or numbers", f"an axis of {times.dtype}", TypeError)
        if times.size < (2 if step is None else 1):
            refuse(name, "at least two times", times.size)
        if times.dtype.kind in "mM" and np.isnat(times).any():
            refuse(name, "dates", f"NaT at index {int(np.argmax(np.isnat(times)))}")
        if times.dtype.kind in "mM" and np.datetime_data(times.dtype)[0] in ("ps", "fs", "as"):
            refuse(name, "dates in nanoseconds or coarser units", f"{times.dtype}", TypeError)
        numbers = elapsed(times)
        if not np.isfinite(numbers).all():
            i = int(np.argmin(np.isfinite(numbers)))
            refuse(name, "finite times", f"{times[i]} at index {i}")
        is_flipped = bool(numbers[-1] < numbers[0])
        if is_flipped:
            times, numbers = times[::-1], numbers[::-1]
        unit = "s" if has_dates or times.dtype.kind == "m" else unit_of(attributes)
        _check_once(name, times, numbers, unit)
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
        period : {"month", "hour", "mean", "none"}
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
        period : {"month", "hour", "mean", "none"}
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
                f"'month', 'mean' or 'none' for the axis '{self.name}', whose step of "
                f"{self.step.text(1)} meets one hour of the day alone",
                repr(period),
            )

    def pairs(self, n_steps: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Indices of the times a number of steps apart, whatever lies in between.

        Parameters
        ----------
        n_steps : int
            Steps from the one to the other.

        Returns
        -------
        i, j : ndarray of int64, shape (pairs,)
            Ascending; time j is `n_steps` steps after time i, to within 2e-3 of a step. Of calendar
            months those with a single time belong to pairs.
        """
        partners = self._partners(n_steps)
        i = np.flatnonzero(partners >= 0)
        return i, partners[i]

    def check_lead(self, lead: int) -> None:
        """Refuse a lead at which no two times are apart.

        Parameters
        ----------
        lead : int
            Steps of time.

        Raises
        ------
        ValueError
            Naming the lead.
        """
        times = f"{len(self.values)} {self.step.plural}"
        if lead >= len(self.values):
            refuse("lead", f"fewer steps than the {times} of the record", lead)
        if not self.pairs(lead)[0].size:
            refuse("lead", f"one at which two of the {times} are apart", lead)

    def describe(self, n_steps: int) -> list[str]:
        """Lines on times that belong to no pair although the record goes on behind them."""
        n_times = len(self.values)
        n_alone = n_times - len(self.pairs(n_steps)[0])
        if n_alone <= n_steps:
            return []
        line = f"{n_alone} of {n_times} times have no partner {self.step.text(n_steps)} later"
        if self.step.n_months:
            n_shared = int((~_is_single(months(self.values))).sum())
            line += f", {n_shared} of them because they share a month" if n_shared else ""
        return [f"{line}: no pair begins there"]

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

        Raises
        ------
        ValueError
            If a date does not fit into the unit of the axis.
        """
        times, step, partners = self.values, self.step, self._partners(n_steps)
        found, is_new = times[partners], partners < 0
        if step.n_months:
            new = months_later(times[is_new], n_steps * step.n_months)
        else:
            new = later(times[is_new], n_steps * step.length)
        found = found.astype(np.result_type(found, new))
        found[is_new] = new
        return found

    def _partners(self, n_steps: int) -> NDArray[np.int64]:
        """Index of the time so many steps after each; -1 where there is none."""
        step, times = self.step, self.values
        if step.n_months:
            keys, distance, allowed = months(times).astype(np.float64), float(n_steps), 0.0
            distance *= step.n_months
        else:
            keys, distance = elapsed(times), n_steps * step.length
            allowed = 2.0 * JITTER * step.length + _rounding(times, keys)
            allowed = min(allowed, step.length / 4.0)
        nearest = np.searchsorted(keys, keys + distance - allowed).clip(max=len(keys) - 1)
        is_there = np.abs(keys[nearest] - (keys + distance)) <= allowed
        if step.n_months:
            is_single = _is_single(keys)
            is_there &= is_single & is_single[nearest]
        return np.where(is_there, nearest, -1)


def slots_of(times: NDArray[Any], period: str, name: str = "time") -> NDArray[np.int64]:
    """Place of each time within a climatology; see :meth:`TimeAxis.slots`."""
    if PERIODS[period] == 1:
        return np.zeros(len(times), np.int64)
    if times.dtype.kind in "iufm":
        refuse(
            "anomaly",
            f"'mean' or 'none' for the axis '{name}', whose times are numbers without a calendar",
            repr(period),
        )
    if period == "month":
        return months(times) % 12
    if times.dtype.kind == "M":
        hours = times.astype("datetime64[h]").astype(np.int64)
        return np.asarray(hours % 24)
    return np.array([t.hour for t in times], np.int64)


def slot_text(period: str, slots: NDArray[Any]) -> str:
    """Places within a climatology in words, such as "hours 0, 6"; numbers, or one bool for each."""
    found = np.flatnonzero(slots) if slots.dtype.kind == "b" else np.unique(slots)
    numbers = [str(slot + (period == "month")) for slot in found]
    return f"{period}{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"


def _read_step(name: str, times: NDArray[Any], numbers: NDArray[np.float64], empty: Step) -> Step:
    """The step that prevails."""
    steps = np.diff(numbers)
    slack = np.minimum(4.0 * JITTER * steps + 2.0 * _rounding(times, numbers), steps / 4.0)
    length, n_equal = _prevailing(steps, slack)
    if empty.has_dates and np.quantile(steps, 0.5, method="lower") >= SHORTEST_MONTH:
        n_months, n_equal_months = _prevailing(np.diff(months(times)), np.zeros(len(steps)))
        if n_equal_months and n_equal_months >= n_equal:
            length = n_months * SECONDS_PER_MONTH
            return dataclasses.replace(empty, length=length, n_months=int(n_months))
    if not n_equal:
        _refuse_steps(name, times, steps, slack, empty)
    if n_equal == len(steps):
        length = float(numbers[-1] - numbers[0]) / len(steps)
    return dataclasses.replace(empty, length=length)


def _prevailing(steps: NDArray[Any], slack: NDArray[np.float64]) -> tuple[float, int]:
    """The step that prevails, and how many there are of it; 0 where none does.

    `slack` is what may lie between equal steps.
    """
    ordered, counts = _equal_steps(steps, slack)
    if not ordered.size:
        return 0.0, 0
    first = int(np.argmax(counts))
    if 2 * counts[first] >= len(steps) and (counts[first] > 1 or len(steps) == 1):
        return float(ordered[first : first + counts[first]].mean()), int(counts[first])
    shortest = float(ordered[: counts[0]].mean())
    multiples = np.rint(ordered / shortest)
    is_lattice = np.abs(ordered - multiples * shortest) <= slack.min()
    if counts[0] > 1 and len(ordered) == len(steps) and is_lattice.all():
        return shortest, int(counts[0])
    return 0.0, 0


def _equal_steps(
    steps: NDArray[Any], slack: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Positive steps in order, and how many equal each one from there on."""
    order = np.argsort(steps)[int((steps <= 0).sum()) :]
    ordered = steps[order]
    ends = np.searchsorted(ordered, ordered + slack[order], side="right")
    return ordered, ends - np.arange(len(ordered))


def _refuse_steps(
    name: str, times: NDArray[Any], steps: NDArray[Any], slack: NDArray[np.float64], empty: Step
) -> NoReturn:
    ordered, counts = _equal_steps(steps, slack)
    texts = [
        dataclasses.replace(empty, length=float(step)).text(1)
        for step in (ordered[0], ordered[-1], ordered[int(np.argmax(counts))])
    ]
    first, last = (time_text(time, empty.unit) for time in (times[0], times[-1]))
    refuse(
        name,
        "times of which most are one step apart",
        f"steps of {texts[0]} to {texts[1]} from {first} to {last}; the most frequent, {texts[2]}, "
        f"makes {counts.max()} of {len(steps)}",
        fix="bring the data to even times, as da.resample or da.interp do",
    )


def _rounding(times: NDArray[Any], numbers: NDArray[np.float64]) -> float:
    """Error of a difference of two times from the precision of their type."""
    precision = np.finfo(times.dtype if times.dtype.kind == "f" else np.float64).eps
    return float(precision * np.abs(numbers).max())


def _check_once(name: str, times: NDArray[Any], numbers: NDArray[np.float64], unit: str) -> None:
    """Refuse times in order of which some occur again."""
    steps = np.diff(numbers)
    is_repeated = steps == 0.0
    if is_repeated.any() and (steps >= 0.0).all():
        i, n_more = int(np.argmax(is_repeated)), int(is_repeated.sum()) - 1
        others = f", and {n_more} more repetitions" if n_more else ""
        refuse(
            name,
            "each time once",
            f"{time_text(times[i], unit)} again at index {i + 1} (in ascending order){others}",
            fix=f"leave them out with da.drop_duplicates({name!r})",
        )


def _is_single(keys: NDArray[Any]) -> NDArray[np.bool_]:
    """Which of some ascending keys occur once."""
    is_same = np.concatenate([[False], keys[1:] == keys[:-1], [False]])
    return np.asarray(~(is_same[1:] | is_same[:-1]))
