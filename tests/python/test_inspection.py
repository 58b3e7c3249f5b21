"""``relaxon inspect``: every kind of line, and commands that can be pasted."""

from __future__ import annotations

import re
import shlex
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from printed import one_line
from relaxon import cli, commands
from relaxon.datasets.source import Source
from relaxon.forecasting.experiment import Experiment
from relaxon.forecasting.inspection import inspect_data
from relaxon.forecasting.options import Options
from ring_data import labelled, ring, write, write_ring

xarray = pytest.importorskip("xarray")
pytest.importorskip("netCDF4")

N = 40


def levels(values: Any, name: str = "level", units: str = "hPa") -> Any:
    da = labelled(ring(N)).expand_dims({name: np.asarray(values)}, axis=-1).copy()
    da[name].attrs["units"] = units
    return da


def monthly(n: int = 60) -> Any:
    months = np.arange(360, 360 + n).astype("M8[M]").astype("M8[ns]")
    return labelled(ring(n)).assign_coords(time=months)


def with_helpers() -> Any:
    da = labelled(ring(N), cell_measures="area: areacella", long_name="height of waves")
    dataset = da.rename("wave").to_dataset()
    dataset["areacella"] = ("longitude", np.ones(36))
    return dataset


def two_fields() -> Any:
    da = labelled(ring(N))
    return xarray.Dataset({"wave": da, "tide": 2 * da})


def with_gaps() -> Any:
    da = labelled(ring(N))
    da[3, :9] = np.nan
    da[:, 12] = np.nan
    da.encoding["_FillValue"] = -1e10
    return da


def packed() -> Any:
    da = labelled(ring(N), valid_max=np.int16(4000))
    da.encoding = {"dtype": "i2", "scale_factor": 0.01, "_FillValue": np.int16(-1)}
    return da


def single_precision() -> Any:
    da = labelled(ring(N).astype("f4"))
    da.encoding = dict.fromkeys(("_FillValue", "missing_value"), np.float32(1e20))
    return da


def of_other_calendar() -> Any:
    pytest.importorskip("cftime")
    times = xarray.date_range("2001-01-01", periods=N, calendar="360_day", use_cftime=True)
    return labelled(ring(N)).assign_coords(time=times)


def positioned() -> Any:
    values = np.random.default_rng(0).standard_normal((N, 4, 5))
    plane, north = (("j", "i"), np.zeros((4, 5))), {"units": "degrees_north"}
    return labelled(ring(N)).to_dataset(name="w").drop_dims("longitude").assign(
        wave=(("time", "j", "i"), values), lat=(*plane, north)
    )  # fmt: skip


def steady() -> Any:
    pattern = xarray.DataArray(np.arange(36.0), dims="longitude")
    return (labelled(ring(N)) + 10 * pattern).rename("wave")


