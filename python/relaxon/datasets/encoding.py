"""Fields as the bytes of files: archives of NumPy, and netCDF of labelled arrays."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .dates import pack_times
from .roles import time_dim

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["encode_array", "encode_npz"]


def encode_npz(arrays: dict[str, NDArray[Any]]) -> bytes:
    """An archive of arrays; dates of other calendars among "time" become texts beside them.

    Parameters
    ----------
    arrays : dict of str to ndarray
        By name.

    Returns
    -------
    bytes
        Of an ``.npz`` file.
    """
    if "time" in arrays:
        arrays = arrays | pack_times(arrays["time"])
    content = io.BytesIO()
    named: dict[str, Any] = dict(arrays)
    np.savez(content, **named)
    return content.getvalue()


def encode_array(da: DataArray, suffix: str) -> bytes:
    """A labelled array with an axis of time.

    Parameters
    ----------
    da : xarray.DataArray
        The array.
    suffix : {".npz", ".nc"}
        ``.npz`` holds its values as "y" and their times, netCDF all of it.

    Returns
    -------
    bytes
        Of the file.
    """
    if suffix == ".npz":
        return encode_npz({"y": da.values, "time": da[time_dim(da, "forecast")].values})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "forecast.nc"
        da.to_netcdf(path)
        return path.read_bytes()
