"""Arithmetic with dates: in the unit of the axis, over every year that it can write."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from printed import one_line
from relaxon import cli
from relaxon.datasets.dates import elapsed, pack_times, unpack_times
from relaxon.datasets.time_axis import TimeAxis
from relaxon.datasets.variable import open_variable
from relaxon.model.prediction import forecast_archive

xarray = pytest.importorskip("xarray")


def axis(first: str, unit: str, step: Any = "D", n: int = 4) -> TimeAxis:
    times = (np.datetime64(first, step) + np.arange(n)).astype(f"M8[{unit}]")
    return TimeAxis.read("time", times, {})


AHEAD = [
    ("0850-01-01", "s", "D", "0850-01-07"),
    ("0850-01-01", "us", "D", "0850-01-07"),
    ("0850-01", "s", "M", "0850-07"),
    ("-044-03-15", "s", "D", "-044-03-21"),
    ("9999-12-29", "s", "D", "10000-01-04"),
    ("2262-04-01", "s", "D", "2262-04-07"),
    ("2262-04-01", "ns", "D", "2262-04-07"),
    ("2262-09", "us", "M", "2263-03"),
    ("1677-10", "ns", "M", "1678-04"),
    ("2001-01-01", "h", "D", "2001-01-07"),
    ("2001-01-01", "D", "D", "2001-01-07"),
    ("2001-01", "D", "M", "2001-07"),
    ("2001-01", "M", "M", "2001-07"),
]


@pytest.mark.parametrize(("first", "unit", "step", "last"), AHEAD)
def test_forecasts_are_dated_in_the_unit_of_the_axis(
    first: str, unit: str, step: str, last: str
) -> None:
    times = axis(first, unit, step)
    later = times.ahead(3)
    assert later.dtype == times.values.dtype
    assert np.array_equal(later[:1], times.values[3:])
    assert str(later[-1]).startswith(last)


def test_a_finer_step_than_the_unit() -> None:
    step = axis("2001-01-01", "s", "h").step
    days = TimeAxis.read("time", np.array(["2001-01-01"], "M8[D]"), {}, step)
    assert str(days.ahead(6)[0]) == "2001-01-01T06:00:00"
    months = TimeAxis.read("time", np.array(["2001-01"], "M8[M]"), {}, step)
    assert str(months.ahead(6)[0]) == "2001-01-01T06:00:00"


@pytest.mark.parametrize("step", ["D", "M"])
def test_dates_that_do_not_fit_are_refused(step: str) -> None:
    times = axis("2262-04-08" if step == "D" else "2262-01", "ns", step)
    with pytest.raises(ValueError, match=r"'time'.*into datetime64\[ns\], too, got 2262-0[34]-"):
        times.ahead(2)


def test_numbers_that_do_not_fit_get_a_wider_type() -> None:
    numbers = TimeAxis.read("time", np.arange(250, 256, dtype="u1"), {})
    assert np.array_equal(numbers.ahead(2), np.arange(252, 258))


def test_lengths_of_time_beyond_what_nanoseconds_count() -> None:
    times = np.array(["1700-01-01", "1980-01-01", "2260-01-01"], "M8[ns]")
    seconds = times.astype("M8[s]").astype(np.int64)
    assert elapsed(times) == pytest.approx(seconds - seconds[0])
    quarter = np.array([250, 0, 500]) * np.timedelta64(1, "ms")
    expected = seconds - seconds[0] + [0.0, -0.25, 0.25]
    assert elapsed(times + quarter) == pytest.approx(expected, rel=1e-15)


def field(times: Any) -> Any:
    values = np.random.default_rng(0).standard_normal((len(times), 6))
    return xarray.DataArray(values, {"time": times, "x": np.arange(6.0)}, ("time", "x"), name="a")


def test_old_years_through_labelled_arrays() -> None:
    cftime = pytest.importorskip("cftime")
    times = xarray.date_range("0850-01-01", periods=9, freq="D", use_cftime=True)
    da = field(times)
    pairs = rx.datasets.from_xarray(da)
    model = rx.Relaxation(rx.ADR(pairs.grid), depth=2).with_scaling(pairs.scaling)
    last = model.predict_xarray(da).time.values[-1]
    assert last == cftime.datetime(850, 1, 10, calendar=times[0].calendar)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        seconds = field((np.datetime64("0850-01-01") + np.arange(9)).astype("M8[s]"))
    if seconds.time.dtype != np.dtype("M8[s]"):
        pytest.skip("this xarray knows nanoseconds alone")
    assert str(model.predict_xarray(seconds).time.values[-1]) == "0850-01-10T00:00:00"


CALENDARS = ["360_day", "noleap", "julian", "standard"]


@pytest.mark.parametrize("calendar", CALENDARS)
def test_dates_of_other_calendars_in_archives(calendar: str) -> None:
    cftime = pytest.importorskip("cftime")
    times = np.array([cftime.datetime(850, 2, day, 6, calendar=calendar) for day in (27, 28)])
    packed = pack_times(times)
    assert packed["time"].dtype.kind == "U"
    assert np.array_equal(unpack_times(packed), times)
    plain = np.array(["2001-02-27", "2001-02-28"], "M8[ns]")
    assert np.array_equal(unpack_times(pack_times(plain)), plain)
    assert np.array_equal(unpack_times({"time": plain.astype(str)}), plain)
    with pytest.raises(
        ValueError, match=f"'time'.*dates of the calendar '{calendar}'.*'2001-02-31'"
    ):
        unpack_times({"time": np.array(["2001-02-31"]), "calendar": np.array(calendar)})
    with pytest.raises(ValueError, match=r"'time': expected dates, as in .*, got 'Monday'"):
        unpack_times({"time": np.array(["Monday"])})


def test_forecasts_in_archives_can_be_read_again(tmp_path: Path) -> None:
    cftime = pytest.importorskip("cftime")
    times = [cftime.datetime(2001 + i // 12, i % 12 + 1, 30, calendar="360_day") for i in range(24)]
    data, out = tmp_path / "a.nc", tmp_path / "report"
    field(times).to_netcdf(data)
    fit = ["fit", str(data), "--out", str(out), "--steps", "2", "--anomaly", "month"]
    assert cli.main(fit) == 0
    model, path = out / "model.safetensors", tmp_path / "f.npz"
    for source, end in ((data, "2003-01-30"), (tmp_path / "x.npz", "2003-02-30")):
        assert cli.main(["predict", str(model), str(source), "--out", str(path)]) == 0
        with np.load(path) as archive:  # without pickle
            assert sorted(archive) == ["calendar", "time", "y"]
            assert archive["time"][-1] == f"{end}T00:00:00"
            assert archive["calendar"] == "360_day"
            np.savez(tmp_path / "x.npz", x=archive["y"], time=archive["time"], calendar="360_day")
    read = forecast_archive(rx.load(model), tmp_path / "x.npz")
    assert read["time"][-1] == cftime.datetime(2003, 3, 30, calendar="360_day")


@pytest.mark.parametrize(
    ("first", "last"), [("0850-01-01", "0850-01-21"), ("2262-03-30", "2262-04-19")]
)
def test_any_year_from_the_command_line(first: str, last: str, tmp_path: Path) -> None:
    """Nanoseconds reach neither: 850 was 2019, and April 2262 was 1677."""
    pytest.importorskip("netCDF4")
    data, out, later = tmp_path / "a.nc", tmp_path / "report", tmp_path / "f.nc"
    da = field(np.arange(20))
    da.time.attrs["units"] = f"days since {first}"
    da.to_netcdf(data)
    assert cli.main(["fit", str(data), "--out", str(out), "--steps", "2", "--depth", "2"]) == 0
    model = str(out / "model.safetensors")
    assert cli.main(["predict", model, str(data), "--out", str(later)]) == 0
    time = open_variable(later).time.values[-1]
    assert (time.isoformat() if hasattr(time, "isoformat") else str(time)).startswith(last)


def test_dates_of_an_archive_that_do_not_fit_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = rx.datasets.from_xarray(
        field(np.datetime64("2001-01-01", "ns") + np.arange(9) * np.timedelta64(1, "D")),
        anomaly="mean",
    )
    model = rx.Relaxation(rx.ADR(pairs.grid), depth=2).with_scaling(pairs.scaling)
    model.save(tmp_path / "m.safetensors")
    times = np.array(["2262-04-10", "2262-04-11"], "M8[ns]")
    np.savez(tmp_path / "x.npz", x=np.ones((2, 6)), time=times)
    files = [str(tmp_path / name) for name in ("m.safetensors", "x.npz", "y.npz")]
    assert cli.main(["predict", files[0], files[1], "--out", files[2]]) == 2
    assert "into datetime64[ns], too, got 2262-04-11" in one_line(capsys.readouterr().err)
    np.savez(tmp_path / "x.npz", x=np.ones((2, 6)), time=times.astype("M8[s]"))
    assert cli.main(["predict", files[0], files[1], "--out", files[2]]) == 0
    with np.load(files[2]) as written:
        assert str(written["time"][-1]).startswith("2262-04-12")


def test_units_finer_than_any_calendar_are_refused() -> None:
    times = np.arange(12).astype("M8[as]")
    with pytest.raises(TypeError, match=r"'time': expected dates in nanoseconds.*datetime64\[as\]"):
        TimeAxis.read("time", times, {})
