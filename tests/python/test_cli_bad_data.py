"""Bad input to ``relaxon fit`` and ``relaxon predict`` on files: one line each."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from printed import one_line
from relaxon import cli
from relaxon.datasets.variable import open_variable
from ring_data import labelled, ring, write, write_ring

xarray = pytest.importorskip("xarray")
pytest.importorskip("netCDF4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a netCDF file, and the report of a fit to it."""
    folder = tmp_path_factory.mktemp("data")
    write_ring(folder / "ring.nc")
    arguments = ["fit", str(folder / "ring.nc"), "--variable", "wave", "--lead", "2"]
    arguments += ["--anomaly", "hour", "--steps", "2"]
    assert cli.main([*arguments, "--out", str(folder / "report")]) == 0
    return folder


def netcdf(path: Path, change: Callable[[Any], Any]) -> str:
    change(labelled(ring())).to_netcdf(path)
    return str(path)


def dated(da: Any, unit: str) -> Any:
    """The same at times of another step."""
    times = np.arange(360, 360 + len(da)).astype(f"M8[{unit}]")
    return da.assign_coords(time=times.astype("M8[ns]"))


def stretched(da: Any, length: float) -> Any:
    """The same on cells of a length."""
    positions = ("x", length * np.arange(36.0), {"units": "m"})
    return da.drop_vars("longitude").rename(longitude="x").assign_coords(x=positions)


