"""The shipped data: what it holds, and that it is what its source holds."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import relaxon as rx

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT.parent / "shared" / "data" / "ostia_sst_monthly.nc"


@pytest.fixture(scope="module")
def data() -> rx.datasets.SeaSurfaceTemperature:
    return rx.datasets.sst()


def test_fields_and_land(data: rx.datasets.SeaSurfaceTemperature) -> None:
    assert data.temperature.shape == (54, 18, 432)
    assert data.temperature.dtype == np.float64
    assert int(data.mask.sum()) == 5721
    assert np.isnan(data.temperature[:, ~data.mask]).all()
    sea = data.temperature[:, data.mask]
    # From the cold tongue off Peru to the warm pool, in kelvin.
    assert 289.0 < sea.min() < sea.max() < 306.0
    assert data.unit == "K"


def test_land_and_sea_are_where_they_are(data: rx.datasets.SeaSurfaceTemperature) -> None:
    def is_sea(latitude: float, longitude: float) -> bool:
        row = np.abs(data.latitude - latitude).argmin()
        column = np.abs(data.longitude - longitude).argmin()
        return bool(data.mask[row, column])

    assert is_sea(0.0, 200.0)  # the Pacific
    assert is_sea(0.0, 340.0)  # the Atlantic
    assert not is_sea(0.0, 20.0)  # Africa
    assert not is_sea(-4.0, 300.0)  # South America


def test_coordinates(data: rx.datasets.SeaSurfaceTemperature) -> None:
    months = data.time.astype("datetime64[M]")
    assert months[0] == np.datetime64("2006-04")
    assert (np.diff(months) == np.timedelta64(1, "M")).all()
    assert (np.diff(data.latitude) > 0).all()
    assert data.longitude[0] == 0.0
    assert data.longitude[-1] < 360.0


def test_spacing_is_in_metres_on_the_sphere(data: rx.datasets.SeaSurfaceTemperature) -> None:
    degree = 2 * np.pi * 6.371e6 / 360
    assert data.spacing == pytest.approx((degree * 10 / 18, degree * 360 / 432), rel=1e-4)
    assert data.spacing_unit == "m"


def test_licence_is_given(data: rx.datasets.SeaSurfaceTemperature) -> None:
    assert "Open Government Licence v3.0" in data.licence
    assert "OSTIA" in data.licence


def test_arrays_are_read_only(data: rx.datasets.SeaSurfaceTemperature) -> None:
    with pytest.raises(ValueError, match="read-only"):
        data.temperature[0, 0, 0] = 0.0


@pytest.mark.skipif(not SOURCE.exists(), reason="the netCDF source is not beside this checkout")
def test_same_as_the_source(data: rx.datasets.SeaSurfaceTemperature, tmp_path: Path) -> None:
    import xarray

    with xarray.open_dataset(SOURCE) as source:
        expected = source["sst"].values.astype(np.float64)
        hours = source["time"].values.astype("datetime64[h]")
    assert (np.isnan(expected) == np.isnan(data.temperature)).all()
    assert np.nanmax(np.abs(data.temperature - expected)) <= 0.000501
    assert (data.time == hours).all()

    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import pack_sst
    finally:
        sys.path.pop(0)
    pack_sst.pack(SOURCE, tmp_path / "packed.npz")
    shipped = ROOT / "python" / "relaxon" / "data" / "ostia_sst_monthly.npz"
    with np.load(tmp_path / "packed.npz") as fresh, np.load(shipped) as kept:
        assert fresh.files == kept.files
        assert all(np.array_equal(fresh[name], kept[name]) for name in kept.files)