LINES: dict[str, tuple[Callable[[], Any], list[str], str]] = {
    # What is in the file, lines that are printed, options of the command.
    "plain": (
        lambda: labelled(ring(N)),
        [
            "variable  wave, in hPa: time (40), longitude (36)",
            "time      time: 40 times, 2020-06-01 to 2020-06-02T15:00, step 1 hour, calendar stand",
            "space     longitude: 36 cells of 1.1119e.06 m as at the equator .*, closes",
            "gaps      none",
            "fit       29 pairs of hours to train on, 9 held out, 36 cells",
        ],
        "",
    ),
    "helpers": (
        with_helpers,
        ["variable  wave, height of waves, in hPa", "helpers   areacella"],
        "",
    ),
    "two fields": (
        two_fields,
        ["others    tide; fit refuses to choose without --variable"],
        "--variable wave",
    ),
    "members": (
        lambda: levels(np.arange(8), "member", "1"),
        ["members   8 members along member (0, 1, 2, ..., 7)", "fit       232 pairs of hours of 8"],
        "",
    ),
    "left out": (
        lambda: levels([0.1, 0.5, 0.9], "quantile", "1"),
        ["left out  quantile: 3 entries (0.1, 0.5, 0.9), by its name none.*refuses it without"],
        "--select quantile=0.5",
    ),
    "texts": (
        lambda: levels(["a", "b c", "d"], "place", "1"),
        ["left out  place: 3 entries (a, b c, d), whose entries are texts"],
        "--select 'place=b c'",
    ),
    "uneven levels": (
        lambda: levels([1000.0, 850.0, 500.0]),
        ["left out  level: 3 entries (1000, 850, 500), uneven"],
        "--select level=850.0",
    ),
    "even levels": (
        lambda: levels([1000.0, 850.0, 700.0]),
        ["space     level: 3 cells of 150 hPa, descending"],
        "",
    ),
    "two levels": (
        lambda: levels([850.0, 500.0]),
        ["left out  level: 2 entries (850, 500), too few for .*; fit takes it for space without"],
        "--select level=850.0",
    ),
    "packed": (
        packed,
        ["declared  missing by attributes: valid_max 4000, _FillValue -1 (numbers as stored)"],
        "",
    ),
    "single precision": (
        single_precision,
        [r"declared  missing by attributes: _FillValue 1e\+20, missing_value 1e\+20$"],
        "",
    ),
    "one level": (lambda: levels([850.0]), ["left out  level: one entry (850.0)"], ""),
    "months": (
        monthly,
        [
            "time      time: 60 times, 2000-01-01 to 2004-12-01, step 1 month",
            "anomaly   month: a mean",
        ],
        "--anomaly month",
    ),
    "a year of months": (lambda: monthly(13), ["fit       9 pairs of months"], ""),
    "hours": (
        lambda: labelled(ring(96)),
        ["anomaly   hour: a mean for each hour comes off"],
        "--anomaly hour",
    ),
    "calendar": (
        of_other_calendar,
        ["40 times, 2001-01-01 to 2001-02-10, step 1 day, calendar 360_day"],
        "",
    ),
    "odd steps": (
        lambda: labelled(ring(N)).isel(time=[*range(20), *range(25, N)]),
        ["time      2 of 35 times have no partner 1 hour later"],
        "",
    ),
    "gaps": (
        with_gaps,
        [
            "declared  missing by attributes: _FillValue -10000000000.0",
            "masked    1 of 36 cells, without any value",
            "gaps      0.64% of the values of the other cells",
        ],
        "",
    ),
    "positions": (positioned, ["warning   axes 'j', 'i' keep lattice units: positions"], ""),
    "steady": (
        steady,
        ["anomaly   the mean of each cell holds 100% of the variance: it is removed"],
        "",
    ),
}


def show_plan(names: tuple[str, ...], out: Path, options: Options, *ways: bool) -> int:
    """In place of a fit: what it would do."""
    source = Source(names, options.variable, options.select)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        print(Experiment(options, source.read()).describe()[0])
    return 0


