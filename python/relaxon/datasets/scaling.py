"""What lies between data in their own units and the numbers a model sees.

A value v at the time t becomes z = (v - c_slot(t)) / s: c the climatology, a mean of each cell for
each month of the year, each hour of the day, or all times, or one mean for all cells and times; s
the standard deviation of the anomalies v - c.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.validate import (
    check_array,
    check_choice,
    check_instance,
    check_integer,
    check_number,
    check_shape,
    check_text,
    refuse,
)
from .attributes import unit_of
from .axis import JITTER, Axis
from .coordinates import Coordinates
from .dates import time_text
from .time_axis import MOST_STEPS, PERIODS, Step, slot_text, slots_of
from .units import is_same_unit

__all__ = ["MOST", "Scaling", "share_of_means"]

# The share of the variance from which on the means of the cells hide what moves.
MOST = 0.5

Fields = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Scaling:
    """Climatology, scale, lead and coordinates of the data a model was trained on.

    Attributes
    ----------
    name, unit : str
        Of the field.
    climatology : ndarray of float64, shape (12, 24 or 1, *grid.shape)
        Means of each cell by month of the year, by hour of the day, or over all times, or one for
        all cells and times; NaN on masked cells, and where a cell had no value at that month or
        hour. Read-only.
    scale : float
        Standard deviation of the anomalies, over cells and times.
    period : {"month", "hour", "mean", "none"}
        What the climatology repeats with; "mean" is one mean per cell, "none" one for all.
    lead : int
        Steps of time from input to output.
    step : Step
        The step of time.
    coordinates : Coordinates
        Of the grid.

    Raises
    ------
    TypeError, ValueError
        If an attribute is of another type or shape, or out of range.
    """

    name: str
    unit: str
    climatology: Fields = dataclasses.field(repr=False)
    scale: float
    period: str
    lead: int
    step: Step
    coordinates: Coordinates = dataclasses.field(repr=False)

    def __post_init__(self) -> None:
        check_text("scaling.name", self.name)
        check_text("scaling.unit", self.unit)
        check_number("scaling.scale", self.scale, 0.0, is_open=True)
        check_choice("scaling.period", self.period, tuple(PERIODS))
        check_integer("scaling.lead", self.lead, 1, MOST_STEPS)
        check_instance("scaling.step", self.step, Step)
        self.step.check()
        check_instance("scaling.coordinates", self.coordinates, Coordinates)
        self.coordinates.check()
        self._check_climatology()

    def _check_climatology(self) -> None:
        means = check_array("scaling.climatology", self.climatology, np.dtype(np.float64))
        check_shape("scaling.climatology", means, (PERIODS[self.period], *self.coordinates.shape))
        if np.isinf(means).any() or np.isnan(means).all():
            refuse("scaling.climatology", "finite means, NaN where there is none", "others")
        # The two leave NaN out, and copy nothing.
        if self.period == "none" and np.fmin.reduce(means, None) != np.fmax.reduce(means, None):
            refuse("scaling.climatology", "one mean for all cells", "several")

    @classmethod
    def fit(
        cls,
        values: Fields,
        times: NDArray[Any],
        *,
        period: str,
        lead: int,
        step: Step,
        coordinates: Coordinates,
        name: str = "",
        unit: str = "",
    ) -> Scaling:
        """Climatology and scale of fields.

        Parameters
        ----------
        values : ndarray, shape (times, *grid.shape)
            Fields for training alone; NaN where missing.
        times : ndarray, shape (times,)
            Their times.
        period, lead, step, coordinates, name, unit
            As the attributes.

        Returns
        -------
        Scaling
            Fitted to the fields.

        Raises
        ------
        ValueError
            If all values are missing, no month or hour of the climatology occurs twice, or the
            anomalies do not vary.
        """
        is_known = np.isfinite(values)
        exists = is_known.any(axis=0)
        if not exists.any():
            refuse(name or "values", "at least one value", f"{values.size} missing values")
        if period == "none":
            climatology = np.where(exists, values[is_known].mean(), np.nan)[np.newaxis]
        else:
            slots = slots_of(times, period)
            climatology = np.full((PERIODS[period], *values.shape[1:]), np.nan)
            for slot in np.unique(slots):
                known = is_known[slots == slot]
                sums = np.where(known, values[slots == slot], 0.0).sum(axis=0)
                np.divide(sums, known.sum(axis=0), out=climatology[slot], where=known.any(axis=0))
        climatology.flags.writeable = False
        slots = slots_of(times, period)
        if PERIODS[period] > 1 and len(np.unique(slots)) == len(np.unique(times)):
            refuse(
                "anomaly",
                f"'mean' or 'none' where no {period} occurs twice, for each would be its own mean",
                f"{period!r} for {len(np.unique(times))} times from {time_text(times[0])} to "
                f"{time_text(times[-1])}",
            )
        anomaly = values - climatology[slots]
        scale = float(anomaly[is_known].std())
        if not scale > 0.0:
            refuse(name or "values", "anomalies that vary", f"a standard deviation of {scale}")
        return cls(name, unit, climatology, scale, period, lead, step, coordinates)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """True where a cell had a value at any time."""
        return np.asarray(np.isfinite(self.climatology).any(axis=0))

    @property
    def unit_text(self) -> str:
        """The unit to stand behind a number; "" where it says that there is none, as "1" does."""
        return unit_of({"units": self.unit})

    @property
    def lead_time(self) -> float:
        """Time from input to output, in the unit of the step."""
        return self.lead * self.step.length

    def check(self, coordinates: Coordinates, step: Step, unit: str) -> None:
        """Refuse data of another grid, step of time or unit.

        Parameters
        ----------
        coordinates : Coordinates
            Of the data.
        step : Step
            Of the data.
        unit : str
            Of the data; "" where it is not known, which is taken for the scaling's.

        Raises
        ------
        ValueError
            If names, lengths or positions of an axis differ, the step of time, or the unit; other
            spellings and names of a unit are the same.
        """
        own = self.coordinates
        if coordinates.names != own.names or coordinates.shape != own.shape:
            refuse("da", f"axes {own.text}, those of the scaling", coordinates.text)
        for mine, other in zip(own.axes, coordinates.axes, strict=True):
            distance = np.abs(mine.values - other.values)
            is_same = is_same_unit(mine.unit, other.unit)
            if distance.max() > 2.0 * JITTER * mine.step or not is_same:
                i = int(distance.argmax())
                refuse(
                    "da",
                    f"the scaling's axis '{mine.name}', with {mine.values[i]:g} {mine.unit} at "
                    f"index {i}",
                    f"{other.values[i]:g} {other.unit}",
                )
        is_same = is_same_unit(step.unit, self.step.unit)
        if not is_same or abs(step.length / self.step.length - 1.0) > JITTER:
            refuse("da", f"a time step of {self.step.text(1)}", step.text(1))
        if unit and self.unit and not is_same_unit(unit, self.unit):
            fix = (
                f"where both are names of one unit, set da.attrs['units'] = {self.unit!r} alone; "
                f"else convert the values first"
            )
            refuse("da", f"values in {self.unit!r}, the unit of the scaling", repr(unit), fix=fix)

    def check_times(self, argument: str, times: NDArray[Any], kind: str = "times") -> None:
        """Refuse times at whose month or hour no cell has a climatology.

        Parameters
        ----------
        argument : str
            What the message calls them.
        times : ndarray, shape (times,)
            Times to apply or undo the scaling at.
        kind : str
            What they are, in words.

        Raises
        ------
        ValueError
            Naming the months or hours, and the first such time.
        """
        fields = self.climatology.reshape(len(self.climatology), -1)
        is_known = np.asarray(np.isfinite(fields).any(axis=1))
        slots = slots_of(times, self.period)
        is_wrong = ~is_known[slots]
        if is_wrong.any():
            lacking = slot_text(self.period, slots[is_wrong])
            refuse(
                argument,
                f"{kind} with a climatology, that is of {slot_text(self.period, is_known)}",
                f"{lacking}, first {time_text(times[np.argmax(is_wrong)])}",
                fix=f"choose other times, or train on data with {lacking}",
            )

    def apply(self, values: NDArray[Any], times: NDArray[Any]) -> Fields:
        """Anomalies in units of the scale.

        Parameters
        ----------
        values : ndarray, shape (times, *grid.shape)
            Fields in the unit of the data.
        times : ndarray, shape (times,)
            Their times.

        Returns
        -------
        ndarray of float64
            NaN where a value or its climatology is missing.
        """
        climatology = self.climatology[slots_of(times, self.period)]
        return np.asarray((values - climatology) / self.scale)

    def undo(self, anomalies: NDArray[Any], times: NDArray[Any]) -> Fields:
        """Fields in the unit of the data: what :meth:`apply` takes away comes back.

        Parameters
        ----------
        anomalies : ndarray, shape (times, *grid.shape)
            In units of the scale.
        times : ndarray, shape (times,)
            Their times.

        Returns
        -------
        ndarray of float64
            NaN on masked cells, and where the climatology is missing.
        """
        return np.asarray(
            self.climatology[slots_of(times, self.period)] + self.scale * anomalies, np.float64
        )

    @property
    def only_mean(self) -> float | None:
        """The climatology where it is one number for all cells and times ("none"), else None."""
        return float(self.climatology[0, self.mask][0]) if self.period == "none" else None

    def scale_number(self, argument: str, value: float) -> float:
        """A number in the unit of the data as a model sees it, for what sides and masks hold.

        Parameters
        ----------
        argument : str
            What the message calls it.
        value : float
            In the unit of the data.

        Returns
        -------
        float
            (value - c) / s.

        Raises
        ------
        ValueError
            If the climatology c differs between cells or times: no single number is right then.

        Examples
        --------
        >>> import relaxon as rx
        >>> pairs = rx.datasets.from_xarray(rx.datasets.sst().to_xarray(), anomaly="none")
        >>> warm = rx.Dirichlet(pairs.scaling.scale_number("boundary", 300.0))
        >>> pairs.grid.replace(boundary=((warm, "neumann"), "periodic")).boundary[0][1]
        'neumann'
        """
        if self.only_mean is None:
            refuse(
                argument,
                f"no fixed value where the climatology that is removed (anomaly {self.period!r}) "
                f"differs between cells or times",
                f"{value:g} {self.unit}".rstrip(),
                fix="with anomaly 'none' one mean is removed everywhere",
            )
        return (value - self.only_mean) / self.scale

    # -- plain Python objects --------------------------------------------------------------------

    def to_parts(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Everything as JSON values and arrays, for files."""
        plain: dict[str, Any] = {
            "name": self.name,
            "unit": self.unit,
            "scale": float(self.scale),
            "period": self.period,
            "lead": int(self.lead),
            "step": {
                "length": float(self.step.length),
                "unit": self.step.unit,
                "n_months": int(self.step.n_months),
                "has_dates": bool(self.step.has_dates),
            },
            "axes": [
                {
                    "name": axis.name,
                    "unit": axis.unit,
                    "spacing": float(axis.spacing),
                    "spacing_unit": axis.spacing_unit,
                    "kind": axis.kind,
                    "is_flipped": bool(axis.is_flipped),
                    "is_periodic": bool(axis.is_periodic),
                    "is_rotated": bool(axis.is_rotated),
                }
                for axis in self.coordinates.axes
            ],
        }
        arrays = {f"axis {a}": axis.values for a, axis in enumerate(self.coordinates.axes)}
        return plain, {"climatology": self.climatology, **arrays}

    @classmethod
    def from_parts(cls, plain: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Scaling:
        """The object that :meth:`to_parts` took apart; the arrays are its own from now on."""
        for array in arrays.values():
            array.flags.writeable = False
        settings = dict(plain)
        axes = tuple(
            Axis(values=arrays[f"axis {a}"], **axis) for a, axis in enumerate(settings.pop("axes"))
        )
        step = Step(**settings.pop("step"))
        return cls(
            climatology=arrays["climatology"], step=step, coordinates=Coordinates(axes), **settings
        )

    def _key(self) -> tuple[Any, ...]:
        plain, arrays = self.to_parts()
        contents = [(name, a.shape, a.tobytes()) for name, a in arrays.items()]
        return (repr(plain), *contents)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scaling) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


def share_of_means(values: Fields) -> float:
    """How much of the variance of fields stands still: that of each cell's mean over time.

    Parameters
    ----------
    values : ndarray, shape (times, *grid.shape)
        Fields; NaN where missing.

    Returns
    -------
    float
        1 - (sum (v - c)^2 / (N - C)) / (sum (v - m)^2 / (N - 1)) for N values in C cells, with the
        mean c of each cell and the mean m of all: what few times hold by chance does not count. 0
        where no cell has two values or nothing varies.
    """
    is_known = np.isfinite(values)
    n_values = is_known.sum(axis=0)
    n_all, n_cells = int(n_values.sum()), int((n_values > 0).sum())
    if n_all == n_cells:
        return 0.0
    centred = np.where(is_known, values - values[is_known].mean(), 0.0)
    means = centred.sum(axis=0) / np.maximum(n_values, 1)
    total = float(np.sum(centred**2))
    if not total > 0.0:
        return 0.0
    rest = total - float(np.sum(n_values * means**2))
    return 1.0 - (rest / (n_all - n_cells)) / (total / (n_all - 1))
