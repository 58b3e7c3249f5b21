"""Forecasts of labelled arrays, in the units of the data, by the scaling that a model carries."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from hourly_data import HOUR, hourly, model_of
from relaxon.datasets.series import Series
from relaxon.datasets.variable import open_variable
from relaxon.forecasting.experiment import Experiment
from relaxon.forecasting.options import Options

xarray = pytest.importorskip("xarray")

ROOT = Path(__file__).resolve().parents[2]
ERA5 = ROOT.parent / "shared" / "data" / "era5_uk_t2m_2019_03.nc"


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
