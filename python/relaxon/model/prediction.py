"""Forecasts in the units of the data: anomalies out, through the model, climatology back in."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..base.validate import refuse
from ..datasets.archive import Archive
from ..datasets.dates import unpack_times
from ..datasets.missing import check_stand_ins
from ..datasets.samples import check_field
from ..datasets.series import Series
from ..datasets.time_axis import PERIODS, TimeAxis
from .gaps import answer
from .network import Network

if TYPE_CHECKING:
    from xarray import DataArray


__all__ = ["Respond", "forecast", "forecast_archive"]

# Outputs of a model for inputs, of which some may be missing.
Respond = Callable[[Network, NDArray[Any], int | None], NDArray[Any]]


def _apply(model: Network, x: NDArray[Any], threads: int | None) -> NDArray[Any]:
    return answer(model, x, threads=threads)


def forecast(
    model: Network,
    da: DataArray,
    threads: int | None = None,
    missing: Sequence[float] = (),
    respond: Respond = _apply,
) -> DataArray:
    """Apply a model to a labelled array.

    v(t + lead) = c(t + lead) + s model((v(t) - c(t)) / s), with climatology c and scale s of the
    model's scaling.

    Parameters
    ----------
    model : Network
        A model with a scaling.
    da : xarray.DataArray
        The field, at any times of the model's step, on the model's grid; axes in any order and
        direction. A single time may also be a coordinate without axis, as in ``da.isel(time=-1)``.
        Each member of an ensemble gets its own forecast, whether the model was trained on one or
        not.
    threads : int, optional
        As for a call of the model.
    missing : sequence of float
        Values that stand for gaps.
    respond : function
        What the model does with its inputs; default its outputs.

    Returns
    -------
    xarray.DataArray
        Name, attributes, type, axes and coordinates of `da`; times are later by the lead. NaN on
        masked cells. Coordinates along time other than its own are left out, and where `da` has a
        single time without axis, so are other single dates.

    Raises
    ------
    TypeError, ValueError
        If the model has no scaling, `da` cannot be read or has another grid or step of time, or
        a time with values, or its forecast, is of a month or hour without climatology.

    Notes
    -----
    What has a missing value within reach is NaN: the operator's radius around it, or
    lead |U| + sqrt(2 D lead) where that is larger.
    """
    scaling = model.scaling
    if scaling is None:
        refuse("model", "one with a scaling", "none", fix="attach it with model.with_scaling")
    series = Series.read(da, order=scaling.coordinates.names, step=scaling.step, missing=missing)
    scaling.check(series.coordinates, series.time.step, series.unit)
    y, later = _ahead(model, series.values, series.time, threads, respond)
    return series.label(y, later, da)


def forecast_archive(
    model: Network,
    path: str | os.PathLike[str],
    missing: Sequence[float] = (),
    respond: Respond = _apply,
) -> dict[str, NDArray[Any]]:
    """Apply a model to the array ``x`` of an ``.npz`` file.

    Parameters
    ----------
    model : Network
        A model; with a scaling, x is in the unit of the data, otherwise the model's own numbers.
    path : path-like
        The file; where the model's scaling has a climatology it also holds ``time``: dates, or
        texts as :func:`pack_times` makes them.
    missing : sequence of float
        Values of x that stand for gaps.
    respond : function
        As for :func:`forecast`.

    Returns
    -------
    dict of str to ndarray
        "y", and where the file has it "time", dates.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        If the file cannot be read, an array is missing, or of another shape or type, or a time is
        of a month or hour without climatology, as for :func:`forecast`.
    """
    archive = Archive(path)
    scaling = model.scaling
    needs_time = scaling is not None and PERIODS[scaling.period] > 1
    archive.check_names("x", *(["time"] if needs_time else []))
    x = check_field("x", archive.read("x"), missing)
    check_stand_ins("x", x)
    if x.shape[1:] != model.grid.shape or not len(x):
        refuse("x", f"shape (samples, {', '.join(map(str, model.grid.shape))})", x.shape)
    if scaling is None:
        return {"y": respond(model, x.astype(model.dtype), None)}
    if "time" not in archive:
        times = np.arange(len(x)) * scaling.step.length
        axis = TimeAxis("time", times, dataclasses.replace(scaling.step, has_dates=False))
        return {"y": _ahead(model, x, axis, None, respond)[0]}
    arrays = {name: archive.read(name) for name in ("time", "calendar") if name in archive}
    if arrays["time"].shape != x.shape[:1]:
        refuse("time", f"one for each of {len(x)} samples", arrays["time"].shape)
    axis = TimeAxis.read("time", unpack_times(arrays), {}, scaling.step)
    y, later = _ahead(model, x[::-1] if axis.is_flipped else x, axis, None, respond)
    return {"y": y[::-1], "time": later[::-1]} if axis.is_flipped else {"y": y, "time": later}


def _ahead(
    model: Network, values: NDArray[Any], time: TimeAxis, threads: int | None, respond: Respond
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Fields a lead later, and their times; between time and space may stand members."""
    scaling = model.scaling
    assert scaling is not None
    later = time.ahead(scaling.lead)
    fields = values.reshape(-1, *model.grid.shape)
    n_each = len(fields) // len(values)
    now, then = np.repeat(time.values, n_each), np.repeat(later, n_each)
    has_values = np.isfinite(fields[:, scaling.mask]).any(axis=1)
    scaling.check_times(time.name, now[has_values])
    kind = f"times whose forecasts, {scaling.step.text(scaling.lead)} ahead, are at times"
    scaling.check_times(time.name, then[has_values], kind)
    anomaly = scaling.apply(fields, now).astype(model.dtype)
    y = scaling.undo(respond(model, anomaly, threads), then)
    return y.reshape(values.shape), later
