"""Labelled arrays in and out: pairs, scaling, and forecasts in the units of the data."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from relaxon.datasets.coordinates import Coordinates
from relaxon.datasets.scaling import Scaling
from relaxon.datasets.series import Series
from relaxon.datasets.time_axis import Step
from relaxon.datasets.variable import open_variable
from relaxon.forecasting.experiment import Experiment
from relaxon.forecasting.options import Options
from relaxon.forecasting.split import split_series

xarray = pytest.importorskip("xarray")

ROOT = Path(__file__).resolve().parents[2]
ERA5 = ROOT.parent / "shared" / "data" / "era5_uk_t2m_2019_03.nc"
HOUR = np.timedelta64(1, "h")
SPACE: dict[str, tuple[np.ndarray, dict[str, str]]] = {
    "level": (np.array([1000.0, 900.0, 800.0, 700.0]), {"units": "hPa"}),
    "latitude": (np.arange(58.0, 54.0, -0.5), {"units": "degrees_north", "long_name": "north"}),
    "longitude": (np.arange(0.0, 360.0, 30.0), {"units": "degrees_east"}),
}


def hourly(n: int = 96, dims: tuple[str, ...] = ("latitude", "longitude")) -> Any:
    """Random numbers with a daily cycle and a mean that differs from cell to cell."""
    random = np.random.default_rng(5)
    shape = tuple(len(SPACE[dim][0]) for dim in dims)
    times = np.datetime64("2019-03-01", "ns") + np.arange(n) * HOUR
    cycle = np.sin(2 * np.pi * np.arange(n) / 24).reshape(n, *(1,) * len(dims))
    values = 280.0 + 5 * random.standard_normal(shape) + cycle + random.standard_normal((n, *shape))
    coords = {"time": ("time", times, {"long_name": "valid time"})}
    coords |= {dim: (dim, *SPACE[dim]) for dim in dims}
    return xarray.DataArray(
        values, coords, ("time", *dims), name="t2m", attrs={"units": "K", "note": "kept"}
    )


def model_of(pairs: rx.datasets.Pairs, **options: Any) -> rx.Relaxation:
    operator = rx.ADR(pairs.grid, space="local")
    return rx.Relaxation(operator, depth=3, **options).with_scaling(pairs.scaling)


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


def test_hours_without_climatology_are_refused_by_name() -> None:
    da = hourly(240)
    training = rx.datasets.from_xarray(da[::6], anomaly="hour")
    model = model_of(training)
    words = r"'time': .* of hours 0, 6, 12, 18, got hours 3, 9, 15, 21, first 2019-03-01T03:00"
    with pytest.raises(ValueError, match=words):
        model.predict_xarray(da[3::6])
    with pytest.raises(ValueError, match=words):
        rx.datasets.from_xarray(da[3::6], scaling=training.scaling)
    with pytest.raises(ValueError, match=r"got hour 9, first 2019-03-02T09:00"):
        model.predict_xarray(da[[0, 33]])
    shifted = da[::6].assign_coords(time=da.time[::6] + np.timedelta64(30, "D"))
    assert np.isfinite(model.predict_xarray(shifted)).all()


def test_forecasts_to_hours_without_climatology_are_refused() -> None:
    da = hourly(240)
    day = da.where((da.time.dt.hour >= 6) & (da.time.dt.hour < 18))
    model = model_of(rx.datasets.from_xarray(day, lead=3, anomaly="hour"))
    with pytest.raises(ValueError, match=r"forecasts, 3 hours ahead.*got hours 18, 19, 20, first"):
        model.predict_xarray(day)
    with pytest.raises(ValueError, match=r"got hour 18, first 2019-03-01T18:00"):
        model.predict_xarray(day[[15]])
    assert np.isfinite(model.predict_xarray(day[6:15])).all()
    # Without values there is nothing to lose, and nothing to say.
    night = model.predict_xarray(day[18:31]).isnull().all(("latitude", "longitude"))
    assert night.values.tolist() == [True] * 12 + [False]


def test_months_without_climatology_are_refused_by_name() -> None:
    da = rx.datasets.sst().to_xarray()
    summers = da.where((da.time.dt.month > 3) & (da.time.dt.month < 10))
    model = model_of(rx.datasets.from_xarray(summers, anomaly="month"))
    with pytest.raises(ValueError, match=r"'time'.* months 4, 5, 6, 7, 8, 9, got month 3, first"):
        model.predict_xarray(da[11:13])
    with pytest.raises(ValueError, match=r"1 month ahead.*got month 10, first 2006-10-16"):
        model.predict_xarray(da[4:6])
    assert np.isfinite(model.predict_xarray(da[:5])).any()


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


def by_hand(model: rx.Relaxation, da: Any, lead: int) -> np.ndarray:
    """A forecast by the definition in words; `da` has latitude descending, a ring of longitudes.

    Gaps have the mean of their time, and the cells around them no forecast.
    """
    scaling = model.scaling
    assert scaling is not None
    hour = da.time.dt.hour.values
    fields = da.values[:, ::-1]
    z = (fields - scaling.climatology[hour]) / scaling.scale
    for time, row, column in np.argwhere(np.isnan(z) & scaling.mask):
        z[time, row, column] = np.nanmean(z[time])
    ahead = scaling.scale * model(z) + scaling.climatology[(hour + lead) % 24]
    for time, row, column in np.argwhere(np.isnan(fields) & scaling.mask):
        for step in (-1, 0, 1):
            ahead[time, max(row - 1, 0) : row + 2, (column + step) % 12] = np.nan
    return np.asarray(ahead[:, ::-1])


@pytest.mark.parametrize("lead", [1, 6])
def test_forecasts_come_back_as_they_came(lead: int) -> None:
    da = hourly()
    da[7, 3, 3] = np.nan
    da[:, 1, 4] = np.nan
    model = model_of(rx.datasets.from_xarray(da, lead=lead, anomaly="hour"))
    ahead = model.predict_xarray(da)
    assert np.allclose(ahead.values, by_hand(model, da, lead), rtol=1e-13, equal_nan=True)
    assert np.isnan(ahead.values).all(axis=0).sum() == 1
    assert np.isnan(ahead.values).sum() == 96 + 9
    assert (ahead.dims, ahead.name, ahead.attrs) == (da.dims, da.name, da.attrs)
    assert (ahead.time.values == da.time.values + lead * HOUR).all()
    for dim in da.dims:
        assert ahead[dim].attrs == da[dim].attrs
    for dim in da.dims[1:]:
        assert ahead[dim].equals(da[dim])
    turned = model.predict_xarray(da[::-1, :, ::-1].transpose("longitude", "time", "latitude"))
    assert turned.dims == ("longitude", "time", "latitude")
    assert turned.sortby("time").sortby("longitude").transpose(*da.dims).equals(ahead)


def test_forecast_of_single_times_and_other_coordinates() -> None:
    da = hourly().assign_coords(
        valid_time=("time", np.arange(96)), surface=2.0, land=("latitude", np.arange(8))
    )
    model = model_of(rx.datasets.from_xarray(da, lead=2, anomaly="hour"))
    whole = model.predict_xarray(da)
    assert set(whole.coords) == {"time", "latitude", "longitude", "surface", "land"}
    assert model.predict_xarray(da[[40]]).equals(whole[[40]])
    assert model.predict_xarray(da[[3, 4, 50]]).equals(whole[[3, 4, 50]])


def test_a_time_without_axis_gives_a_forecast_without_one() -> None:
    da = hourly().assign_coords(land=("latitude", np.arange(8)), surface=2.0)
    da = da.assign_coords(issued=("time", da.time.values - HOUR))
    model = model_of(rx.datasets.from_xarray(da, lead=2, anomaly="hour"))
    whole = model.predict_xarray(da)
    for one in (da[-1], da.isel(time=-1).transpose(), da[-1].astype("float32")):
        ahead = model.predict_xarray(one)
        assert ahead.dims == one.dims
        assert ahead.time.ndim == 0
        assert ahead.dtype == one.dtype
        assert ahead.time.attrs == da.time.attrs
        turned = ahead.transpose(*da.dims[1:])
        assert np.allclose(turned, whole[-1], rtol=1e-6)
        assert ahead.time == whole.time[-1]
        assert set(ahead.coords) == {"time", "latitude", "longitude", "surface", "land"}
    cftime = pytest.importorskip("cftime")
    days = [cftime.DatetimeNoLeap(2001, 1, 1 + i) for i in range(9)]
    values = np.random.default_rng(0).standard_normal((9, 5))
    da = xarray.DataArray(values, {"time": days}, ("time", "x"), name="a")
    ahead = model_of(rx.datasets.from_xarray(da)).predict_xarray(da[4])
    assert ahead.dims == ("x",)
    assert ahead.time.item() == days[5]
    da = da.assign_coords(time=("time", np.arange(9.0), {"units": "ms"}))
    assert model_of(rx.datasets.from_xarray(da)).predict_xarray(da[4]).time == 5.0


def test_a_single_time_must_be_told() -> None:
    da = hourly()
    model = model_of(rx.datasets.from_xarray(da))
    with pytest.raises(ValueError, match=r"one time axis, got 0 among the axes latitude .8."):
        model.predict_xarray(da[0].drop_vars("time"))
    two = da[0].drop_vars("time").assign_coords(a=da.time.values[0], b=da.time.values[1])
    with pytest.raises(ValueError, match=r"one time axis, got 2 among the axes latitude .8."):
        model.predict_xarray(two)
    with pytest.raises(ValueError, match=r"one time axis, got a single 'time' and the axes lat"):
        rx.datasets.from_xarray(da[0])


def test_single_precision_stays_so() -> None:
    da = hourly().astype("float32")
    model = model_of(rx.datasets.from_xarray(da, anomaly="hour")).astype("float32")
    ahead = model.predict_xarray(da)
    assert ahead.dtype == np.float32
    double = model.astype("float64").predict_xarray(da)
    assert ahead.values == pytest.approx(double.values, rel=1e-6)


def test_a_model_without_scaling_says_so() -> None:
    pairs = rx.datasets.from_xarray(hourly())
    model = model_of(pairs).with_scaling(None)
    assert model.scaling is None
    with pytest.raises(ValueError, match="with_scaling"):
        model.predict_xarray(hourly())


def test_scaling_belongs_to_the_model(tmp_path: Path) -> None:
    da = hourly()
    da[:, 1, 4] = np.nan
    pairs = rx.datasets.from_xarray(da, lead=6, anomaly="hour")
    model = model_of(pairs)
    for same in (
        model.with_params(model.params),
        model.astype("float32").astype("float64"),
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
    ):
        assert same.scaling == pairs.scaling
    model.save(tmp_path / "model.safetensors")
    loaded = rx.load(tmp_path / "model.safetensors")
    assert loaded == model
    assert loaded.predict_xarray(da).identical(model.predict_xarray(da))
    assert model != model.with_scaling(None)
    other = rx.datasets.from_xarray(da, lead=5, anomaly="hour")
    assert model != model.with_scaling(other.scaling)
    assert len({model, loaded}) == 1


def test_a_scaling_of_another_shape_is_refused() -> None:
    pairs = rx.datasets.from_xarray(hourly())
    model = rx.Relaxation(rx.ADR(rx.Grid((4,))), depth=2)
    with pytest.raises(ValueError, match=r"'scaling'.*\(4,\)"):
        model.with_scaling(pairs.scaling)
    with pytest.raises(TypeError, match="'scaling'"):
        model.with_scaling(3.0)  # type: ignore[arg-type]


def test_maps_are_converted_row_by_row() -> None:
    """The same lattice drift is a slower one where rows are shorter."""
    pairs = rx.datasets.from_xarray(hourly(), lead=6, anomaly="hour")
    dt = pairs.scaling.lead_time / 3
    settings: dict[str, Any] = {"activation": "identity", "dt": dt, "time_unit": "s"}
    model = model_of(pairs, **settings)
    ones = {name: np.ones_like(value) for name, value in model.params.items()}
    model = model.with_params(ones)
    drift = rx.explain(model).fields["U"]
    latitude = np.arange(54.5, 58.1, 0.5)
    widths = 30.0 * np.pi * 6.371e6 / 180 * np.cos(np.deg2rad(latitude))
    assert drift[1] == pytest.approx(np.broadcast_to(0.5 * widths[:, None] / dt, (8, 12)))
    assert np.ptp(drift[0]) == pytest.approx(0.0, abs=1e-9)
    mixed = rx.explain(model).fields["D"][1]
    assert mixed == pytest.approx(drift[1] * pairs.grid.spacing[0])
    homogeneous = rx.Relaxation(rx.ADR(pairs.grid), depth=3, **settings)
    homogeneous = homogeneous.with_scaling(pairs.scaling).with_params({"U": np.ones(2)})
    assert rx.explain(homogeneous).fields["U"][1] == 0.5 * pairs.grid.spacing[1] / dt


def test_climatology_by_month_of_other_calendars() -> None:
    cftime = pytest.importorskip("cftime")
    times = [cftime.Datetime360Day(2001 + i // 12, i % 12 + 1, 16) for i in range(36)]
    values = np.random.default_rng(0).standard_normal((36, 9))
    da = xarray.DataArray(values, {"time": times}, ("time", "x"), name="a")
    pairs = rx.datasets.from_xarray(da, anomaly="month")
    assert pairs.scaling.climatology == pytest.approx(values.reshape(3, 12, 9).mean(axis=0))
    ahead = model_of(pairs).predict_xarray(da)
    assert ahead.time.values[-1] == cftime.Datetime360Day(2004, 1, 16)


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


@pytest.mark.skipif(not ERA5.exists(), reason="the ERA5 file is not beside this checkout")
def test_era5() -> None:
    with xarray.open_dataset(ERA5) as dataset:
        da = dataset["t2m"].load()
    pairs = rx.datasets.from_xarray(da, lead=6, anomaly="hour")
    assert pairs.x.shape == (738, 33, 49)
    assert pairs.weights is None
    assert pairs.grid.boundary == (("neumann", "neumann"),) * 2
    degree = np.pi * 6.371e6 / 180
    expected = (0.25 * degree, 0.25 * degree * np.cos(np.deg2rad(54.0)))
    assert pairs.grid.spacing == pytest.approx(expected)
    ahead = model_of(pairs).predict_xarray(da)
    assert ahead.latitude.values[0] == 58.0
    assert np.allclose(ahead.values, by_hand(model_of(pairs), da, 6), rtol=1e-6)


@pytest.mark.skipif(not ERA5.exists(), reason="the ERA5 file is not beside this checkout")
def test_split_of_era5() -> None:
    series = Series.read(open_variable(ERA5, "t2m"))
    experiment = Experiment(Options(lead=6, anomaly="hour", space="local", depth=8), series)
    assert len(experiment.split.held_out) == 180
    assert len(experiment.split.training) == 468