@pytest.mark.parametrize("case", LINES)
def test_every_kind_of_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make, lines, options = LINES[case]
    path = tmp_path / "a.nc"
    make().to_netcdf(path)
    assert cli.main(["inspect", str(path)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    for line in lines:
        pattern = re.sub(r"([()])", r"\\\1", line)
        assert re.search(pattern, printed.out, re.MULTILINE), printed.out
    assert "refused" not in printed.out
    *_, empty, command = printed.out.splitlines()
    assert empty == ""
    assert command == f"relaxon fit {path} {options} --out report".replace("  ", " ")
    # It can be pasted, and does what was said.
    (fit,) = [line for line in printed.out.splitlines() if " to train on" in line]
    monkeypatch.setattr(commands, "fit", show_plan)
    assert cli.main(shlex.split(command)[1:]) == 0
    assert capsys.readouterr().out.strip() == fit.removeprefix("fit").strip()


def test_values_that_seem_to_stand_for_gaps(tmp_path: Path) -> None:
    da = labelled(ring(N))
    da[4, :7] = -999.0
    da.to_netcdf(tmp_path / "a.nc")
    found = inspect_data(Source((str(tmp_path / "a.nc"),)))
    assert found.options == ["--missing", "-999"]
    lines = dict(found.findings)
    assert lines["suspicious"].startswith("-999 in 7 of 1440 values, far outside the others (")
    assert lines["suspicious"].endswith("fit refuses it without --missing")
    assert lines["gaps"].startswith("0.49%")


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no time": (lambda: labelled(ring(N))[0].drop_vars("time"), "expected one time axis, got 0"),
    "integers": (lambda: labelled(ring(N)).astype("i4"), "expected floating-point numbers"),
    "uneven": (lambda: labelled(ring(N))[:, [0, 1, 2, 4]], "'longitude': expected an even axis"),
    "short": (lambda: labelled(ring(N))[:2], "'holdout'|'lead'"),
    "no field": (lambda: labelled(ring(N))[0, 0], "no variable of it is a field"),
    "two times": (
        lambda: labelled(ring(N)).expand_dims(start=np.array(["2000", "2001"], "M8[ns]")),
        "one time axis, got 2 among .*--select",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_fit_would_refuse_is_a_finding(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, words = REFUSED[case]
    path = tmp_path / "a.nc"
    make().to_netcdf(path)
    assert cli.main(["inspect", str(path)]) == 0
    printed = capsys.readouterr()
    *_, last = printed.out.splitlines()
    assert re.search(f"^refused .*{words}", last), printed.out
    assert "relaxon fit" not in printed.out
    # The very same that fit says.
    assert cli.main(["fit", str(path), "--out", str(tmp_path / "out")]) == 2
    message = one_line(capsys.readouterr().err).removeprefix("relaxon: ")
    assert last.removeprefix("refused").strip() == message


def test_choices_of_the_user_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.nc"
    xarray.Dataset(
        {"wave": levels([1000.0, 850.0, 500.0]), "other": levels([1.0, 2.0])[0]}
    ).to_netcdf(path)
    command = ["inspect", str(path), "--variable", "wave", "--select", "level=500"]
    assert cli.main(command) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"relaxon fit {path} --variable wave --select level=500 --out report"
    assert cli.main(["inspect", str(path), "--variable", "none"]) == 0
    assert "refused    argument 'variable': expected one of" in capsys.readouterr().out


def test_several_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    da = labelled(ring(N))
    for name, part in (("a_1.nc", da[:20]), ("a_2.nc", da[20:])):
        part.to_netcdf(tmp_path / name)
    pattern = str(tmp_path / "a_*.nc")
    assert cli.main(["inspect", pattern]) == 0
    printed = capsys.readouterr().out
    assert "files     2, joined along time" in printed
    assert "time: 40 times, 2020-06-01 to 2020-06-02T15" in printed
    assert printed.splitlines()[-1] == f"relaxon fit {shlex.quote(pattern)} --out report"


def test_the_shipped_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", "sst"]) == 0
    printed = capsys.readouterr().out
    assert "masked  2055 of 7776 cells, without any value" in printed
    assert printed.splitlines()[-1] == "relaxon fit sst --out report"


def test_archives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).standard_normal((20, 6))
    path = write(tmp_path / "a.npz", x=x, y=x)
    assert cli.main(["inspect", path]) == 0
    printed = capsys.readouterr().out
    assert "array  x: shape (20, 6), float64" in printed
    assert "fit    15 pairs to train on, 5 held out, 6 cells" in printed
    assert printed.splitlines()[-1] == f"relaxon fit {path} --out report"
    path = write(tmp_path / "b.npz", x=x)
    assert cli.main(["inspect", path]) == 0
    assert (
        "refused  argument 'DATA': expected arrays 'x' and 'y', got 'x'" in capsys.readouterr().out
    )


@pytest.mark.parametrize("name", ["none.nc", "none_*.nc", "text.nc"])
def test_what_cannot_be_read_is_an_error(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_ring(Path("ring.nc"))
    Path("text.nc").write_text("no data")
    assert cli.main(["inspect", name]) == 2
    assert name in one_line(capsys.readouterr().err)


def test_nothing_is_trained_and_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr("relaxon.forecasting.experiment.fit", refuse)
    write_ring(tmp_path / "ring.nc")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["inspect", "ring.nc"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["ring.nc"]
