"""Cutting data into parts for training, validation and the final test, along time.

The last part is held out; of the training part the last share may be set apart for validation. No
pair reaches across two parts, and climatology and scale come from what is trained on alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.cached import cached_property
from ..base.validate import check_choice, check_integer, check_number, refuse
from ..datasets.coordinates import Coordinates
from ..datasets.dates import time_text
from ..datasets.samples import Samples
from ..datasets.scaling import MOST, Scaling, share_of_means
from ..datasets.series import Series
from ..datasets.time_axis import PERIODS, slot_text

__all__ = ["Split", "split_samples", "split_series", "weigh_by_area"]

Fields = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Split:
    """Parts of one data set, in the numbers a model sees.

    Attributes
    ----------
    training, validation, held_out : Samples
        The parts; validation may be None.
    mask : ndarray of bool
        True where a cell exists: where there is a value to train on.
    coordinates : Coordinates
        Of the cells.
    scaling : Scaling or None
        From data to the parts; None where the numbers are taken as they are.
    note : str
        What has to be said of the climatology, or "".
    trained_on : (first, last) or None
        Times that the climatology comes from; None where there are none.
    """

    training: Samples
    validation: Samples | None
    held_out: Samples
    mask: NDArray[np.bool_]
    coordinates: Coordinates
    scaling: Scaling | None
    note: str = ""
    trained_on: tuple[Any, Any] | None = None

    @cached_property
    def variance(self) -> float:
        """Variance of y about its mean, over existing cells and training samples."""
        y, weights = self.training.y[:, self.mask], self.weights_of(self.training)
        # What is no number then is refused.
        with np.errstate(over="ignore", invalid="ignore"):
            if weights is None:
                return float(y.var(dtype=np.float64))
            y = np.where(weights > 0, y, 0.0).astype(np.float64)
            mean = np.sum(weights * y) / weights.sum()
            return float(np.sum(weights * (y - mean) ** 2) / weights.sum())

    @property
    def quantity(self) -> str:
        """What the numbers are, in words: anomalies and from which mean, or values as given."""
        if self.scaling is None or self.trained_on is None:
            return "values of y as given"
        mean = {
            "none": "the mean of all cells and times",
            "mean": "the mean of each cell",
        }.get(self.scaling.period, f"the {self.scaling.period}ly climatology of each cell")
        first, last = (self.time_label(time) for time in self.trained_on)
        name = f"{self.scaling.name}, " if self.scaling.name else ""
        return f"{name}anomaly from {mean}, {first} to {last}"

    def time_label(self, time: Any) -> str:
        """A time of the data as people write it."""
        assert self.scaling is not None
        if isinstance(time, np.datetime64) and self.scaling.step.n_months:
            return str(np.datetime_as_string(time, unit="M"))
        return time_text(time, self.scaling.step.unit)

    def error(self, prediction: Fields, truth: Samples) -> float:
        """Mean squared error over existing cells, in units of the variance of y."""
        difference = (prediction - truth.y)[:, self.mask].astype(np.float64)
        weights = self.weights_of(truth)
        if weights is None:
            return float(np.mean(difference**2)) / self.variance
        squares = np.where(weights > 0, difference, 0.0) ** 2
        return float(np.sum(weights * squares) / weights.sum()) / self.variance

    def loss_weights(self, samples: Samples) -> Fields:
        """Weights that turn the squared distance into the error of some samples."""
        dtype = samples.x.dtype
        if samples.weights is None:
            weight = 1.0 / (self.mask.sum() * self.variance)
            return np.full(self.mask.shape, weight, dtype=dtype)
        total = float(np.where(self.mask, samples.weights, 0).sum(dtype=np.float64))
        return np.asarray(samples.weights * (len(samples) / (total * self.variance)), dtype)

    def weights_of(self, samples: Samples) -> Fields | None:
        """Weights of the existing cells; None where all count the same."""
        return None if samples.weights is None else samples.weights[:, self.mask]


def split_series(
    series: Series,
    lead: int,
    period: str | None,
    holdout: float,
    validation: float | None,
    dtype: str = "float64",
) -> Split:
    """Cut a series into training, validation and held-out pairs.

    Parameters
    ----------
    series : Series
        Fields at steps of time.
    lead : int
        Steps from x to y.
    period : {"month", "hour", "mean", "none"} or None
        Of the climatology that is removed; None for what the training times suggest, see
        :meth:`Series.usual_period`.
    holdout : float
        Share of the times, the last ones, to hold out.
    validation : float or None
        Share of the other times, the last ones, to validate on.
    dtype : str
        Precision of the result.

    Returns
    -------
    Split
        Between two parts the pairs that would reach across are left out, at most `lead` of them.

    Raises
    ------
    ValueError
        If a part is left without pairs to use, or training without a month or hour that occurs
        later; if the record is too short, or its step too long, for the climatology.
    """
    check_integer("lead", lead, 1)
    if period is None:
        period = series.anomaly
    else:
        check_choice("anomaly", period, tuple(PERIODS))
    n_times, times = len(series), series.time.step.plural
    series.time.check_lead(lead)
    n_held_out = _share("holdout", holdout, n_times)
    n_training = n_times - n_held_out
    if n_training <= lead:
        refuse(
            "holdout",
            "a share that leaves a pair to train on",
            f"{holdout}, which leaves {n_training} of {n_times} {times} with lead {lead}",
        )
    if n_held_out <= lead:
        most = n_held_out - 1
        refuse(
            "lead",
            f"1 to {most} {times}" if most > 0 else "a held-out part with room for a pair",
            lead,
            fix=f"the held-out part has {n_held_out} of {n_times} {times}; raise the holdout",
        )
    # One mean or one per cell needs no calendar; which, the training times say.
    calendar = period or "none"
    slots = series.time.slots(calendar)
    _check_record(slots, n_times - lead - 1, calendar, f"{n_times} {times}")
    _check_slots("holdout", holdout, slots, n_training, calendar)
    cut = n_training
    if validation is not None:
        n_validation = _share("validation", validation, n_training)
        cut -= n_validation
        if n_validation <= lead or cut <= lead:
            refuse(
                "validation",
                f"a share of the {n_training} training {times} that leaves a pair to validate on "
                f"and one to train on",
                f"{validation} with lead {lead}",
            )
        _check_slots("validation", validation, slots, cut, calendar)
    note = ""
    if period is None:
        period, note = series.usual_period(cut)
    scaling = series.scaling(cut, lead, period)
    series.check_climatology(scaling)
    split = Split(
        training=series.samples(scaling, 0, cut, dtype),
        validation=None if validation is None else series.samples(scaling, cut, n_training, dtype),
        held_out=series.samples(scaling, n_training, n_times, dtype),
        mask=scaling.mask,
        coordinates=series.coordinates,
        scaling=scaling,
        note=note,
        trained_on=(series.time.values[0], series.time.values[cut - 1]),
    )
    _check_pairs(split)
    return split


def split_samples(
    samples: Samples, holdout: float, validation: float | None, dtype: str = "float64"
) -> Split:
    """Cut pairs without times into training, validation and held-out ones, in their order.

    Parameters
    ----------
    samples : Samples
        Pairs; cells without any x become masked.
    holdout, validation, dtype
        As for :func:`split_series`.

    Returns
    -------
    Split
        The numbers as they are.

    Raises
    ------
    ValueError
        If a part is left without pairs to use.
    """
    n_training = len(samples) - _share("holdout", holdout, len(samples))
    if not 1 <= n_training < len(samples):
        refuse(
            "holdout",
            "a share that leaves pairs to train on and pairs to hold out",
            f"{holdout} of {len(samples)} pairs",
        )
    cut = n_training
    if validation is not None:
        cut -= _share("validation", validation, n_training)
        if not 1 <= cut < n_training:
            refuse(
                "validation",
                f"a share of the {n_training} training pairs that leaves one to validate on and "
                f"one to train on",
                validation,
            )

    share = share_of_means(samples.x[:cut])

    def part(begin: int, end: int) -> Samples:
        weights = samples.weights
        return Samples(
            samples.x[begin:end].astype(dtype),
            samples.y[begin:end].astype(dtype),
            None if weights is None else weights[begin:end],
            groups=None if samples.groups is None else samples.groups[begin:end],
        )

    split = Split(
        training=part(0, cut),
        validation=None if validation is None else part(cut, n_training),
        held_out=part(n_training, len(samples)),
        mask=np.asarray(~np.isnan(samples.x).all(axis=0)),
        coordinates=Coordinates.lattice(samples.x.shape[1:]),
        scaling=None,
        note=f"the mean of each cell holds {share:.0%} of the variance of x, and hides what moves: "
        "subtract it from x and y"
        if share > MOST
        else "",
    )
    _check_pairs(split)
    return split


def weigh_by_area(split: Split) -> Split:
    """The same parts, with errors and losses that count cells by their area on the sphere.

    Parameters
    ----------
    split : Split
        Of a field with a latitude.

    Returns
    -------
    Split
        The weights of its samples are multiplied with the areas of cells; what is missing keeps the
        weight 0.

    Raises
    ------
    ValueError
        If no axis is a latitude in degrees.
    """
    areas = split.coordinates.areas()
    if areas is None:
        axes = ", ".join(split.coordinates.names)
        refuse("weights", "'area' for fields with a latitude in degrees", f"the axes {axes}")

    def weighted(samples: Samples) -> Samples:
        given = np.ones(samples.x.shape, bool) if samples.weights is None else samples.weights
        return replace(samples, weights=(given * areas).astype(samples.x.dtype))

    validation = split.validation
    weighed = replace(
        split,
        training=weighted(split.training),
        validation=None if validation is None else weighted(validation),
        held_out=weighted(split.held_out),
    )
    _check_pairs(weighed)
    return weighed


def _share(argument: str, share: float, total: int) -> int:
    """A share in whole steps, halves rounded up."""
    if not 0.0 < check_number(argument, share) < 1.0:
        refuse(argument, "a share between 0 and 1", share)
    return math.floor(share * total + 0.5)


def _check_record(slots: NDArray[np.int64], most: int, period: str, record: str) -> None:
    """Refuse a climatology that no share held out could leave complete."""
    missing = np.setdiff1d(slots, slots[:most])
    if missing.size:
        refuse(
            "anomaly",
            f"a climatology that a record of {record} can give",
            repr(period),
            fix=f"{slot_text(period, missing[:1])} occurs at its very end alone; take "
            f"'mean' or 'none', or a longer record",
        )


def _check_slots(
    argument: str, share: float, slots: NDArray[np.int64], n_training: int, period: str
) -> None:
    missing = np.setdiff1d(slots, slots[:n_training])
    if missing.size:
        refuse(
            argument,
            f"a share that leaves every {period} that occurs to the climatology",
            f"{share}, which leaves none for {slot_text(period, missing[:1])}",
            fix="anomaly 'mean' needs no calendar",
        )


def _check_pairs(split: Split) -> None:
    """Every part needs something to learn from or to be measured on."""
    for name in ("training", "validation", "held_out"):
        part: Samples | None = getattr(split, name)
        if part is None:
            continue
        if not len(part):
            refuse("DATA", f"two times a lead apart in the part '{name}'", "none")
        if part.weights is not None and not np.any(part.weights[:, split.mask] > 0):
            refuse("DATA", f"a target in the part '{name}'", "none: all values are missing")
        if not part.has_pair(split.mask):
            refuse(
                "DATA",
                f"a pair of a known input and a known target in the part '{name}'",
                f"none among {len(part)} pairs: an input is missing, or 0 everywhere, wherever a "
                f"target is known",
            )
    y, weights = split.training.y[:, split.mask], split.weights_of(split.training)
    size = float(np.abs(y if weights is None else y[weights > 0]).max())
    # A constant's variance is that of its rounding.
    if not 4.0 * float(np.finfo(y.dtype).eps) * size < math.sqrt(split.variance) < math.inf:
        rule = "targets that vary in the part 'training', within the range of the numbers' type"
        refuse("DATA", rule, f"a variance of {split.variance}")
