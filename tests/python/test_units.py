"""Which texts name the same unit, and what is said of those that do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relaxon as rx
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
