"""Files with the headers of public ones, from ``relaxon inspect`` to forecasts and physics."""

from __future__ import annotations

import json
import re
import shlex
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from public_files import FILES
from relaxon import cli

xarray = pytest.importorskip("xarray")
pytest.importorskip("netCDF4")
pytest.importorskip("cftime")

# Lines of inspect, options that it suggests, the first line of fit.
EXPECTED: dict[str, tuple[list[str], list[str], str]] = {
    "tas_day_historical.nc": (
        [
            "variable  tas, Near-Surface Air Temperature, in K: time (720), lat (11), lon (24)",
            "helpers   time_bnds, lat_bnds, lon_bnds",
            "declared  missing by attributes: _FillValue 1e+20, missing_value 1e+20",
            "time      time: 720 times, 1950-01-01T12:00 to 1951-12-30T12:00, step 1 day, "
            "calendar 360_day",
            "space     lon: 24 cells of ..., closes",
            "gaps      none",
        ],
        ["--anomaly", "month"],
        "539 pairs of days to train on, 179 held out, 264 cells",
    ),
    "reanalysis.nc": (
        [
            "declared  missing by attributes: _FillValue -32767, missing_value -32767 "
            "(numbers as stored)",
            "left out  level: 2 entries (500, 850), too few for an axis of space; fit takes it for "
            "space without --select",
            "time      time: 60 times, 2019-01-01 to 2019-01-15T18:00, step 6 hours, "
            "calendar standard",
            "space     latitude: 11 cells of ..., descending",
            "members   3 members along number (0, 1, 2)",
        ],
        ["--select", "level=500", "--anomaly", "hour"],
        "132 pairs of times of 3 members to train on, 42 held out, 264 cells",
    ),
    "sst_l3s.nc": (
        [
            "helpers   quality_level, l2p_flags",
            "declared  missing by attributes: valid_min -300, valid_max 4500, _FillValue -32768 "
            "(numbers as stored)",
            "masked    25 of 576 cells, without any value",
            "gaps      3.77% of the values of the other cells",
        ],
        [],
        "89 pairs of days to train on, 29 held out, 551 cells",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_from_inspect_to_forecast(
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file, (lines, options, first) = FILES[name], EXPECTED[name]
    file.write(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    command = inspect(name, lines, capsys)
    assert command == ["relaxon", "fit", name, *options, "--out", "report"]

    assert cli.main([*command[1:], "--steps", "40"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.splitlines()[0] == first
    summary = json.loads(Path("report/summary.json").read_text())
    drift = file.motion.metres_per_second(file.width, file.step)
    velocity = summary["physics"]["velocity"]
    assert velocity["unit"] == "m/s"
    errors = velocity["standard_error"]
    assert abs(velocity["value"][0]) < 3 * errors[0]
    assert abs(velocity["value"][1] - drift) < 3 * errors[1]
    assert drift > 5 * errors[1]

    model = "report/model.safetensors"
    assert cli.main(["explain", model]) == 0
    explained = capsys.readouterr().out
    assert re.search(r"advection along lon\S*( \[\S+\])? +m/s +[1-9]", explained)
    processes = {(p.symbol, p.axes): float(p.values) for p in rx.explain(rx.load(model)).processes}
    assert processes["U", (1,)] == pytest.approx(velocity["value"][1])

    assert cli.main(["predict", model, name, "--out", "later.nc"]) == 0
    with xarray.open_dataset(name) as given, xarray.open_dataset("later.nc") as later:
        check_forecast(given, later)


def inspect(name: str, lines: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The command that is suggested, once the lines have been found."""
    assert cli.main(["inspect", name]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    *found, blank, command = printed.out.splitlines()
    assert blank == ""
    for line in lines:
        start, _, end = line.partition("...")
        assert any(one.startswith(start) and one.endswith(end) for one in found), line
    return shlex.split(command)


def check_forecast(given: Any, later: Any) -> None:
    """One field, in the unit, the calendar and at the places of what was given, a step later."""
    (name,) = later.data_vars
    before, after = given[name], later[name]
    assert after.attrs["units"] == before.attrs["units"]
    assert after.attrs["standard_name"] == before.attrs["standard_name"]
    time, then = given["time"].values, later["time"].values
    assert list(then) == list(time + (time[1] - time[0]))
    assert getattr(then[0], "calendar", "") == getattr(time[0], "calendar", "")
    for dim in after.dims[1:]:
        np.testing.assert_array_equal(later[dim], given[dim])
    # What the file does not hold is not named in it.
    variables = [later[variable] for variable in later.variables]
    for variable in variables:
        assert not {"bounds", "cell_measures", "ancillary_variables"} & set(variable.attrs)

    if "level" in given:
        assert int(later["level"]) == 500
        before = before.sel(level=500)
    # Clouds are beyond the valid range; a cell beside one has no forecast.
    is_land = np.isnan(before.values).all(axis=0)
    is_gap = (before.values > 273.15 + 45.005) & ~is_land
    near = reduce(np.logical_or, (shifted(is_gap, i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)))
    np.testing.assert_array_equal(np.isnan(after.values), near | is_land)
    error = after.values[:-1] - before.values[1:]
    assert np.nanstd(np.where(is_gap[1:], np.nan, error)) < np.nanstd(before.values)


def shifted(is_gap: np.ndarray, south: int, east: int) -> np.ndarray:
    """Gaps one cell further, round the earth but not over the poles."""
    moved = np.roll(is_gap, east, axis=-1)
    padded = np.pad(moved, [(0, 0)] * (moved.ndim - 2) + [(1, 1), (0, 0)])
    n = moved.shape[-2]
    return np.asarray(padded[..., 1 - south : 1 - south + n, :])
