"""Pairs from labelled arrays: anomalies a lead apart, their mask, weights and scaling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import relaxon as rx
from hourly_data import HOUR, SPACE, hourly, model_of
from relaxon.datasets.coordinates import Coordinates
from relaxon.datasets.scaling import Scaling
from relaxon.datasets.series import Series
from relaxon.datasets.time_axis import Step
from relaxon.forecasting.split import split_series

pytest.importorskip("xarray")


@pytest.mark.parametrize(
    "dims",
    [("longitude",), ("latitude", "longitude"), ("level", "latitude", "longitude"), ("level",)],
)
@pytest.mark.parametrize("lead", [1, 5])
def test_pairs_are_anomalies_a_lead_apart(dims: tuple[str, ...], lead: int) -> None:
    da = hourly(dims=dims)
    pairs = rx.datasets.from_xarray(da, lead=lead, anomaly="hour")
    values = da.values
    for axis, dim in enumerate(dims, start=1):
        if SPACE[dim][0][0] > SPACE[dim][0][-1]:
            values = np.flip(values, axis)
    means = np.stack([values[h::24].mean(axis=0) for h in range(24)])
    anomaly = values - means[np.arange(96) % 24]
    assert pairs.x * anomaly.std() == pytest.approx(anomaly[:-lead], abs=1e-10)
    assert pairs.y * anomaly.std() == pytest.approx(anomaly[lead:], abs=1e-10)
    assert pairs.weights is None
    assert len(pairs) == 96 - lead
    assert pairs.grid.names == dims
    assert (pairs.time == da.time.values[lead:]).all()
    assert pairs.grid.mask is None
    with pytest.raises(ValueError, match="read-only"):
        pairs.x[0] = 0.0


def test_axes_may_come_in_any_order_and_direction() -> None:
    da = hourly()
    first = rx.datasets.from_xarray(da, anomaly="hour")
    for other in (da.transpose("latitude", "time", "longitude"), da[:, ::-1], da[::-1]):
        second = rx.datasets.from_xarray(other, anomaly="hour")
        assert np.array_equal(first.x, second.x)
        assert first.grid == second.grid


def test_no_anomaly_takes_one_mean_off() -> None:
    da = hourly()
    pairs = rx.datasets.from_xarray(da, anomaly="none")
    values = da.values[:, ::-1]
    assert pairs.x == pytest.approx((values[:-1] - values.mean()) / values.std(), abs=1e-10)
    assert pairs.scaling.climatology.shape == (1, 8, 12)


def test_missing_values_become_mask_or_weight_zero() -> None:
    da = hourly(dims=("longitude",))
    da[:, 2] = np.nan
    da[10, 5] = np.nan
    da[95, 7] = np.nan
    pairs = rx.datasets.from_xarray(da, anomaly="hour")
    assert pairs.grid.mask is not None
    assert pairs.weights is not None
    assert np.flatnonzero(~pairs.grid.mask).tolist() == [2]
    assert np.argwhere(~pairs.weights[:, pairs.grid.mask]).tolist() == [[9, 4], [94, 6]]
    assert pairs.missing is not None
    assert np.argwhere(pairs.missing).tolist() == [[10, 5]]
    assert np.isnan(pairs.x[10, 5])
    assert np.isnan(pairs.y[9, 5])
    assert np.isnan(pairs.x[:, 2]).all()
    notes = " | ".join(pairs.notes)
    assert "1 of 12 cells have no value" in notes
    assert "2 values (0.19%)" in notes
    model = model_of(pairs)
    fit = rx.fit(model, pairs.x, pairs.y, loss=rx.SquaredDistance(weights=pairs.weights), steps=2)
    assert np.isfinite(fit.history.loss).all()


def test_masked_cells_with_values_are_told_from_those_without() -> None:
    da = hourly()
    da[:, 2, 2] = np.nan
    da[:72, 3, 4:6] = np.nan
    training = rx.datasets.from_xarray(da[:72], anomaly="hour")
    assert training.notes[-1] == "3 of 96 cells have no value: they become the mask"
    notes = rx.datasets.from_xarray(da[72:], scaling=training.scaling).notes
    assert notes[-1] == (
        "3 of 96 cells have no value at the times of the climatology: they become the mask, "
        "though 2 of them have values here"
    )


def test_a_month_or_hour_without_values_is_missing_not_masked() -> None:
    da = hourly()
    da[5::24, 0, 0] = np.nan
    pairs = rx.datasets.from_xarray(da, anomaly="hour")
    assert pairs.grid.mask is None
    assert pairs.weights is not None
    assert (~pairs.weights).sum() == 4
    assert np.isnan(pairs.scaling.climatology).sum() == 1


def test_scaling_of_the_training_part_serves_the_rest() -> None:
    da = hourly()
    training = rx.datasets.from_xarray(da[:72], lead=2, anomaly="hour")
    rest = rx.datasets.from_xarray(da[72:], lead=2, anomaly="hour", scaling=training.scaling)
    assert rest.scaling is training.scaling
    means = np.stack([da.values[h:72:24, ::-1].mean(axis=0) for h in range(24)])
    expected = (da.values[72:, ::-1] - means) / training.scaling.scale
    assert rest.y == pytest.approx(expected[2:], abs=1e-10)
    short = rx.datasets.from_xarray(da[72:], scaling=training.scaling)
    assert np.array_equal(short.x, rest.x)
    assert np.array_equal(short.time, rest.time)
    assert np.array_equal(rest.time, da.time.values[74:])
    for one in ({"lead": 2}, {"anomaly": "hour"}):
        again = rx.datasets.from_xarray(da[72:], scaling=training.scaling, **one)
        assert np.array_equal(again.y, rest.y)
    for other, words in (
        ({"lead": 3}, "'lead': expected 2, that of the scaling, got 3; leave it out"),
        ({"lead": 1, "anomaly": "hour"}, "'lead': expected 2"),
        ({"anomaly": "none"}, "'anomaly': expected 'hour'"),
        ({"lead": 0}, "'lead'"),
        ({"anomaly": "hours"}, "did you mean 'hour'"),
    ):
        with pytest.raises(ValueError, match=words):
            rx.datasets.from_xarray(da, scaling=training.scaling, **other)
    with pytest.raises(ValueError, match=r"'lead'.*the 2 hours of the record, got 2"):
        rx.datasets.from_xarray(da[:2], scaling=training.scaling)


def test_a_climatology_of_no_use_is_refused() -> None:
    da = rx.datasets.sst().to_xarray()
    with pytest.raises(ValueError, match=r"'anomaly'.*step of 1 month"):
        rx.datasets.from_xarray(da, anomaly="hour")
    words = r"'anomaly'.*'none' where no month occurs twice.*'month' for 12 times from 2006-04-16"
    with pytest.raises(ValueError, match=words):
        rx.datasets.from_xarray(da[:12], anomaly="month")
    assert len(rx.datasets.from_xarray(da[:13], anomaly="month")) == 12
    series = Series.read(hourly(32))
    with pytest.raises(ValueError, match=r"'anomaly'.*no hour occurs twice.*2019-03-01T23:00"):
        split_series(series, 1, "hour", 0.25, None)


def test_training_needs_targets_that_vary_and_every_hour_with_values() -> None:
    da = hourly(96)
    is_late = da.time >= da.time[72]
    same = Series.read(da.where((da.time == da.time[0]) | is_late, 280.1))
    with pytest.raises(ValueError, match=r"'DATA'.*targets that vary in the part 'training'"):
        split_series(same, 1, "none", 0.25, None)
    gaps = Series.read(da.where((da.time.dt.hour != 5) | is_late))
    with pytest.raises(ValueError, match=r"'time'.*got hour 5, first 2019-03-04T05:00"):
        split_series(gaps, 1, "hour", 0.25, None)
    assert len(split_series(gaps, 1, "none", 0.25, None).training) == 71


def test_pairs_need_values_in_both_fields() -> None:
    da = hourly(240)
    sparse = da.where(da.time.dt.hour % 6 == 0)
    assert len(rx.datasets.from_xarray(sparse, lead=6, anomaly="hour")) == 234
    with pytest.raises(ValueError, match=r"'lead'.*x and y both have values, got 1: no pair"):
        rx.datasets.from_xarray(sparse, anomaly="hour")
    scaling = rx.datasets.from_xarray(da).scaling
    with pytest.raises(ValueError, match=r"'lead'.*got 1: no pair"):
        rx.datasets.from_xarray(sparse, scaling=scaling)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda da: da.isel(longitude=slice(0, 6)), "longitude"),
        (lambda da: da.assign_coords(latitude=da.latitude + 1.0), "'latitude'"),
        (lambda da: da.rename(latitude="y"), "latitude"),
        (lambda da: da[::2], "time step of 1 hour"),
        (lambda da: da.assign_attrs(units="degC"), "the unit of the scaling, got 'degC'"),
    ],
)
def test_data_of_another_grid_or_step_are_refused(change: Any, words: str) -> None:
    da = hourly()
    scaling = rx.datasets.from_xarray(da, anomaly="hour").scaling
    with pytest.raises(ValueError, match=words):
        rx.datasets.from_xarray(change(da), scaling=scaling)


@pytest.mark.parametrize(
    ("da", "options", "error", "words"),
    [
        (hourly().isel(time=0), {}, ValueError, "one time axis.*latitude .8., longitude"),
        (hourly()[:0], {}, ValueError, "two times, got 0"),
        (hourly().isel(latitude=0, longitude=0), {}, ValueError, "one to three axes"),
        (hourly(), {"lead": 96}, ValueError, "'lead'.*96 hours"),
        (hourly(), {"lead": 0}, ValueError, "'lead'"),
        (hourly(), {"lead": 1.5}, TypeError, "'lead'"),
        (hourly(), {"anomaly": "hours"}, ValueError, "'anomaly'.*did you mean 'hour'"),
        (hourly() * np.nan, {}, ValueError, "all values are missing"),
        (hourly() * 0.0, {}, ValueError, "vary"),
        (hourly().to_dataset(), {}, TypeError, "DataArray, got Dataset; choose a variable"),
        (hourly().values, {}, TypeError, "DataArray, got ndarray"),
        (hourly().astype(int), {}, TypeError, "floating-point.*astype"),
        (hourly() > 280, {}, TypeError, "floating-point"),
        (hourly().where(hourly().time != hourly().time[3], np.inf), {}, ValueError, "index .3, 0"),
        (hourly().expand_dims(a=2, b=2), {}, ValueError, "one to three.*isel"),
    ],
)
def test_bad_arrays(da: Any, options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        rx.datasets.from_xarray(da, **options)


def test_axes_of_one_entry_are_left_out() -> None:
    da = hourly().expand_dims(level=[850.0])
    pairs = rx.datasets.from_xarray(da, anomaly="hour")
    assert pairs.grid.names == ("latitude", "longitude")
    assert model_of(pairs).predict_xarray(da).dims == ("time", "latitude", "longitude")


def test_a_scalar_latitude_narrows_a_longitude() -> None:
    da = hourly()
    row = rx.datasets.from_xarray(da.sel(latitude=56.0))
    whole = rx.datasets.from_xarray(da.sel(latitude=[55.5, 56.0, 56.5]))
    assert row.grid.spacing[0] == pytest.approx(whole.grid.spacing[1], rel=1e-12)


def test_scaling_undoes_what_it_applies() -> None:
    values = np.random.default_rng(1).standard_normal((48, 7))
    times = np.datetime64("2020-01-01", "ns") + np.arange(48) * HOUR
    scaling = Scaling.fit(
        values,
        times,
        period="hour",
        lead=1,
        step=Step(3600.0, "s", 0, has_dates=True),
        coordinates=Coordinates.lattice((7,)),
    )
    assert scaling.undo(scaling.apply(values, times), times) == pytest.approx(values)
    assert scaling.apply(values, times).std() == pytest.approx(1.0)


def test_shipped_data_as_labelled_array() -> None:
    data = rx.datasets.sst()
    series, read = data.series(), Series.read(data.to_xarray())
    assert np.array_equal(series.values, read.values, equal_nan=True)
    assert read.coordinates.spacing == series.coordinates.spacing == data.spacing
    assert (read.time.values == series.time.values).all()
    assert (read.name, read.unit, read.time.step) == ("sst", "K", series.time.step)
