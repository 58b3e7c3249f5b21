"""What stands for gaps is missing where files declare it, and refused where it only seems so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from relaxon import cli
from relaxon.datasets.missing import find_stand_ins
from relaxon.datasets.samples import read_samples
from relaxon.datasets.series import Series
from relaxon.datasets.variable import open_variable
from relaxon.model.prediction import forecast, forecast_archive

xarray = pytest.importorskip("xarray")
netCDF4 = pytest.importorskip("netCDF4")

FILL = 9.969209968386869e36
GAPS = np.zeros((12, 10), bool)
GAPS[[2, 5, 7], [1, 3, 9]] = True


def speeds() -> np.ndarray:
    """Numbers from 1 to 21 with two decimals, as packed ones have."""
    return np.asarray(np.round(11 + 10 * np.sin(np.arange(120.0)), 2)).reshape(12, 10)


def file_of(
    path: Path, raw: np.ndarray, fill: Any = False, kind: Any = "NETCDF4", **attributes: Any
) -> Path:
    """A file with numbers as they are stored."""
    with netCDF4.Dataset(path, "w", format=kind) as file:
        file.createDimension("time", len(raw))
        file.createDimension("x", raw.shape[1])
        time = file.createVariable("time", "f8", ("time",))
        time.units = "days since 2001-01-01"
        time[:] = np.arange(len(raw))
        file.createVariable("x", "f8", ("x",))[:] = np.arange(raw.shape[1])
        data = file.createVariable("speed", raw.dtype, ("time", "x"), fill_value=fill)
        data.set_auto_maskandscale(False)
        data.setncatts({"units": "m s-1", **attributes})
        data[:] = raw
    return path


def with_gaps(values: np.ndarray, gap: Any, dtype: str) -> np.ndarray:
    return np.where(GAPS, gap, values).astype(dtype)


PACKED = np.rint(speeds() * 100)
# Stored numbers, and what the file says of them.
FILES: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "fill of single precision": (with_gaps(speeds(), FILL, "f4"), {}),
    "fill of double precision": (with_gaps(speeds(), FILL, "f8"), {}),
    "fill beside another": (with_gaps(speeds(), FILL, "f4"), {"fill": np.float32(np.nan)}),
    "declared fill": (with_gaps(speeds(), -999, "f4"), {"fill": np.float32(-999)}),
    "missing_value": (with_gaps(speeds(), -999, "f4"), {"missing_value": np.float32(-999)}),
    "valid_min": (with_gaps(speeds(), -999, "f4"), {"valid_min": np.float32(0)}),
    "valid_max": (with_gaps(speeds(), 999, "f8"), {"valid_max": 50.0}),
    "valid_range": (with_gaps(speeds(), -1, "f4"), {"valid_range": np.array([0, 90], "f4")}),
    "limits of another type": (with_gaps(speeds(), -999, "f4"), {"valid_min": 0}),
    "limits that are met": (
        with_gaps(speeds(), 99, "f4"),
        {"valid_range": np.array([speeds().min(), speeds().max()])},
    ),
    "packed": (
        with_gaps(PACKED, 2200, "i2"),
        {"scale_factor": 0.01, "valid_range": np.array([0, 2100], "i2")},
    ),
    "packed with an offset": (
        with_gaps(PACKED - 30000, -30001, "i2"),
        {"scale_factor": 0.01, "add_offset": 300.0, "valid_min": np.int16(-30000)},
    ),
    "packed downwards": (
        with_gaps(-PACKED, 1, "i2"),
        {"scale_factor": -0.01, "valid_max": np.int16(0)},
    ),
    "packed with limits that are not": (
        with_gaps(PACKED, 2200, "i2"),
        {"scale_factor": 0.01, "valid_max": 21.5},
    ),
    "packed, default fill": (with_gaps(PACKED, -32767, "i2"), {"scale_factor": 0.01}),
    "packed long, default fill": (with_gaps(PACKED, -2147483647, "i4"), {"scale_factor": 0.01}),
    "packed in unsigned numbers": (
        with_gaps(np.rint(PACKED / 10), 250, "u1").view("i1"),
        {"scale_factor": 0.1, "_Unsigned": "true", "valid_range": np.array([0, -26], "i1")},
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_what_a_file_calls_missing_is(name: str, tmp_path: Path) -> None:
    raw, attributes = FILES[name]
    path = file_of(tmp_path / "a.nc", raw, **attributes)
    with xarray.open_dataset(path) as dataset:
        in_memory = dataset["speed"].load()
    size = 0.051 if "unsigned" in name else 1e-5
    for da in (open_variable(path), in_memory):
        series = Series.read(da)
        assert np.array_equal(np.isnan(series.values), GAPS)
        assert series.values[~GAPS] == pytest.approx(speeds()[~GAPS], abs=size)
    pairs = rx.datasets.from_xarray(in_memory)
    assert pairs.weights is not None
    assert np.array_equal(pairs.weights, ~GAPS[1:])
    model = rx.Relaxation(rx.ADR(pairs.grid), depth=2).with_scaling(pairs.scaling)
    ahead = model.predict_xarray(in_memory)
    assert not {"valid_min", "valid_max", "valid_range"} & set(ahead.attrs)
    again = model.predict_xarray(open_variable(path))
    assert np.array_equal(again.values, ahead.values, equal_nan=True)


@pytest.mark.parametrize("name", ["fill of single precision", "packed", "packed, default fill"])
def test_classic_files(name: str, tmp_path: Path) -> None:
    raw, attributes = FILES[name]
    path = file_of(tmp_path / "a.nc", raw, kind="NETCDF3_CLASSIC", **attributes)
    values = Series.read(open_variable(path)).values
    assert np.array_equal(np.isnan(values), GAPS)
    assert values[~GAPS] == pytest.approx(speeds()[~GAPS], abs=1e-5)


def test_limits_that_leave_nothing_are_refused(tmp_path: Path) -> None:
    raw = speeds().astype("f4")
    path = file_of(tmp_path / "a.nc", raw, valid_range=np.array([100, 200], "f4"))
    words = r"'speed': expected values from 100 to 200, its valid_range, got 120 of 120 values out"
    with pytest.raises(ValueError, match=words):
        open_variable(path)
    path = file_of(tmp_path / "b.nc", raw, valid_min=np.float32(12.0))
    n_below = int((raw < 12).sum())
    with pytest.warns(UserWarning, match=rf"'speed': {n_below} of 120 values outside its valid_m"):
        da = open_variable(path)
    assert np.isnan(da.values).sum() == n_below


def test_limits_that_are_no_numbers_are_said_to_be_unused(tmp_path: Path) -> None:
    path = file_of(tmp_path / "a.nc", speeds(), valid_range="0 to 50")
    with pytest.warns(UserWarning, match="valid_range is not used: expected two numbers, got '0 t"):
        assert not np.isnan(open_variable(path).values).any()


SENTINELS = [-999.0, -9999.0, -999.9, 9999.0, 1e20, -1e34, 32767.0, -88.0, -273.15, 3.4028235e38]


@pytest.mark.parametrize("value", SENTINELS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_value_far_outside_is_found(value: float, dtype: str) -> None:
    values = speeds().astype(dtype)
    values[::2, 3] = value
    (found,) = find_stand_ins(values)
    assert found.count == 6
    assert float(found.number) == pytest.approx(value, rel=1e-6)
    assert (found.low, found.high) == pytest.approx((1.0, 21.0), abs=0.02)


def test_two_values_far_outside_are_found() -> None:
    values = speeds()
    values[::2, 3], values[1::2, 4] = -9999, 9999
    assert [one.value for one in find_stand_ins(values)] == [-9999, 9999]


RANDOM = np.random.default_rng(3)
HARMLESS = {
    "zeros of precipitation": np.maximum(RANDOM.standard_normal(999) - 1, 0) * 20,
    "clipped": np.minimum(np.exp(2 * RANDOM.standard_normal(999)), 40),
    "heavy tails": np.exp(3 * RANDOM.standard_normal(999)),
    "a mask": (RANDOM.standard_normal(999) > 1) * 1000.0,
    "few different values": np.repeat([0.0, 0.2, 0.4, 5.0], 9),
    "heights to 9999": np.append(np.linspace(0, 9999, 99), np.full(9, 9999.0)),
    "constant": np.full(9, -999.0),
    "empty": np.full(9, np.nan),
    "one outlier": np.append(RANDOM.standard_normal(99), 77.0),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_lies_with_the_others_is_not_found(name: str) -> None:
    assert find_stand_ins(HARMLESS[name]) == ()


def test_a_value_that_seems_to_stand_for_gaps_is_refused(tmp_path: Path) -> None:
    path = file_of(tmp_path / "a.nc", with_gaps(speeds(), -999, "f4"))
    words = (
        r"'speed': .*got -999 in 3 of 120 values, far outside the others \(1.* to 2.*\); declare "
        r"it missing with --missing -999, or mask it with da.where\(da != -999\)"
    )
    da = open_variable(path)
    with pytest.raises(ValueError, match=words):
        rx.datasets.from_xarray(da)
    pairs = rx.datasets.from_xarray(da.where(da != -999))
    model = rx.Relaxation(rx.ADR(pairs.grid), depth=2).with_scaling(pairs.scaling)
    with pytest.raises(ValueError, match=words):
        model.predict_xarray(da)
    masked = model.predict_xarray(da.where(da != -999))
    declared = forecast(model, da, missing=(-999.0,))
    assert np.array_equal(declared.values, masked.values, equal_nan=True)
    assert np.isnan(masked.values).any()


def test_declared_values_are_gaps_and_counted() -> None:
    times = np.datetime64("2001-01-01", "ns") + np.arange(12) * np.timedelta64(1, "D")
    da = xarray.DataArray(
        with_gaps(speeds(), -99.9, "f4"),
        {"time": times, "x": np.arange(10.0)},
        ("time", "x"),
        name="speed",
    )
    series = Series.read(da, missing=(-99.9, 9999.0))
    assert np.array_equal(np.isnan(series.values), GAPS)
    assert series.notes == (
        "3 values are -99.9, which is declared missing",
        "0 values are 9999, which is declared missing",
    )


def test_archives(tmp_path: Path) -> None:
    values = speeds()
    x, y = values[:-1], np.where(GAPS, -999.0, values)[1:]
    np.savez(tmp_path / "a.npz", x=x, y=y)
    with pytest.raises(ValueError, match=r"'y': .*got -999 in 3 of 110 values"):
        read_samples(tmp_path / "a.npz")
    samples = read_samples(tmp_path / "a.npz", missing=(-999.0,))
    assert samples.weights is not None
    assert np.array_equal(samples.weights, ~GAPS[1:])
    model = rx.Relaxation(rx.ADR(rx.Grid((10,))), depth=2)
    np.savez(tmp_path / "b.npz", x=y)
    with pytest.raises(ValueError, match=r"'x': .*got -999 in 3 of 110 values"):
        forecast_archive(model, tmp_path / "b.npz")


def run(*arguments: Any) -> int:
    return cli.main([str(argument) for argument in arguments])


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = with_gaps(speeds(), -999.9, "f4")
    raw[5:, 4] = 1e20
    path, out = file_of(tmp_path / "a.nc", raw), tmp_path / "report"
    fit = ["fit", path, "--out", out, "--steps", 2, "--depth", 2]
    assert run(*fit) == 2
    line = capsys.readouterr().err
    assert "got 1e+20 in 7 of 120 values, far outside the others (1" in line
    assert "and -999.9 in 3 of 120 values" in line
    assert "declare it missing with --missing 1e+20 --missing -999.9, or mask it with da" in line
    assert not out.exists()
    assert run(*fit, "--missing", "-999.9", "--missing", "1e20", "--missing", 77) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "3 values are -999.9, which is declared missing" in printed.out
    assert "7 values are 1e+20, which is declared missing" in printed.out
    assert "0 values are 77, which is declared missing" in printed.out
    summary = json.loads((out / "summary.json").read_text())
    assert "--missing -999.9 --missing 1e+20 --missing 77.0" in summary["commands"][0]
    assert summary["config"]["missing"] == "-999.9, 1e+20, 77"
    assert run("inspect", path, "--missing", "-999.9") == 0
    printed = capsys.readouterr()
    assert "declared    3 values are -999.9, which is declared missing" in printed.out
    assert "suspicious  1e+20 in 7 of 117 values, far outside the others" in printed.out
    assert "--missing -999.9 --missing 1e+20 --out" in printed.out
    # The model knows them; another one can be added.
    model, forecast_path = out / "model.safetensors", tmp_path / "f.nc"
    assert run("predict", model, path, "--out", forecast_path) == 0
    assert float(np.abs(open_variable(forecast_path)).max()) < 100
    raw[3, 5] = -8888
    path = file_of(tmp_path / "b.nc", raw)
    assert run("predict", model, path, "--out", forecast_path) == 2
    assert "--missing -8888" in capsys.readouterr().err
    assert run("predict", model, path, "--out", forecast_path, "--missing", "-8888") == 0


def test_command_line_of_archives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = tmp_path / "a.npz", tmp_path / "report"
    y = np.where(GAPS, -999.0, speeds())
    x = speeds()
    x[:, 6] = -999.0
    np.savez(data, x=x, y=y)
    fit = ["fit", data, "--out", out, "--steps", 2, "--depth", 2]
    assert run(*fit) == 2
    assert "argument 'x': expected values among which none stands" in capsys.readouterr().err
    assert run("inspect", data) == 0
    printed = capsys.readouterr().out
    assert "suspicious  x: -999 in 12 of 120 values" in printed
    assert printed.count("--missing -999 --out") == 1
    assert run(*fit, "--missing", "-999") == 0
    assert "9 cells" in capsys.readouterr().out
    model, forecast_path = out / "model.safetensors", tmp_path / "f.npz"
    assert run("predict", model, data, "--out", forecast_path) == 0
    with np.load(forecast_path) as archive:
        assert np.nanmax(np.abs(archive["y"])) < 100


def test_what_cannot_be_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fit", "sst", "--missing", "-999", "--out", tmp_path / "report") == 2
    assert "'missing': expected no value for the shipped data" in capsys.readouterr().err
    path = file_of(tmp_path / "a.nc", speeds())
    assert run("fit", path, "--missing", "nan", "--out", tmp_path / "report") == 2
    assert "'missing': expected a finite number, got nan" in capsys.readouterr().err
