"""Which variable of a file is the field: what the conventions name as helpers is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from printed import one_line
from relaxon import cli
from relaxon.datasets.candidates import candidates_of
from relaxon.datasets.variable import open_variable
from ring_data import labelled, ring

xarray = pytest.importorskip("xarray")
pytest.importorskip("netCDF4")

N = 40
EDGES = np.stack([np.arange(-5.0, 355.0, 10), np.arange(5.0, 365.0, 10)], axis=1)


def cmip() -> Any:
    """One field with what CMIP files put beside it."""
    da = labelled(ring(N), cell_measures="area: areacella", grid_mapping="crs")
    dataset = da.rename("tas").to_dataset()
    dataset["longitude"].attrs["bounds"] = "lon_bnds"
    dataset["time"].attrs["bounds"] = "time_bnds"
    dataset["time"].encoding["units"] = "hours since 2020-01-01"
    dataset["lon_bnds"] = (("longitude", "bnds"), EDGES)
    times = dataset["time"].values
    dataset["time_bnds"] = (("time", "bnds"), np.stack([times, times], axis=1))
    dataset["areacella"] = ("longitude", np.ones(36))
    dataset["crs"] = ((), 0, {"grid_mapping_name": "latitude_longitude"})
    dataset["height"] = ((), 2.0)
    return dataset


def with_one(name: str, dims: Any, values: Any, **attributes: Any) -> Any:
    dataset = cmip()
    dataset[name] = (dims, values, attributes)
    return dataset


def naming(attribute: str, text: str, name: str) -> Any:
    """A field whose attribute names another variable of its own shape."""
    dataset = with_one(name, ("time", "longitude"), ring(N))
    dataset["tas"].attrs[attribute] = text
    return dataset


FULL = ("time", "longitude")
FLAGS = np.zeros((N, 36), "i1")
HELPERS: dict[str, Any] = {
    "cmip": cmip,
    "ancillary": lambda: naming("ancillary_variables", "tas_qc other", "tas_qc"),
    "measure": lambda: naming("cell_measures", "area: cells volume: thick", "thick"),
    "formula": lambda: naming("formula_terms", "a: a ps: ps", "ps"),
    "node coordinates": lambda: naming("node_coordinates", "nodes_x nodes_y", "nodes_y"),
    "connectivity": lambda: naming("face_node_connectivity", "faces", "faces"),
    "climatology": lambda: naming("climatology", "climatology_bounds", "climatology_bounds"),
    "long mapping": lambda: naming("grid_mapping", "crs: x y other: lat", "lat"),
    "flags": lambda: with_one("quality", FULL, FLAGS, flag_meanings="bad good", flag_values=[0, 1]),
    "texts": lambda: with_one("name", FULL, np.full((N, 36), "abc")),
    "dates": lambda: with_one("when", FULL, np.full((N, 36), "2000-01-01", "M8[ns]")),
    "raw dates": lambda: with_one("when", FULL, np.ones((N, 36)), units="days since 1990-01-01"),
    "bounds that nobody names": lambda: with_one("longitude_bnds", ("longitude", "two"), EDGES),
    "positions": lambda: with_one(
        "LAT", ("longitude",), np.zeros(36), units="degrees_north", standard_name="latitude"
    ),
    "a map without time": lambda: with_one("orog", ("longitude",), np.ones(36), units="m"),
    "a number for each time": lambda: with_one("co2", ("time",), np.ones(N), units="1e-6"),
    "identifier": lambda: with_one("id", FULL, FLAGS, cf_role="timeseries_id"),
}


@pytest.mark.parametrize("case", HELPERS)
def test_helpers_are_no_candidates(case: str, tmp_path: Path) -> None:
    dataset = HELPERS[case]()
    assert candidates_of(dataset) == ("tas",)
    path = tmp_path / "a.nc"
    dataset.to_netcdf(path)
    da = open_variable(path)
    assert da.name == "tas"
    pairs = rx.datasets.from_xarray(da)
    assert pairs.x.shape == (N - 1, 36)
    np.testing.assert_array_equal(pairs.x, rx.datasets.from_xarray(cmip()["tas"]).x)


def test_two_fields_are_listed_and_no_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.nc"
    with_one("pr", FULL, ring(N)).to_netcdf(path)
    assert cli.main(["fit", str(path), "--out", str(tmp_path / "out")]) == 2
    assert one_line(capsys.readouterr().err).endswith("; it holds tas, pr")
    assert open_variable(path, "pr").name == "pr"
    # Whoever names a helper gets it.
    assert open_variable(path, "areacella").name == "areacella"
    with pytest.raises(ValueError, match=r"one of 'tas', 'pr', got 'ts'"):
        open_variable(path, "ts")


def test_a_file_of_helpers_alone_says_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    cmip().drop_vars("tas").to_netcdf(path)
    # The area is named by nobody then, and one field over an axis.
    assert open_variable(path).name == "areacella"
    cmip().drop_vars(["tas", "areacella"]).to_netcdf(path)
    with pytest.raises(ValueError, match=r"is a field over axes; it holds .*crs"):
        open_variable(path)


def test_a_dataset_lists_its_fields() -> None:
    with pytest.raises(TypeError, match=r"got Dataset; choose a variable of it: tas$"):
        rx.datasets.from_xarray(cmip())


def test_a_file_with_helpers_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fitted as it is, and the forecast has no coordinate that the field did not have."""
    path, out, later = tmp_path / "a.nc", tmp_path / "out", tmp_path / "later.nc"
    cmip().to_netcdf(path)
    assert cli.main(["fit", str(path), "--steps", "3", "--depth", "2", "--out", str(out)]) == 0
    model = str(out / "model.safetensors")
    assert cli.main(["predict", model, str(path), "--out", str(later)]) == 0
    assert capsys.readouterr().err == ""
    with xarray.open_dataset(later) as forecast, xarray.open_dataset(path) as given:
        assert set(forecast["tas"].coords) == set(given["tas"].coords)
        assert forecast["tas"].dims == given["tas"].dims


