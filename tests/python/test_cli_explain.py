"""relaxon explain: table on stdout, files in a folder, one line where something is wrong."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest

import relaxon as rx
from relaxon.cli import main

pytest.importorskip("typer")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    grid = rx.Grid((6, 8), spacing=500.0, unit="m", names=("y", "x"))
    model = rx.Relaxation(rx.ADR(grid, space="local"), depth=3, dt=60.0, time_unit="s")
    model.save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_table_is_that_of_the_library(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(path)]) == 0
    assert capsys.readouterr().out == f"{rx.explain(rx.load(path))}\n"


@pytest.mark.parametrize("space", ["homogeneous", "local"])
def test_units_are_those_that_fit_prints(
    space: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("netCDF4")
    times = np.datetime64("2020-06-01", "ns") + np.arange(40) * np.timedelta64(1, "h")
    values = np.random.default_rng(0).standard_normal((40, 12))
    coords = {"time": times, "x": ("x", 500.0 * np.arange(12), {"units": "m"})}
    xarray.DataArray(values, coords, ("time", "x"), name="v").to_netcdf(tmp_path / "v.nc")
    out = tmp_path / "out"
    command = ["fit", str(tmp_path / "v.nc"), "--space", space, "--steps", "5", "--out", str(out)]
    assert main(command) == 0
    fitted = capsys.readouterr().out
    (rate,) = re.findall(r"(?:damping|growth) +(\S+) per hour", fitted)
    assert main(["explain", str(out / "model.safetensors"), "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    (words,) = [line.split() for line in shown.splitlines() if line.startswith("reaction")]
    assert words[1] == "1/hour"
    assert abs(float(words[2])) == pytest.approx(float(rate), abs=6e-3)
    with (out / "explanation.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert row["unit"] == "1/hour"
    assert float(row["median"]) == pytest.approx(float(words[2]), rel=1e-3)
    # Ranges are of cells that differ; standard errors of numbers for all cells.
    assert ("5-95 %" in shown.splitlines()[0]) == (space == "local")
    assert ("standard errors need the data" in shown) == (space == "homogeneous")


def test_folder_gets_table_and_maps(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = path.parent / "deep" / "physics"
    assert main(["explain", str(path), "--out", str(out)]) == 0
    assert {p.name for p in out.iterdir()} == {"explanation.csv", "explanation.png"}
    assert (out / "explanation.png").read_bytes().startswith(b"\x89PNG")
    with (out / "explanation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = rx.explain(rx.load(path)).table()
    assert [float(row["median"]) for row in rows] == [row.median for row in expected]
    assert "written to" in capsys.readouterr().out


def test_without_linearisation_there_is_no_figure(path: Path) -> None:
    model = rx.Relaxation(rx.ADR(rx.Grid((8,))), depth=2, activation="relu")
    model.save(path)
    assert main(["explain", str(path), "--out", str(path.parent / "out")]) == 0
    assert {p.name for p in (path.parent / "out").iterdir()} == {"explanation.csv"}


@pytest.mark.parametrize("content", [None, b"", b"not a model" * 20])
def test_bad_files_give_one_line(
    path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert main(["explain", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"relaxon: argument 'MODEL': expected a model file, got {path}: ")
    assert line.count(str(path)) == 1


def test_a_folder_that_cannot_be_made(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(path), "--out", str(path / "below a file")]) == 2
    assert "argument '--out'" in capsys.readouterr().err


def test_layers_over_the_bounds_come_with_their_cures(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = rx.Relaxation(rx.ADR(rx.Grid((8,))), depth=2, activation="identity")
    model.with_params({"D": np.array([2.0])}).save(path)
    assert main(["explain", str(path)]) == 0
    assert "usual cures" in capsys.readouterr().out
