"""Which texts name the same unit, and what is said of those that do not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
from printed import one_line
from relaxon import cli
from relaxon.datasets.collection import open_files
from relaxon.datasets.units import is_same_unit

xarray = pytest.importorskip("xarray")

SAME = [
    ("degC", "celsius"),
    ("degC", "Celsius"),
    ("°C", "deg_C"),
    ("degrees C", "degree_Celsius"),
    ("deg C", "CELSIUS"),
    ("K", "kelvin"),
    ("degK", "Kelvin"),
    ("m s-1", "m/s"),
    ("m s**-1", "m s^-1"),
    ("m.s-1", "m·s⁻¹"),
    ("meters per second", "m s-1"),
    ("%", "percent"),
    ("per cent", "%"),
    ("W m-2", "W/m2"),
    ("kg m-2 s-1", "kg/m2/s"),
    ("mm/day", "mm d-1"),
    ("hPa", "millibar"),
    ("1/s", "s-1"),
    ("1", "dimensionless"),
    ("degrees_north", "degree_N"),
    ("PSU", "psu"),
    ("days", "day"),
    ("0.1 m", " 0.1 m "),
    ("furlong", "furlong"),
]
DIFFERENT = [
    ("K", "degC"),
    ("K", "k"),
    ("m", "M"),
    ("m", "km"),
    ("m/s", "km/h"),
    ("m/s", "m s"),
    ("m s-1", "m s-2"),
    ("1", "%"),
    ("1e-3", "1"),
    ("0.1 m", "0.2 m"),
    ("hPa", "Pa"),
    ("degC", "C"),
    ("mm/day", "kg m-2 s-1"),
    ("degrees_north", "degrees_east"),
    ("J/(kg K)", "J/kg K"),
    ("furlong", "Furlong"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_same(one: str, other: str) -> None:
    assert is_same_unit(one, other)
    assert is_same_unit(other, one)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different(one: str, other: str) -> None:
    assert not is_same_unit(one, other)
    assert not is_same_unit(other, one)


def field(unit: str, north: str = "degrees_north") -> Any:
    times = np.datetime64("2001-01-01", "ns") + np.arange(9) * np.timedelta64(1, "D")
    return xarray.DataArray(
        np.random.default_rng(0).standard_normal((9, 6)),
        {"time": times, "lat": ("lat", np.arange(6.0), {"units": north})},
        ("time", "lat"),
        name="t",
        attrs={"units": unit},
    )


def test_new_data_in_the_same_unit() -> None:
    pairs = rx.datasets.from_xarray(field("degC"))
    model = rx.Relaxation(rx.ADR(pairs.grid), depth=2).with_scaling(pairs.scaling)
    again = rx.datasets.from_xarray(field("celsius", "degree_north"), scaling=pairs.scaling)
    assert np.array_equal(again.x, pairs.x)
    ahead = model.predict_xarray(field("Celsius", "degrees_N"))
    assert ahead.attrs["units"] == "Celsius"
    assert np.array_equal(ahead.values, model.predict_xarray(field("degC")).values)
    words = (
        r"values in 'degC', the unit of the scaling, got 'K'; where both are names of one unit, "
        r"set da.attrs\['units'\] = 'degC' alone; else convert the values first"
    )
    with pytest.raises(ValueError, match=words):
        model.predict_xarray(field("K"))


def test_files_of_one_series_may_spell_a_unit_differently(tmp_path: Path) -> None:
    pytest.importorskip("netCDF4")
    da = field("degC")
    for name, part, unit in (("a", da[:4], "degC"), ("b", da[4:], "celsius"), ("c", da[4:], "K")):
        part.assign_attrs(units=unit).to_netcdf(tmp_path / f"{name}.nc")
    joined = open_files([str(tmp_path / f"{name}.nc") for name in "ab"])
    assert np.array_equal(joined.values, da.values)
    with pytest.raises(ValueError, match=r"'DATA': expected the unit of .*a.nc, 'degC', .*got 'K'"):
        open_files([str(tmp_path / f"{name}.nc") for name in "ac"])


def test_new_data_in_the_same_unit_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("netCDF4")
    for name, unit in (("a", "degC"), ("b", "celsius"), ("c", "K")):
        field(unit).to_netcdf(tmp_path / f"{name}.nc")
    fit = ["fit", str(tmp_path / "a.nc"), "--steps", "2", "--depth", "2"]
    assert cli.main([*fit, "--out", str(tmp_path / "out")]) == 0
    predict = ["predict", str(tmp_path / "out" / "model.safetensors")]
    out = ["--out", str(tmp_path / "f.nc")]
    assert cli.main([*predict, str(tmp_path / "b.nc"), *out]) == 0
    with xarray.open_dataset(tmp_path / "f.nc") as written:
        assert written["t"].attrs["units"] == "celsius"
    capsys.readouterr()
    assert cli.main([*predict, str(tmp_path / "c.nc"), *out]) == 2
    message = one_line(capsys.readouterr().err)
    assert "expected values in 'degC', the unit of the scaling, got 'K'" in message


@pytest.mark.parametrize("dtype", ["f2", "i4", "c16"])
def test_types_that_are_offered_are_taken(dtype: str) -> None:
    bits = " of 32 or 64 bits" if dtype == "f2" else ""
    words = f"'t': expected floating-point numbers{bits}, got {np.dtype(dtype)}"
    with pytest.raises(TypeError, match=words) as caught:
        rx.datasets.from_xarray(field("K").astype(dtype))
    for offered in re.findall(r"astype\('(\w+)'\)", str(caught.value)):
        assert len(rx.datasets.from_xarray(field("K").astype(offered))) == 8
    assert "bfloat16" not in str(caught.value)


@pytest.mark.parametrize("dtype", [">f4", ">f8"])
def test_numbers_of_either_end_are_taken(dtype: str) -> None:
    """Classic netCDF files hold them the other way round than most processors."""
    da = field("K").astype(dtype)
    pairs = rx.datasets.from_xarray(da)
    assert np.array_equal(pairs.x, rx.datasets.from_xarray(da.astype(f"=f{dtype[-1]}")).x)
