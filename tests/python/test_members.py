"""Axes of an ensemble's members: samples, in clusters of one time; and axes that are no space."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from printed import one_line
from relaxon import cli
from relaxon.datasets.series import Series
from relaxon.forecasting.experiment import Experiment
from relaxon.forecasting.options import Options
from relaxon.report.figures import prediction_figure
from ring_data import DRIFT, labelled, ring

xarray = pytest.importorskip("xarray")
pytest.importorskip("netCDF4")

CELL = 10 * np.pi * 6.371e6 / 180
MEMBERS = 3


def ensemble(
    name: str = "member",
    entries: Any = (1, 2, 4),
    attributes: dict[str, Any] | None = None,
    n_times: int = 40,
) -> Any:
    """Independent stretches of one ring, side by side; the members' axis is first."""
    values = ring(n_times * MEMBERS).reshape(MEMBERS, n_times, 36)
    runs = [labelled(one) for one in values]
    da = xarray.concat(runs, name, coords="minimal", compat="equals", join="override")
    if entries is not None:
        da = da.assign_coords({name: (name, list(entries), attributes or {})})
    return da


@pytest.mark.parametrize(
    ("name", "entries", "attributes"),
    [
        ("member", (1, 2, 4), {}),
        ("number", (0, 1, 2), {"units": "1"}),
        ("Ensemble", ("r1", "r2", "r3"), {}),
        ("ens_member", None, {}),
        ("realisations", (0.0, 1.0, 2.0), {}),
        ("member_id", ("r1i1p1f1", "r2i1p1f1", "r3i1p1f1"), {}),
        ("x", (0, 1, 2), {"standard_name": "realization"}),
        ("M", (1.0, 2.0, 3.0), {"long_name": "Ensemble Member"}),
        ("e", (1, 2, 3), {"axis": "E"}),
    ],
)
def test_members_are_samples_in_clusters_of_one_time(
    name: str, entries: Any, attributes: dict[str, Any]
) -> None:
    da = ensemble(name, entries, attributes)
    pairs = rx.datasets.from_xarray(da, lead=2)
    assert pairs.grid.shape == (36,)
    assert pairs.grid.boundary == (("periodic", "periodic"),)
    assert pairs.x.shape == pairs.y.shape == (38 * MEMBERS, 36)
    anomaly = (da.values - da.values.mean()) / da.values.std()
    # Members of one time follow each other.
    np.testing.assert_allclose(pairs.x.reshape(38, MEMBERS, 36), anomaly[:, :-2].swapaxes(0, 1))
    np.testing.assert_allclose(pairs.y.reshape(38, MEMBERS, 36), anomaly[:, 2:].swapaxes(0, 1))
    np.testing.assert_array_equal(pairs.time, np.repeat(da.time.values[2:], MEMBERS))
    # With a lead of 2, blocks of times, ten at least.
    np.testing.assert_array_equal(pairs.groups, np.repeat(np.arange(38) // 3, MEMBERS))
    one = rx.datasets.from_xarray(da)
    np.testing.assert_array_equal(one.groups, np.repeat(np.arange(39), MEMBERS))
    assert pairs.notes[0].startswith(f"3 members along {name}: each with its own pairs")


def test_a_single_run_has_no_groups() -> None:
    single = rx.datasets.from_xarray(labelled(ring(40)))
    assert single.groups is None
    of_one = rx.datasets.from_xarray(ensemble().isel(member=[0]))
    assert of_one.groups is None
    assert of_one.x.shape == (39, 36)


def test_copies_of_a_run_give_its_coefficients_and_its_errors() -> None:
    """Leaking between members, or counting them as independent, would show here."""
    run = labelled(ring(40))
    copies = xarray.concat([run, run, run], "member", coords="minimal", compat="equals")
    found = []
    for da in (run, copies):
        pairs = rx.datasets.from_xarray(da)
        model = rx.Relaxation(rx.ADR(pairs.grid), depth=2, activation="identity")
        model = rx.fit(model, pairs.x, pairs.y, steps=30).model.with_scaling(pairs.scaling)
        found.append(rx.explain(model, data=(pairs.x, pairs.y), groups=pairs.groups))
    for one, three in zip(found[0].processes, found[1].processes, strict=True):
        assert three.values == pytest.approx(one.values, rel=1e-6)
        assert three.standard_error == pytest.approx(one.standard_error, rel=1e-5)


def test_climatology_and_scale_are_those_of_all_members() -> None:
    da = ensemble() + xarray.DataArray([0.0, 5.0, 10.0], dims="member")
    pairs = rx.datasets.from_xarray(da, anomaly="hour")
    hours = da.groupby("time.hour").mean(("time", "member"))
    np.testing.assert_allclose(pairs.scaling.climatology, hours.transpose("hour", "longitude"))
    spread = (da.groupby("time.hour") - hours).std()
    assert pairs.scaling.scale == pytest.approx(float(spread))
    months = np.arange(4).astype("M8[M]").astype("M8[ns]")
    once = da.isel(time=slice(0, 4)).assign_coords(time=months)
    with pytest.raises(ValueError, match=r"'anomaly'.*no month occurs twice.* for 4 times"):
        rx.datasets.from_xarray(once, anomaly="month")


def test_splits_cut_times_the_same_for_all_members() -> None:
    series = Series.read(ensemble())
    split = Experiment(Options(patience=5), series).split
    parts = (split.training, split.validation, split.held_out)
    times = []
    for part in parts:
        assert part is not None
        assert part.time is not None
        assert part.groups is not None
        assert len(part) % MEMBERS == 0
        assert np.all(part.time.reshape(-1, MEMBERS) == part.time[::MEMBERS, np.newaxis])
        assert np.unique(part.groups).size == len(part) // MEMBERS
        times.append(part.time)
    assert times[0].max() < times[1].min()
    assert times[1].max() < times[2].min()


@pytest.mark.parametrize("is_trained_on_one", [False, True])
def test_forecasts_return_members_as_they_came(is_trained_on_one: bool) -> None:
    da = ensemble("ensemble", ("b", "a", "c"))
    da.coords["height"] = 2.0
    da.coords["weight"] = ("ensemble", [0.2, 0.3, 0.5])
    pairs = rx.datasets.from_xarray(da[0] if is_trained_on_one else da, lead=2)
    model = rx.Relaxation(rx.ADR(pairs.grid), depth=2, seed=3).with_scaling(pairs.scaling)
    later = model.predict_xarray(da)
    assert later.dims == da.dims
    assert list(later.ensemble.values) == ["b", "a", "c"]
    np.testing.assert_array_equal(later["weight"], [0.2, 0.3, 0.5])
    assert float(later["height"]) == 2.0
    for i in range(MEMBERS):
        alone = model.predict_xarray(da[i])
        xarray.testing.assert_allclose(later[i], alone)
    turned = model.predict_xarray(da.transpose("longitude", "ensemble", "time")[:, ::-1, ::-1])
    assert turned.dims == ("longitude", "ensemble", "time")
    assert list(turned["ensemble"].values) == ["c", "a", "b"]
    xarray.testing.assert_allclose(turned, later.transpose(*turned.dims)[:, ::-1, ::-1])
    latest = model.predict_xarray(da.isel(time=-1))
    assert latest.dims == ("ensemble", "longitude")
    np.testing.assert_allclose(latest.values, later.isel(time=-1).values)


def test_two_axes_of_members() -> None:
    models = ensemble("run", (0, 1, 2))
    da = models.expand_dims(member=["a", "b"]) * xarray.DataArray([1.0, 2.0], dims="member")
    pairs = rx.datasets.from_xarray(da.transpose("time", "member", "longitude", "run"))
    assert pairs.x.shape == (39 * 6, 36)
    assert "6 members along member, run" in pairs.notes[0]
    ratio = pairs.scaling.undo(pairs.x, pairs.time).reshape(39, 2, 3, 36)
    np.testing.assert_allclose(ratio[:, 1], 2.0 * ratio[:, 0], atol=1e-9)
    model = rx.Relaxation(rx.ADR(pairs.grid), depth=2).with_scaling(pairs.scaling)
    assert model.predict_xarray(da).dims == da.dims


def test_gaps_of_one_member_are_its_own() -> None:
    da = ensemble()
    da[1, 7, 5] = np.nan
    pairs = rx.datasets.from_xarray(da)
    assert pairs.weights is not None
    missing = np.argwhere(~pairs.weights)
    np.testing.assert_array_equal(missing, [[6 * MEMBERS + 1, 5]])
    da[:, :, 9] = np.nan
    assert rx.datasets.from_xarray(da).grid.mask is not None


def test_an_ensemble_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    da = ensemble("number", (0, 1, 2), {"standard_name": "realization", "units": "1"}, n_times=90)
    path, out = tmp_path / "ensemble.nc", tmp_path / "report"
    da.to_netcdf(path)
    assert cli.main(["fit", str(path), "--steps", "40", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "198 pairs of hours of 3 members to train on, 66 held out, 36 cells" in printed.out
    assert "along number " not in printed.out
    assert "clustered by time (66 times)" in " ".join(printed.out.split())
    summary = json.loads((out / "summary.json").read_text())
    assert summary["physics"]["velocity"]["axes"] == ["longitude"]
    assert summary["physics"]["velocity"]["value"][0] == pytest.approx(DRIFT * CELL / 3600, rel=0.2)
    page = (out / "report.html").read_text()
    assert "clustered by time" in page
    assert summary["samples"]["members"] == 3
    assert re.search(r"held out, of <data [^>]*>3</data> members; ", page)
    later = tmp_path / "later.nc"
    model = str(out / "model.safetensors")
    assert cli.main(["predict", model, str(path), "--out", str(later)]) == 0
    with xarray.open_dataset(later) as forecast:
        assert forecast["wave"].dims == da.dims
        np.testing.assert_array_equal(forecast["number"], [0, 1, 2])
        assert forecast["number"].attrs["standard_name"] == "realization"


def test_the_picture_names_the_member() -> None:
    experiment = Experiment(Options(steps=2, depth=2), Series.read(ensemble()))
    figure = prediction_figure(experiment, experiment.run())
    assert any(f", member {m}" in figure.axes[0].get_title(loc="left") for m in (1, 2, 4))


OTHERS: dict[str, tuple[str, Any, dict[str, Any], str, str]] = {
    "quantile": ("quantile", (0.1, 0.5, 0.9), {}, "by its name none of these", "quantile=0.5"),
    "expver": ("expver", (1, 5, 9), {}, "by its name none of these", "expver=5"),
    "statistic": ("ensemble_statistic", (0, 1, 2), {}, "by its name", "ensemble_statistic=1"),
    "single": (
        "percentile",
        np.array([0.1, 0.2, 0.3], np.float32),
        {},
        "its name",
        "percentile=0.2",
    ),
    "texts": ("place", ("a", "b b", "c"), {}, "whose entries are texts", "place='b b'"),
    "lead": ("ahead", (6, 12, 18), {"units": "hours"}, "an axis of durations", "ahead=12"),
    "flags": ("ice", (0, 1, 2), {"flag_meanings": "a b c"}, "flag_meanings", "ice=1"),
    "standard": ("z", (1, 2, 3), {"standard_name": "region"}, "standard name a region", "z=2"),
    "series": ("z", (1, 2, 3), {"cf_role": "timeseries_id"}, "cf_role", "z=2"),
    "no coordinate": ("scenario", None, {}, "by its name none of these", "scenario=1"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_axes_that_are_no_space_are_refused_by_name(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, entries, attributes, reason, entry = OTHERS[case]
    da = ensemble(name, entries, attributes)
    with pytest.raises(ValueError, match=rf"got '{name}' \(3\), .*{reason}") as caught:
        rx.datasets.from_xarray(da)
    assert f"da.sel({entry})" in str(caught.value)
    assert f"--select {shlex.quote(entry.replace(chr(39), ''))};" in str(caught.value)
    # The way out is one.
    chosen = da.sel({name: da[name].values[1]})
    assert rx.datasets.from_xarray(chosen).x.shape == (39, 36)
    path = tmp_path / "a.nc"
    da.to_netcdf(path)
    assert cli.main(["fit", str(path), "--out", str(tmp_path / "out")]) == 2
    assert f"got '{name}' (3)" in one_line(capsys.readouterr().err)


def test_points_one_after_the_other_are_no_grid() -> None:
    da = ensemble("cell", None).isel(longitude=0, drop=True)
    da = da.assign_coords(
        lat=("cell", [1.0, 2.0, 3.0], {"units": "degrees_north"}),
        lon=("cell", [5.0, 3.0, 1.0], {"units": "degrees_east"}),
    )
    with pytest.raises(ValueError, match=r"'cell' \(3\), points one after the other.*no grid"):
        rx.datasets.from_xarray(da)


def test_known_names_stay_space() -> None:
    """A model's own axes, and axes that only sound alike."""
    for name in ("level", "height", "depth", "x", "cell", "numbers_of_cells", "memory"):
        pairs = rx.datasets.from_xarray(ensemble(name, (1.0, 2.0, 3.0)))
        assert pairs.grid.names == (name, "longitude")


def test_two_axes_of_dates_are_refused_with_a_way_out() -> None:
    starts = np.arange(3).astype("M8[D]").astype("M8[ns]")
    with pytest.raises(ValueError, match=r"2 among the axes start \(3\).*da.sel.*--select"):
        rx.datasets.from_xarray(ensemble("start", starts))
