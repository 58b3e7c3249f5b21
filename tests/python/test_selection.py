"""``--select NAME=VALUE``, and several files as one series."""

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
from relaxon.datasets.collection import expand_names, open_files
from relaxon.datasets.selection import select_entries
from relaxon.datasets.variable import open_variable
from ring_data import labelled, ring, write, write_ring

xarray = pytest.importorskip("xarray")
pytest.importorskip("netCDF4")

N = 40
LEVELS = np.array([1000.0, 850.0, 500.0])


def columns() -> Any:
    """The ring at three levels and of two kinds."""
    level = xarray.DataArray(LEVELS, dims="level", coords={"level": LEVELS}, attrs={"units": "hPa"})
    kind = xarray.DataArray([1.0, 2.0], dims="model", coords={"model": ["b b", "a"]})
    da = labelled(ring(N)) * (level / 1000.0) * kind
    return da.transpose("model", "time", "level", "longitude").rename("wave")


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        (["level=850"], {"level": 1}),
        ([" level = 8.5e2 "], {"level": 1}),
        (["model=a"], {"model": 1}),
        (["model=b b", "level=500.0"], {"model": 0, "level": 2}),
        (["longitude=350"], {"longitude": 35}),
        (["time=2020-06-02T03"], {"time": 27}),
        (["time=2020-06-02 03:00"], {"time": 27}),
    ],
)
def test_entries_by_value(choices: list[str], expected: dict[str, int]) -> None:
    da = columns()
    xarray.testing.assert_identical(select_entries(da, choices), da.isel(expected))


def test_numbers_match_in_their_own_precision() -> None:
    da = columns().isel(level=0, model=0, drop=True)
    narrow = da.assign_coords(longitude=np.linspace(0.1, 35.1, 36).astype("f4"))
    assert float(select_entries(narrow, ["longitude=7.1"])["longitude"]) == np.float32(7.1)
    with pytest.raises(ValueError, match=r"such as 7\.1, "):
        select_entries(narrow, ["longitude=7.11"])


def test_coordinates_along_an_axis_and_axes_without_one() -> None:
    da = columns().drop_vars("model").assign_coords(name=("model", ["x", "y"]))
    assert select_entries(da, ["name=y"]).equals(da.isel(model=1))
    assert select_entries(da, ["model=1"]).equals(da.isel(model=1))


CALENDAR = [
    (["level"], "expected NAME=VALUE, as in level=850, got 'level'"),
    (["=5"], "expected NAME=VALUE"),
    (["level=860"], r"expected an entry of 'level' \(3\), such as 850\.0, 1000\.0, 500\.0, got"),
    (["level=low"], r"such as 1000\.0, 850\.0"),
    (["model=aa"], r"expected an entry of 'model' \(2\), such as a"),
    (["levl=850"], r"axes model \(2\), time .*, got levl=850; did you mean 'level'\?"),
    (["level=850", "level=500"], "each axis once, got level=850 and level=500"),
    (["time=2020-06-02"], "'time' has, got time=2020-06-02: 16 have it"),
]


@pytest.mark.parametrize(("choices", "words"), CALENDAR)
def test_bad_choices_are_refused(choices: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=f"argument 'select': .*{words}"):
        select_entries(columns(), choices)


def test_dates_of_other_calendars() -> None:
    pytest.importorskip("cftime")
    times = xarray.date_range("2001-02-28", periods=3, calendar="360_day", use_cftime=True)
    da = columns().isel(time=slice(0, 3)).assign_coords(time=times)
    assert select_entries(da, ["time=2001-02-30"]).equals(da.isel(time=2))


