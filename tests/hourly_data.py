"""Labelled arrays of hours with a daily cycle, and models of their pairs."""

from __future__ import annotations

from typing import Any

import numpy as np

import relaxon as rx

HOUR = np.timedelta64(1, "h")
SPACE: dict[str, tuple[np.ndarray, dict[str, str]]] = {
    "level": (np.array([1000.0, 900.0, 800.0, 700.0]), {"units": "hPa"}),
    "latitude": (np.arange(58.0, 54.0, -0.5), {"units": "degrees_north", "long_name": "north"}),
    "longitude": (np.arange(0.0, 360.0, 30.0), {"units": "degrees_east"}),
}


def hourly(n: int = 96, dims: tuple[str, ...] = ("latitude", "longitude")) -> Any:
    """Random numbers with a daily cycle and a mean that differs from cell to cell."""
    import xarray

    random = np.random.default_rng(5)
    shape = tuple(len(SPACE[dim][0]) for dim in dims)
    times = np.datetime64("2019-03-01", "ns") + np.arange(n) * HOUR
    cycle = np.sin(2 * np.pi * np.arange(n) / 24).reshape(n, *(1,) * len(dims))
    values = 280.0 + 5 * random.standard_normal(shape) + cycle + random.standard_normal((n, *shape))
    coords = {"time": ("time", times, {"long_name": "valid time"})}
    coords |= {dim: (dim, *SPACE[dim]) for dim in dims}
    return xarray.DataArray(
        values, coords, ("time", *dims), name="t2m", attrs={"units": "K", "note": "kept"}
    )


def model_of(pairs: rx.datasets.Pairs, **options: Any) -> rx.Relaxation:
    operator = rx.ADR(pairs.grid, space="local")
    return rx.Relaxation(operator, depth=3, **options).with_scaling(pairs.scaling)
