"""Axes of real files whose positions are not their own: index axes, rotated poles."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from relaxon import cli
from relaxon.datasets.scaling import Scaling
from relaxon.datasets.series import Series
from relaxon.forecasting.experiment import Experiment
from relaxon.forecasting.options import Options
from relaxon.report.figures import prediction_figure

xarray = pytest.importorskip("xarray")
pytest.importorskip("netCDF4")

SHAPE = (5, 6)
ROWS, COLUMNS = np.meshgrid(np.arange(5.0), np.arange(6.0), indexing="ij")
POSITIONS: dict[str, Any] = {
    "latitude": (("j", "i"), 40.0 + ROWS + 0.1 * COLUMNS, {"units": "degrees_north"}),
    "longitude": (("j", "i"), COLUMNS - 0.2 * ROWS, {"units": "degrees_east"}),
}


def field(dims: tuple[str, str], coords: dict[str, Any]) -> Any:
    values = np.random.default_rng(0).standard_normal((40, *SHAPE))
    days = np.arange(40).astype("M8[D]").astype("M8[ns]")
    coords = {"time": days, **coords}
    return xarray.DataArray(values, coords, ("time", *dims), name="tos", attrs={"units": "K"})


def index_field(unit: str = "1") -> Any:
    numbers = {
        name: (name, np.arange(1, n + 1), {"units": unit, "long_name": "cell index"})
        for name, n in zip("ji", SHAPE, strict=True)
    }
    return field(("j", "i"), {**numbers, **POSITIONS})


def rotated_field() -> Any:
    axes = {
        "rlat": ("rlat", np.arange(-2.0, 3.0), {"units": "degrees", "axis": "Y"}),
        "rlon": ("rlon", np.arange(-3.0, 3.0), {"units": "degrees", "axis": "X"}),
    }
    for name, word in (("rlat", "grid_latitude"), ("rlon", "grid_longitude")):
        axes[name][2]["standard_name"] = word
    places = {name: (("rlat", "rlon"), *rest[1:]) for name, rest in POSITIONS.items()}
    return field(("rlat", "rlon"), {**axes, **places})


@pytest.mark.parametrize("unit", ["1", "", "index"])
def test_index_axes_beside_positions_say_so_once(unit: str) -> None:
    with pytest.warns(UserWarning, match=r"'j', 'i' keep lattice units.*latitude, longitude") as w:
        pairs = rx.datasets.from_xarray(index_field(unit))
    assert len(w) == 1
    assert pairs.grid.unit == ("", "")
    assert pairs.notes[:2] == ("j: 5 cells of 1", "i: 6 cells of 1")


def test_index_axes_without_coordinates_say_so_too() -> None:
    with pytest.warns(UserWarning, match="'j', 'i' keep lattice units"):
        rx.datasets.from_xarray(field(("j", "i"), POSITIONS))


def test_index_axes_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "a.nc", tmp_path / "out"
    index_field().to_netcdf(path)
    command = ["fit", str(path), "--steps", "3", "--depth", "2", "--out", str(out)]
    assert cli.main(command) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith("relaxon: warning: axes 'j', 'i' keep lattice units")
    assert len(printed.err.splitlines()) == 1
    assert "j: 5 cells of 1\n" in printed.out
    assert "1^2" not in printed.out
    page = (out / "report.html").read_text()
    assert "1^2" not in page
    assert "1\N{SUPERSCRIPT TWO}" not in page
    physics = json.loads((out / "summary.json").read_text())["physics"]
    assert physics["velocity"]["unit"] == physics["diffusivity"]["unit"] == "1/s"
    later = tmp_path / "later.nc"
    assert (
        cli.main(["predict", str(out / "model.safetensors"), str(path), "--out", str(later)]) == 0
    )
    with xarray.open_dataset(later) as forecast:
        assert forecast["tos"].dims == ("time", "j", "i")
        assert {"latitude", "longitude"} <= set(forecast["tos"].coords)


def test_positions_along_an_axis_of_another_name_are_its_own() -> None:
    """As in files whose dimension is `y` and whose variable is `lat`."""
    da = field(
        ("y", "x"),
        {
            "lat": ("y", np.arange(44.0, 39.0, -1.0), {"units": "degrees"}),
            "lon": ("x", np.arange(6.0), {"units": "degrees_east"}),
        },
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pairs = rx.datasets.from_xarray(da)
        plain = rx.datasets.from_xarray(
            da.swap_dims(y="lat", x="lon")
            .rename(lat="y", lon="x")
            .assign_coords(y=("y", da.lat.values, {"units": "degrees_north"}))
        )
    assert pairs.grid == plain.grid
    np.testing.assert_array_equal(pairs.x, plain.x)
    assert [axis.is_geographic for axis in pairs.coordinates.axes] == [True, True]
    model = rx.Relaxation(rx.ADR(pairs.grid), depth=2).with_scaling(pairs.scaling)
    later = model.predict_xarray(da)
    assert later.dims == da.dims
    xarray.testing.assert_equal(later["lat"], da["lat"])


def test_positions_in_planes_do_not_matter_where_the_spacing_is_known() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rx.datasets.from_xarray(rotated_field()).grid.unit == ("m", "m")
        metres = {
            name: (name, 5000.0 * np.arange(n), {"units": "m"})
            for name, n in zip("yx", SHAPE, strict=True)
        }
        places = {name: (("y", "x"), *rest[1:]) for name, rest in POSITIONS.items()}
        assert rx.datasets.from_xarray(field(("y", "x"), metres | places)).grid.unit == ("m", "m")


def test_rotated_poles_have_a_north_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "a.nc", tmp_path / "out"
    rotated_field().to_netcdf(path)
    assert cli.main(["fit", str(path), "--steps", "3", "--depth", "2", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "drift along rlat, grid north" in printed.out
    assert "drift along rlon, grid east" in printed.out
    for word in ("northward", "southward", "eastward", "westward"):
        assert word not in printed.out
    model = rx.load(out / "model.safetensors")
    assert model.scaling is not None
    assert [axis.is_geographic for axis in model.scaling.coordinates.axes] == [False, False]


def test_axes_saved_without_the_word_are_not_rotated() -> None:
    """As in files of models from before there was one."""
    scaling = rx.datasets.from_xarray(rotated_field()).scaling
    plain, arrays = scaling.to_parts()
    assert Scaling.from_parts(plain, arrays) == scaling
    for axis in plain["axes"]:
        assert axis.pop("is_rotated") is True
    axes = Scaling.from_parts(plain, arrays).coordinates.axes
    assert [axis.is_rotated for axis in axes] == [False, False]


def test_ticks_of_rotated_axes_have_no_direction() -> None:
    experiment = Experiment(Options(steps=2, depth=2), Series.read(rotated_field()))
    figure = prediction_figure(experiment, experiment.run())
    axes = figure.axes[0]
    for axis, expected in ((axes.xaxis, "340"), (axes.yaxis, "0")):
        text = axis.get_major_formatter()
        assert text(-2.0, 0) == "\N{MINUS SIGN}2°"
        assert text(float(expected), 0) == {"340": "\N{MINUS SIGN}20°", "0": "0°"}[expected]
