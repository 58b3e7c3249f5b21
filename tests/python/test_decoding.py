"""What numbers and units of a file become: dates, lengths of time, or a message that names them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from relaxon import cli
from relaxon.datasets.decoding import decode_times
from relaxon.datasets.series import Series
from relaxon.datasets.variable import open_variable

xarray = pytest.importorskip("xarray")
cftime = pytest.importorskip("cftime")
netCDF4 = pytest.importorskip("netCDF4")


def numbered(numbers: Any, unit: str, calendar: str | None = None) -> Any:
    """A field whose times are as a file holds them."""
    random = np.random.default_rng(1)
    attributes = {"units": unit} | ({} if calendar is None else {"calendar": calendar})
    return xarray.DataArray(
        random.standard_normal((len(numbers), 6)),
        {"time": ("time", np.asarray(numbers), attributes), "x": ("x", np.arange(6.0))},
        ("time", "x"),
        name="v",
        attrs={"units": "K"},
    )


def saved(da: Any, path: Path) -> str:
    da.to_netcdf(path)
    return str(path)


MONTHS = np.arange(24)
UNITS: dict[str, tuple[Any, str, str | None, list[str], str]] = {
    "months": (MONTHS, "months since 1960-01-15", None, ["1960-01-15", "1960-02-15"], "1 month"),
    "mid-months": (
        MONTHS + 0.5,
        "months since 1960-01-01",
        "standard",
        ["1960-01-16T12:00", "1960-02-15T12:00"],
        "1 month",
    ),
    "month ends": (MONTHS, "Month since 1999-12-31", None, ["1999-12-31", "2000-01-31"], "1 month"),
    "months of 30 days": (
        MONTHS + 0.5,
        "months since 1960-01-01",
        "360_day",
        ["1960-01-16", "1960-02-16"],
        "1 month",
    ),
    "months without leap days": (
        MONTHS,
        "months since 2004-01-30",
        "noleap",
        ["2004-01-30", "2004-02-28"],
        "1 month",
    ),
    "years": (MONTHS, "years since 1960-01-01", None, ["1960-01-01", "1961-01-01"], "12 months"),
    "half years": (MONTHS / 2, "years since 1960-01-01", None, ["1960-01-01", "1960-07-01"], "6 m"),
    "months of old": (MONTHS, "months since 0001-01-01", None, ["0001-01-01", "0001-02"], "1 mon"),
    "days of old": (MONTHS, "days since 0850-02-27", None, ["0850-02-27", "0850-02-28"], "1 day"),
    "julian": (MONTHS, "days since 1900-02-28", "julian", ["1900-02-28", "1900-02-29"], "1 day"),
    "30 February": (MONTHS, "days since 2000-02-30", "360_day", ["2000-02-30", "2000-03"], "1 day"),
    "weeks": (MONTHS, "weeks since 1960-01-01", None, ["1960-01-01", "1960-01-08"], "7 days"),
    "capitals": (MONTHS, "Days Since 1960-01-01", None, ["1960-01-01", "1960-01-02"], "1 day"),
    "underscores": (MONTHS, "days_since_1960-01-01", None, ["1960-01-01", "1960-01-02"], "1 day"),
    "months in capitals": (MONTHS, "MONTHS SINCE 1960-01-01", None, ["1960-01-01"], "1 month"),
    "hours": (MONTHS * 6.0, "hours since 1900-01-01 00:00:0.0", None, ["1900-01-01"], "6 hours"),
}


@pytest.mark.parametrize("name", UNITS)
def test_units_since_a_date(name: str, tmp_path: Path) -> None:
    numbers, unit, calendar, dates, step = UNITS[name]
    da = numbered(numbers, unit, calendar)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        in_file = open_variable(saved(da, tmp_path / "a.nc"))
        for time in (Series.read(in_file).time, Series.read(da).time):
            for found, date in zip(time.values, dates, strict=False):
                text = found.isoformat() if hasattr(found, "isoformat") else str(found)
                assert text.startswith(date)
            assert time.step.text(1).startswith(step)
    pairs = rx.datasets.from_xarray(da)
    assert len(pairs) == 23
    model = rx.Relaxation(rx.ADR(pairs.grid), depth=2).with_scaling(pairs.scaling)
    ahead = model.predict_xarray(da)
    assert np.array_equal(ahead.time.values[:-1], decode_times(da).time.values[1:])
    # What was written can be read again.
    again = open_variable(saved(ahead, tmp_path / "b.nc"))
    assert np.array_equal(Series.read(again).time.values, ahead.time.values)


BAD_UNITS: dict[str, tuple[Any, str, str | None, str]] = {
    "shares of months": (
        [0.0, 1.2, 2.4],
        "months since 2000-01-01",
        None,
        "'months since 2000-01-01' .1.2 months after a date is no calendar month",
    ),
    "no date": (range(3), "days since the flood", None, "got 'days since the flood' ."),
    "no months since": (range(3), "months since banana", None, "got 'months since banana' ."),
    "no more": (range(3), "days since", None, "got 'days since' ."),
    "no unit": (range(3), "fortnights since 2000-01-01", None, "got 'fortnights since 2000-01-01'"),
    "no calendar": (
        range(3),
        "days since 2000-01-01",
        "perpetual",
        "'days since 2000-01-01' in the calendar 'perpetual'",
    ),
    "the month 0": (range(3), "days since 0000-00-00", None, "got 'days since 0000-00-00'"),
    "spelt": ([20000101, 20000102], "day as %Y%m%d.%f", None, "got 'day as %Y%m%d.%f' .numbers th"),
}


@pytest.mark.parametrize("name", BAD_UNITS)
def test_what_is_no_unit_of_time_is_named(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers, unit, calendar, words = BAD_UNITS[name]
    da = numbered(list(numbers), unit, calendar)
    rule = "argument 'time': expected times in a unit that can be read, .*"
    with pytest.raises(ValueError, match=rule + words):
        rx.datasets.from_xarray(da)
    path = saved(da, tmp_path / "a.nc")
    assert cli.main(["fit", path, "--out", str(tmp_path / "report")]) == 2
    line = capsys.readouterr().err
    assert f"'{unit}'" in line
    assert "damaged" not in line


def test_other_coordinates_with_odd_units_are_left_alone() -> None:
    da = numbered(range(9), "days since 2000-01-01")
    da = da.assign_coords(ref=((), 3.0, {"units": "days since the flood"}))
    da = da.assign_coords(valid=("time", np.arange(9.0), {"units": "hours since 2000-01-01"}))
    decoded = decode_times(da)
    assert decoded.ref == 3.0
    assert decoded.valid.dtype.kind == "M"
    assert len(rx.datasets.from_xarray(da)) == 8


def test_a_missing_time_is_named() -> None:
    with pytest.raises(ValueError, match=r"'time'.*NaT at index 1"):
        rx.datasets.from_xarray(numbered([0.0, np.nan, 2.0], "days since 2000-01-01"))


@pytest.mark.parametrize("unit", ["days", "seconds", "s", "hours", "ms", "1"])
def test_a_length_of_time_as_the_unit_of_a_field(unit: str, tmp_path: Path) -> None:
    da = numbered(np.arange(24), "days since 2000-01-01").astype("f4")
    da.attrs["units"] = unit
    path = saved(da, tmp_path / "a.nc")
    read = open_variable(path)
    assert [str(read.dtype), read.attrs["units"]] == ["float32", unit]
    series = Series.read(read)
    assert series.unit == unit
    assert np.array_equal(series.values, da.values)
    report = tmp_path / "report"
    assert cli.main(["fit", path, "--out", str(report), "--steps", "2"]) == 0
    model, out = str(report / "model.safetensors"), str(tmp_path / "f.nc")
    assert cli.main(["predict", model, path, "--out", out]) == 0
    ahead = open_variable(out)
    assert [str(ahead.dtype), ahead.attrs["units"]] == ["float32", unit]


def test_lengths_of_time_as_times_are_numbers_with_their_unit(tmp_path: Path) -> None:
    path = saved(numbered(np.arange(0, 48, 2), "hours"), tmp_path / "a.nc")
    step = Series.read(open_variable(path)).time.step
    assert (step.length, step.unit, step.has_dates) == (2.0, "hours", False)


def test_a_field_of_durations_is_refused_with_the_way_out() -> None:
    da = numbered(np.arange(4), "days since 2000-01-01")
    da = da.copy(data=np.ones(da.shape, "m8[ns]"))
    with pytest.raises(TypeError, match=r"'v'.*got timedelta64.*decode_timedelta=False"):
        rx.datasets.from_xarray(da)


def test_only_damaged_bytes_are_called_damaged(tmp_path: Path) -> None:
    path = saved(numbered(np.arange(9), "days since 2000-01-01"), tmp_path / "a.nc")
    with netCDF4.Dataset(path, "a") as file:
        file["v"].scale_factor = "a tenth"
    with pytest.raises(ValueError, match=r"a.nc: a netCDF file whose attributes cannot be decoded"):
        open_variable(path)
    content = bytearray((tmp_path / "a.nc").read_bytes())
    (tmp_path / "b.nc").write_bytes(content[:-100])
    with pytest.raises(ValueError, match=r"b.nc: a netCDF file that is damaged or cut off"):
        open_variable(tmp_path / "b.nc")


def test_a_missing_filter_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "filtered").mkdir()
    path = saved(numbered(np.arange(9), "days since 2000-01-01"), tmp_path / "filtered" / "a.nc")
    reasons = {"Filter error: undefined filter": "needs a filter", "HDF error": "damaged or cut"}
    for reason, words in reasons.items():

        def fail(*arguments: Any, text: str = reason, **options: Any) -> None:
            raise OSError(f"[Errno -137] NetCDF: {text}: '{path}'")

        monkeypatch.setattr(xarray, "open_dataset", fail)
        with pytest.raises(ValueError, match=words):
            open_variable(path)


def test_months_since_a_date_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(numbered(MONTHS, "months since 1960-01-15"), tmp_path / "a.nc")
    report, out = tmp_path / "report", tmp_path / "f.nc"
    assert cli.main(["fit", path, "--out", str(report), "--steps", "2", "--depth", "2"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "17 pairs of months to train on" in printed.out
    assert cli.main(["predict", str(report / "model.safetensors"), path, "--out", str(out)]) == 0
    with xarray.open_dataset(out) as written:
        assert str(written.time.values[-1]).startswith("1962-01-15")
