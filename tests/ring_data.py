"""A ring of longitudes that drifts, as the files of users hold it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

DRIFT = 0.4  # cells an hour


def ring(n: int = 120) -> np.ndarray:
    """Waves on a ring of 36 cells that drift eastward and decay; new ones keep coming."""
    random = np.random.default_rng(2)
    k = 2 * np.pi * np.fft.rfftfreq(36)
    step = np.exp(-1j * DRIFT * k - 0.2 * k**2 - 0.02)
    state = np.zeros(19, complex)
    fields = []
    for _ in range(n + 50):
        state = state * step + np.exp(-4 * k**2) * np.fft.rfft(random.standard_normal(36))
        fields.append(np.fft.irfft(state, 36))
    return np.array(fields[50:])


def labelled(values: np.ndarray, **attributes: str) -> Any:
    times = np.datetime64("2020-06-01", "ns") + np.arange(len(values)) * np.timedelta64(1, "h")
    east = {"units": "degrees_east"}
    coords = {"time": times, "longitude": ("longitude", np.arange(0.0, 360.0, 10.0), east)}
    import xarray

    return xarray.DataArray(
        values, coords, ("time", "longitude"), name="wave", attrs={"units": "hPa", **attributes}
    )


def write_ring(path: Path) -> None:
    """A file with two fields and a number."""
    import xarray

    da = labelled(1000.0 + ring())
    xarray.Dataset({"wave": da, "other": 2 * da, "constant": 5.0}).to_netcdf(path)


def write(path: Path, **arrays: Any) -> str:
    np.savez(path, **arrays)
    return str(path)