@pytest.mark.parametrize(
    "choices",
    [["level=850"], ["model=a"], ["time=2020-06-02T03"], ["level=500", "time=2020-06-01T00"]],
)
def test_a_file_gives_what_is_chosen_and_loads_no_more(
    choices: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packed numbers, too: their encoding says which ones are missing."""
    packing = {"dtype": "i2", "scale_factor": 0.001, "add_offset": 0.0, "_FillValue": -32767}
    da = columns()
    da[0, 3, 1, 5] = np.nan
    da.to_netcdf(tmp_path / "a.nc", encoding={"wave": packing})
    whole = open_variable(tmp_path / "a.nc")
    sizes = []
    load = xarray.DataArray.load

    def remember(da: Any, **options: Any) -> Any:
        sizes.append(da.size)
        return load(da, **options)

    monkeypatch.setattr(xarray.DataArray, "load", remember)
    found = open_variable(tmp_path / "a.nc", None, choices)
    xarray.testing.assert_identical(found, select_entries(whole, choices))
    others = [c for c in choices if not c.startswith("time")]
    assert sizes[0] == select_entries(whole, others).size


def test_select_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "a.nc", tmp_path / "report"
    columns().to_netcdf(path)
    command = ["fit", str(path), "--steps", "3", "--depth", "2", "--out", str(out)]
    assert cli.main([*command, "--select", "model=a"]) == 2
    line = one_line(capsys.readouterr().err)
    assert re.search("'level': expected an even axis.*choose one entry .*--select", line)
    assert cli.main(command) == 2
    assert "--select 'model=b b';" in one_line(capsys.readouterr().err)
    assert cli.main([*command, "--select", "model=b b", "--select", "level=850"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "drift along level" not in printed.out
    summary = json.loads((out / "summary.json").read_text())
    assert summary["config"]["select"] == "model=b b, level=850"
    chosen = columns().sel(model="b b", level=850)
    model = rx.load(out / "model.safetensors")
    assert model.scaling is not None
    expected = rx.datasets.from_xarray(chosen[: N - N // 4]).scaling.scale
    assert model.scaling.scale == pytest.approx(expected)
    # The commands of the report work as they stand there.
    again, _, forecast = (shlex.split(line)[1:] for line in summary["commands"])
    later = tmp_path / "later.nc"
    again[-1] = str(tmp_path / "again")
    assert "--select" in forecast
    assert cli.main(again) == 0
    forecast[1], forecast[-1] = str(out / "model.safetensors"), str(later)
    assert cli.main(forecast) == 0
    with xarray.open_dataset(later) as found:
        assert found["wave"].dims == ("time", "longitude")
        assert float(found["level"]) == 850.0
        by_hand = found["wave"].load()
    # Without a choice predict takes those of the fit, and other ones where they are given.
    assert cli.main(["predict", forecast[1], str(path), "--out", str(later)]) == 0
    with xarray.open_dataset(later) as found:
        xarray.testing.assert_identical(found["wave"].load(), by_hand)
    chosen.to_netcdf(tmp_path / "chosen.nc")
    assert cli.main(["predict", forecast[1], str(tmp_path / "chosen.nc"), "--out", str(later)]) == 0
    other = ["--select", "level=500", "--select", "model=a"]
    assert cli.main(["predict", forecast[1], str(path), *other, "--out", str(later)]) == 0
    with xarray.open_dataset(later) as found:
        assert float(found["level"]) == 500.0


@pytest.mark.parametrize(
    ("name", "word"), [("sst", "the shipped data"), ("a.npz", "arrays of a .npz")]
)
def test_select_needs_a_file(
    name: str, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["fit", name, "--select", "level=1", "--out", str(tmp_path / "out")]
    assert cli.main(command) == 2
    line = one_line(capsys.readouterr().err)
    assert f"'select': expected no value for {word}" in line


# -- several files -------------------------------------------------------------------------------


@pytest.fixture
def parts(tmp_path: Path) -> tuple[Path, list[str]]:
    """The ring in three files; their names are not in the order of their times."""
    da = labelled(1000.0 + ring(90))
    names = []
    for name, begin, end in (("r_1.nc", 30, 60), ("r_2.nc", 0, 30), ("r_3.nc", 60, 90)):
        da[begin:end].to_netcdf(tmp_path / name)
        names.append(str(tmp_path / name))
    return tmp_path, names


def test_files_are_joined_along_time(parts: tuple[Path, list[str]]) -> None:
    folder, names = parts
    whole = labelled(1000.0 + ring(90))
    xarray.testing.assert_identical(open_files(names), whole)
    pattern = str(folder / "r_*.nc")
    assert expand_names([pattern]) == tuple(names)
    whole[7].to_netcdf(folder / "single.nc")
    whole[8:].to_netcdf(folder / "rest.nc")
    joined = open_files([str(folder / "rest.nc"), str(folder / "single.nc")])
    xarray.testing.assert_equal(joined, whole[7:])


@pytest.mark.parametrize("is_pattern", [False, True])
def test_several_files_from_the_command_line(
    is_pattern: bool, parts: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, names = parts
    given = [str(folder / "r_?.nc")] if is_pattern else names
    whole, out = folder / "whole.nc", folder / "out"
    labelled(1000.0 + ring(90)).to_netcdf(whole)
    options = ["--steps", "3", "--depth", "2"]
    assert cli.main(["fit", *given, *options, "--out", str(out)]) == 0
    assert cli.main(["fit", str(whole), *options, "--out", str(folder / "single")]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    summary, single = (
        json.loads((folder / name / "summary.json").read_text()) for name in ("out", "single")
    )
    assert summary["physics"] == single["physics"]
    assert summary["config"]["data"] == (given[0] if is_pattern else f"{names[0]} and 2 more")
    assert shlex.split(summary["commands"][0])[2 : 2 + len(given)] == given
    later = folder / "later.npz"
    again = shlex.split(summary["commands"][2])[1:]
    again[1], again[-1] = str(out / "model.safetensors"), str(later)
    assert cli.main(again) == 0
    with np.load(later) as forecast:
        assert forecast["y"].shape == (90, 36)


def shifted(da: Any, hours: int) -> Any:
    return da.assign_coords(time=da.time + np.timedelta64(hours, "h"))


OTHERS: dict[str, tuple[Any, str]] = {
    "overlap": (
        lambda da: shifted(da, 25),
        "2020-06-02T01:00.* in .*a.nc and in .*b.nc, and 4 more",
    ),
    "name": (
        lambda da: shifted(da, 99).rename("other"),
        "variable of .*'wave'.*got 'other' in .*b.nc",
    ),
    "unit": (lambda da: shifted(da, 99).assign_attrs(units="Pa"), "unit of .*'hPa'.*got 'Pa' in"),
    "axes": (lambda da: shifted(da, 99).isel(longitude=0), "axes of .*got .'time'. in .*b.nc"),
    "length": (
        lambda da: shifted(da, 99)[:, :30],
        "36 entries along 'longitude'.*got 30 in .*b.nc",
    ),
    "axis": (
        lambda da: shifted(da, 99).assign_coords(longitude=np.arange(36.0)),
        "axis 'longitude' of .*got another one in .*b.nc",
    ),
    "calendar": (
        lambda da: da.assign_coords(
            time=xarray.date_range("2021-01-01", periods=30, calendar="360_day", use_cftime=True)
        ),
        "times of one calendar.*got 2021-01-01.* in .*b.nc",
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_files_that_do_not_follow_each_other_are_refused(case: str, tmp_path: Path) -> None:
    change, words = OTHERS[case]
    da = labelled(ring(30))
    da.to_netcdf(tmp_path / "a.nc")
    change(da).to_netcdf(tmp_path / "b.nc")
    with pytest.raises(ValueError, match=f"argument 'DATA'.*{words}"):
        open_files([str(tmp_path / "a.nc"), str(tmp_path / "b.nc")])


def test_gaps_between_files_are_told(tmp_path: Path) -> None:
    da = labelled(ring(60))
    da[:30].to_netcdf(tmp_path / "a.nc")
    shifted(da[30:], 7).to_netcdf(tmp_path / "b.nc")
    joined = open_files([str(tmp_path / "a.nc"), str(tmp_path / "b.nc")])
    pairs = rx.datasets.from_xarray(joined)
    assert len(pairs) == 58
    assert any("have no partner 1 hour later" in note for note in pairs.notes)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["ring.nc", "sst"], "got sst, the shipped data, and more"),
        (["ring.nc", "a.npz"], "got a.npz, an archive of pairs, and more"),
        (["none_*.nc"], "expected files, got none_*.nc: none is called so"),
        (["ring.nc", "ring.nc"], "each file once, got ring.nc twice"),
        (["ring.nc", "none.nc"], "none.nc: there is none"),
    ],
)
def test_bad_lists_of_files(
    names: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_ring(Path("ring.nc"))
    write(Path("a.npz"), x=np.zeros((3, 4)), y=np.zeros((3, 4)))
    command = ["fit", *names, "--variable", "wave", "--out", "out"]
    assert cli.main(command) == 2
    assert words in one_line(capsys.readouterr().err)
    assert not Path("out").exists()