X = np.zeros((8, 6))
INTEGERS = "int32; convert it with da.astype.*(da: the variable as xarray opens it"
BAD_DATA: dict[str, tuple[Callable[[Path], str], list[str], str]] = {
    "no file": (lambda p: str(p / "none.nc"), [], "there is none"),
    "no archive": (lambda p: str(p / "none.npz"), [], "there is none"),
    "a folder": (lambda p: str(p), [], "opens.*a folder that holds no data set"),
    "text": (lambda p: str(Path(__file__)), [], "opens.*no format that the installed packages"),
    "empty": (lambda p: cut(p / "a.nc", b""), [], "a.nc: the file is empty"),
    "empty archive": (lambda p: cut(p / "a.npz", b""), [], "a.npz: the file is empty"),
    "folder of an archive": (lambda p: str(folder_at(p / "a.npz")), [], "a.npz: a folder"),
    "damaged": (lambda p: cut(p / "a.nc", ring_bytes(p)[:-200]), [], "damaged or cut off (.*HDF"),
    "cut off": (
        lambda p: cut(p / "a.nc", ring_bytes(p, format="NETCDF3_64BIT")[:-4000]),
        [],
        "damaged or cut off",
    ),
    "neither x nor y": (lambda p: write(p / "a.npz", a=X, b=X), [], "'x' and 'y', got 'a', 'b'"),
    "no y": (lambda p: write(p / "a.npz", x=X), [], "'x' and 'y', got 'x'"),
    "shapes": (lambda p: write(p / "a.npz", x=X, y=X[:, :4]), [], "'y'.*(8, 6), got (8, 4)"),
    "flat": (lambda p: write(p / "a.npz", x=X[:, 0], y=X[:, 0]), [], "'x'.*axes of space"),
    "objects": (
        lambda p: write(p / "a.npz", x=X, y=np.array([None, 1], object)),
        [],
        "'y': an array of Python objects",
    ),
    "labels": (lambda p: write(p / "a.npz", x=X, y=np.arange(8)), [], "'y'.*float64, got int64"),
    "integers": (lambda p: write(p / "a.npz", x=X.astype(int), y=X), [], "save it as x.astype"),
    "half precision": (lambda p: write(p / "a.npz", x=X.astype("f2"), y=X), [], "'x'.*float16"),
    "infinite": (lambda p: write(p / "a.npz", x=X + np.inf, y=X), [], "'x'.*infinite"),
    "all missing": (lambda p: write(p / "a.npz", x=X * np.nan, y=X), [], "all values are missing"),
    "y missing": (lambda p: write(p / "a.npz", x=X, y=X * np.nan), [], "'y'.*all are missing"),
    "weights": (lambda p: write(p / "a.npz", x=X, y=X, weights=X[:3]), [], "'weights'.*(3, 6)"),
    "negative": (lambda p: write(p / "a.npz", x=X, y=X, weights=X - 1.0), [], "'weights'.*at lea"),
    "pairs and lead": (lambda p: write(p / "a.npz", x=X, y=X), ["--lead", "2"], "'lead'.*no time"),
    "pairs, month": (lambda p: write(p / "a.npz", x=X, y=X), ["--anomaly", "month"], "'anomaly'"),
    "held out": (lambda p: write(p / "a.npz", x=X, y=X), ["--holdout", "0.97"], "'holdout'"),
    "truncated": (lambda p: truncated(p / "a.npz"), [], "archive"),
    "no time": (lambda p: netcdf(p / "a.nc", lambda da: da[0]), [], "one time axis.*longitude .36"),
    "no space": (lambda p: netcdf(p / "a.nc", lambda da: da[:, 0]), [], "one to three axes"),
    "empty axis": (
        lambda p: netcdf(p / "a.nc", lambda da: da[:, :0]),
        [],
        "none along 'longitude'",
    ),
    "cells as large as the universe": (
        lambda p: netcdf(p / "a.nc", lambda da: stretched(da, 1e300)),
        [],
        "'x'.*cells of 1e-100 to 1e+100, got 1e+300",
    ),
    "uneven": (
        lambda p: netcdf(p / "a.nc", lambda da: da[:, [0, 1, 2, 4]]),
        [],
        "'longitude'.*even.*index 3",
    ),
    "times without a step": (
        lambda p: netcdf(p / "a.nc", lambda da: da[np.cumsum(1 + np.arange(12) % 7)]),
        [],
        "'time'.*steps of 1 hour to 7 hours",
    ),
    "a time twice": (
        lambda p: netcdf(p / "a.nc", lambda da: da[[*range(50), 49, *range(50, 90)]]),
        [],
        "'time'.*each time once, got 2020-06-03T01:00 again at index 50",
    ),
    "not monotone": (
        lambda p: netcdf(p / "a.nc", lambda da: da[:, [0, 2, 1, 4]]),
        [],
        "'longitude'.*monotone",
    ),
    "lead": (lambda p: netcdf(p / "a.nc", lambda da: da), ["--lead", "120"], "'lead'.*120 hours"),
    "lead in held out": (lambda p: netcdf(p / "a.nc", lambda da: da), ["--lead", "30"], "1 to 29"),
    "share": (lambda p: netcdf(p / "a.nc", lambda da: da), ["--holdout", "1"], "between 0 and 1"),
    "too large": (
        lambda p: netcdf(p / "a.nc", lambda da: da),
        ["--holdout", "0.99"],
        "'holdout'.*pair to train on",
    ),
    "no such hour": (
        lambda p: netcdf(p / "a.nc", lambda da: da),
        ["--anomaly", "hour", "--holdout", "0.9"],
        "'holdout'.*none for hour 12",
    ),
    "hours of a short record": (
        lambda p: netcdf(p / "a.nc", lambda da: da[:20]),
        ["--anomaly", "hour"],
        "'anomaly'.*20 hours.*'hour'; hour 18 occurs at its very end",
    ),
    "hours of months": (
        lambda p: netcdf(p / "a.nc", lambda da: dated(da[:30], "M")),
        ["--anomaly", "hour"],
        "'anomaly'.*step of 1 month",
    ),
    "hours of days": (
        lambda p: netcdf(p / "a.nc", lambda da: dated(da[:30], "D")),
        ["--anomaly", "hour"],
        "'anomaly'.*step of 1 day",
    ),
    "months of a short record": (
        lambda p: netcdf(p / "a.nc", lambda da: dated(da[:12], "M")),
        ["--anomaly", "month"],
        "'anomaly'.*12 months.*month 11 occurs",
    ),
    "month too late": (
        lambda p: netcdf(p / "a.nc", lambda da: dated(da[:30], "M")),
        ["--anomaly", "month", "--holdout", "0.7"],
        "'holdout'.*none for month 10",
    ),
    "no pair": (
        lambda p: netcdf(p / "a.nc", lambda da: da.where(da.time.dt.hour % 2 == 0)),
        [],
        "a known input and a known target in the part 'training'.*89 pairs",
    ),
    "one field to train on": (
        lambda p: netcdf(p / "a.nc", lambda da: da.where(da.time > da.time[88])),
        [],
        "a known input and a known target in the part 'training'",
    ),
    "no input": (lambda p: write(p / "a.npz", x=X, y=X + 1.0), [], "none among 6 pairs"),
    "no y in training": (
        lambda p: write(p / "a.npz", x=X + 1.0, y=np.where(np.arange(8) < 6, np.nan, X.T).T),
        [],
        "target in the part 'training'",
    ),
    "too large numbers": (
        lambda p: write(p / "a.npz", x=X + 1.0, y=np.arange(8.0)[:, None] * (X + 1e200)),
        [],
        "targets that vary.*got a variance of inf",
    ),
    "one y": (lambda p: write(p / "a.npz", x=X + 1.0, y=X), [], "targets that vary"),
    "anomaly": (
        lambda p: netcdf(p / "a.nc", lambda da: da),
        ["--anomaly", "weekly"],
        "'anomaly'",
    ),
    "missing": (lambda p: netcdf(p / "a.nc", lambda da: da * np.nan), [], "all values are miss"),
    "missing in training": (
        lambda p: netcdf(p / "a.nc", lambda da: da.where(da.time > da.time[95])),
        [],
        "missing values",
    ),
    "missing held out": (
        lambda p: netcdf(p / "a.nc", lambda da: da.where(da.time < da.time[85])),
        [],
        "held_out",
    ),
    "constant": (lambda p: netcdf(p / "a.nc", lambda da: da * 0.0), [], "vary"),
    "integer field": (lambda p: netcdf(p / "a.nc", lambda da: da.astype("i4")), [], INTEGERS),
    "variable": (
        lambda p: netcdf(p / "a.nc", lambda da: da),
        ["--variable", "t2m"],
        "'variable'.*one of 'wave', got 't2m'",
    ),
    "which variable": (
        lambda p: netcdf(p / "a.nc", lambda da: da.to_dataset().assign(other=da)),
        [],
        "'variable'.*wave, other",
    ),
}


