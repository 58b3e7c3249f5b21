"""What the axes of a labelled array are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from .._validate import refuse

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["axes_text", "has_dates", "scalar_latitude", "time_dim"]

_TIMES = ("time", "t")


def time_dim(da: DataArray, name: str) -> str:
    """The axis of time, or the coordinate of a single time: by its type, attributes or name."""

    def times_among(names: list[str]) -> list[str]:
        return [name for name in names if has_dates(da[name].values)] or [
            name
            for name in names
            if da[name].attrs.get("standard_name") == "time"
            or da[name].attrs.get("axis") == "T"
            or name.lower() in _TIMES
        ]

    found = times_among([str(dim) for dim in da.dims])
    if not found:
        single = times_among([str(c) for c in da.coords if da[c].ndim == 0])
        found = [name for name in single if name.lower() in _TIMES] or single
    if len(found) != 1:
        refuse(
            name,
            "one time axis",
            f"{len(found)} among {axes_text(da)}",
            fix="times are dates, or an axis named 'time'" if not found else "",
        )
    return found[0]


def has_dates(values: NDArray[Any]) -> bool:
    """Whether values are dates, of NumPy or of another calendar."""
    if values.dtype.kind == "O" and values.size:
        return hasattr(values.ravel()[0], "hour")
    return values.dtype.kind == "M"


def axes_text(da: DataArray) -> str:
    """Names and lengths of all axes."""
    return f"the axes {', '.join(f'{dim} ({da.sizes[dim]})' for dim in da.dims) or 'none'}"


def scalar_latitude(da: DataArray) -> float | None:
    """The latitude of an array that has one alone."""
    for name in ("latitude", "lat"):
        if name in da.coords and da.coords[name].size == 1 and name not in da.dims:
            return float(da.coords[name])
    return None