def test_positions_beside_a_field_become_its_coordinates(tmp_path: Path) -> None:
    """As in files whose variable does not name them."""
    path = tmp_path / "a.nc"
    dataset = cmip().drop_vars("longitude").rename_dims(longitude="nlon")
    dataset["tas"] = dataset["tas"].assign_attrs(note="kept")
    dataset["lon"] = ("nlon", np.arange(0.0, 360.0, 10.0), {"units": "degrees_east"})
    dataset.reset_coords("lon", drop=False).to_netcdf(path)
    pairs = rx.datasets.from_xarray(open_variable(path))
    assert pairs.grid.names == ("nlon",)
    assert pairs.grid.unit == ("m",)
    assert pairs.grid.boundary == (("periodic", "periodic"),)


def test_forecasts_name_no_variable_that_they_lack() -> None:
    """Bounds, flags and areas stay behind, and so do the attributes that name them."""
    da = cmip()["tas"].assign_attrs(ancillary_variables="area_flag", note="kept")
    pairs = rx.datasets.from_xarray(da)
    model = rx.Relaxation(rx.ADR(pairs.grid), depth=2).with_scaling(pairs.scaling)
    given = {name: dict(c.attrs) for name, c in da.coords.items()}
    assert "bounds" in given["time"]
    later = model.predict_xarray(da)
    assert later.attrs == {"units": "hPa", "note": "kept"}
    assert not any("bounds" in c.attrs for c in later.coords.values())
    assert {name: c.attrs for name, c in da.coords.items()} == given
    # What comes along may be named.
    there = model.predict_xarray(da.assign_coords(crs=0, areacella=("longitude", np.ones(36))))
    assert there.attrs == {"grid_mapping": "crs", "cell_measures": "area: areacella", **later.attrs}