def cut(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def folder_at(path: Path) -> Path:
    path.mkdir()
    return path


def ring_bytes(folder: Path, **options: Any) -> bytes:
    labelled(ring()).to_netcdf(folder / "whole.nc", **options)
    return (folder / "whole.nc").read_bytes()


def truncated(path: Path) -> str:
    np.savez(path, x=X, y=X)
    path.write_bytes(path.read_bytes()[:300])
    return str(path)


def test_classic_netcdf(tmp_path: Path) -> None:
    da = labelled(ring())
    da.to_netcdf(tmp_path / "a.nc", format="NETCDF3_64BIT")
    assert open_variable(tmp_path / "a.nc", None).equals(da)


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_are_one_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:

    make, options, words = BAD_DATA[case]
    (tmp_path / "in").mkdir()
    command = ["fit", make(tmp_path / "in"), *options, "--out", str(tmp_path / "out")]
    assert cli.main(command) == 2
    line = one_line(capsys.readouterr().err)
    assert re.search(re.sub(r"([()+])", r"\\\1", words), line), line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["MODEL", "DATA", "--out", "y.txt"], "--out"),
        (["MODEL", "DATA", "--out", "none/y.nc"], "folder"),
        (["MODEL", "x.npz", "--out", "y.nc"], ".npz"),
        (["none.safetensors", "DATA", "--out", "y.nc"], "'MODEL': expected a model file, got none"),
        (["PAIRS", "DATA", "--out", "y.nc"], "'DATA': expected a .npz file with an array x"),
        (["DATA", "DATA", "--out", "y.nc"], "no model file"),
        (["FOLDER", "DATA", "--out", "y.nc"], "report: a folder"),
        (["MODEL", "single.npz", "--out", "y.npz"], "an archive of arrays"),
        (["MODEL", "none.nc", "--out", "y.nc"], "there is none"),
        (["MODEL", "DATA", "--variable", "a", "--out", "y.nc"], "'variable'"),
        (["MODEL", "sst", "--out", "y.nc"], "'DATA': expected axes longitude (36)"),
        (["MODEL", "no-x.npz", "--out", "y.npz"], "'x' and 'time'"),
        (["MODEL", "no-time.npz", "--out", "y.npz"], "'x' and 'time', got 'x'"),
        (["MODEL", "shape.npz", "--out", "y.npz"], "(samples, 36), got (8, 6)"),
    ],
)
def test_bad_predictions(
    arguments: list[str],
    words: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("no-x.npz", a=X)
    np.savez("no-time.npz", x=np.zeros((8, 36)))
    np.savez("shape.npz", x=X, time=np.arange(8).astype("M8[h]"))
    with Path("single.npz").open("wb") as file:
        np.save(file, X)
    report = folder / "report"
    rx.Relaxation(rx.ADR(rx.Grid((36,))), depth=2).save("pairs.safetensors")
    names = {
        "PAIRS": tmp_path / "pairs.safetensors",
        "MODEL": report / "model.safetensors",
        "FOLDER": report,
        "DATA": folder / "ring.nc",
    }
    assert cli.main(["predict", *(str(names.get(word, word)) for word in arguments)]) == 2
    assert words in one_line(capsys.readouterr().err)
    assert not [path for path in tmp_path.iterdir() if path.stem == "y"]


@pytest.mark.parametrize("package", ["xarray", "netCDF4"])
def test_absent_packages_are_one_line(
    package: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert cli.main(["fit", str(folder / "ring.nc"), "--out", str(folder / "new")]) == 2
    line = one_line(capsys.readouterr().err)
    assert package in line
    assert "pip install 'relaxon[data]'" in line
