"""What the axes of a labelled array are: time, space, members of an ensemble, or none of these.

Where an axis goes is told by its type, standard name and name. An axis of numbers that no rule
knows is space.
"""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..base.validate import refuse
from .attributes import kind_of, unit_of
from .decoding import is_since

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = [
    "Members",
    "Roles",
    "axes_text",
    "check_roles",
    "entry_as_text",
    "entry_text",
    "has_dates",
    "has_time",
    "positions_of",
    "positions_over",
    "read_members",
    "read_roles",
    "scalar_latitude",
    "time_dim",
]

_TIMES = ("time", "t")
_MEMBER_TEXT = re.compile(r"\bensemble\b|\breali[sz]ation", re.IGNORECASE)
_MEMBER = re.compile(
    r"(ens(emble)?|mem(ber)?|reali[sz]ation|run|simulation|replicate|variant)s?"
    r"([ _-]?(mem(ber)?|num(ber)?|id|index|label))?s?|number",
    re.IGNORECASE,
)
_LABELS = re.compile(
    r"quantiles?|percentiles?|prob(ability|abilities)?|threshold|tercile|categor(y|ies)|expver"
    r"|models?|experiments?|scenarios?|source(_id)?|institution(_id)?|ssp|rcp"
    r"|year|season|month|week|day|dayofyear|doy|hour|step|lead|lead_?time|forecast_(period|hour)"
    r"|bands?|channels?|wave_?lengths?|wave_?numbers?|freq(uency|uencies)?"
    r"|variables?|var|param(eter)?s?|components?|modes?|eofs?|pc|pft|species|class(es)?|type"
    r"|(ens(emble)?_)?stat(istic)?s?|regions?|basins?|stations?|sites?|profiles?|trajector(y|ies)|obs",
    re.IGNORECASE,
)
_LABEL_STANDARD_NAMES = {
    "quantile",
    "forecast_period",
    "forecast_reference_time",
    "region",
    "area_type",
    "radiation_wavelength",
    "radiation_frequency",
    "sea_surface_wave_frequency",
    "platform_id",
    "platform_name",
    "station_id",
}
_DURATION = re.compile(
    r"(nano|micro|milli)?sec(ond)?s?|s|min(ute)?s?|h|hrs?|hours?|d|days?|weeks?|months?|y(ea)?rs?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Members:
    """Axes whose entries are runs of one system, side by side.

    Attributes
    ----------
    names : tuple of str
        Of the axes.
    shape : tuple of int
        Their lengths.
    labels : tuple of str
        What each member is called, the last axis fastest.
    """

    names: tuple[str, ...]
    shape: tuple[int, ...]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return math.prod(self.shape)

    def __str__(self) -> str:
        return f"{len(self)} members along {', '.join(self.names)}"


@dataclass(frozen=True)
class Roles:
    """Names of axes by what they are.

    Attributes
    ----------
    time : str
        The axis of time, or the coordinate of a single time.
    space : tuple of str
        Axes of space, in the order of the array.
    members : tuple of str
        Axes of an ensemble's members.
    others : mapping of str to str
        Axes that are none of these, with the reason.
    """

    time: str
    space: tuple[str, ...]
    members: tuple[str, ...]
    others: dict[str, str]


def read_roles(da: DataArray, name: str, order: tuple[str, ...] = ()) -> Roles:
    """What the axes of an array are; those of a single entry are left out.

    Parameters
    ----------
    da : xarray.DataArray
        The array.
    name : str
        What it is called in messages.
    order : tuple of str, optional
        Names that are known to be space.

    Returns
    -------
    Roles
        All axes with more than one entry.

    Raises
    ------
    ValueError
        If there is no axis of time, or more than one.
    """
    time = time_dim(da, name)
    roles: dict[str, list[str]] = {"space": [], "members": []}
    others = {}
    for dim in map(str, da.dims):
        if dim == time or da.sizes[dim] == 1:
            continue
        if dim in order:
            roles["space"].append(dim)
        elif _is_member(da, dim):
            roles["members"].append(dim)
        elif reason := _why_no_space(da, dim):
            others[dim] = reason
        else:
            roles["space"].append(dim)
    return Roles(time, tuple(roles["space"]), tuple(roles["members"]), others)


def check_roles(da: DataArray, name: str, roles: Roles) -> None:
    """Refuse axes that are neither time nor space nor members, and too many or few of space."""
    for dim, reason in roles.others.items():
        entry = entry_text(da, dim)
        choice = f"{dim}={entry_as_text(_middle(da, dim))}"
        refuse(
            name,
            "axes of time, of space and of an ensemble's members",
            f"'{dim}' ({da.sizes[dim]}), {reason}",
            fix=f"choose an entry with da.sel({dim}={entry}), on the command line with --select "
            f"{shlex.quote(choice)}; an axis of space or of members under a name of that kind: "
            f"da.rename",
        )
    dims = roles.space
    if not 1 <= len(dims) <= 3:
        refuse(
            name,
            "one to three axes beside time with more than one entry",
            f"{len(dims)}: {', '.join(f'{d} ({da.sizes[d]})' for d in dims) or 'none'}",
            fix="choose entries with da.isel, on the command line with --select" if dims else "",
        )


def read_members(da: DataArray, names: tuple[str, ...]) -> Members | None:
    """The members of an ensemble; None where there is no such axis."""
    if not names:
        return None
    shape = tuple(da.sizes[name] for name in names)
    texts = [[f"{name} {_plain(entry)}" for entry in da[name].values] for name in names]
    return Members(names, shape, tuple(", ".join(parts) for parts in product(*texts)))


def _is_member(da: DataArray, dim: str) -> bool:
    """By name, standard name, letter or description of the axis or of a coordinate along it."""
    if _MEMBER.fullmatch(dim):
        return True
    if _LABELS.fullmatch(dim):
        return False
    return any(
        c.attrs.get("standard_name") == "realization"
        or c.attrs.get("axis") == "E"
        or _MEMBER_TEXT.search(str(c.attrs.get("long_name", "")))
        or _MEMBER.fullmatch(str(c.name))
        for c in _coordinates_along(da, dim)
    )


def _why_no_space(da: DataArray, dim: str) -> str:
    """Why an axis is no space; empty where it may be."""
    along = _coordinates_along(da, dim)
    for coordinate in along[:1]:
        attributes, kind = coordinate.attrs, coordinate.dtype.kind
        if kind == "m" or _DURATION.fullmatch(unit_of(attributes)):
            return "an axis of durations"
        if kind in "OSUTb":
            return f"whose entries are {'True and False' if kind == 'b' else 'texts'}"
        if "flag_values" in attributes or "flag_meanings" in attributes:
            return "whose entries stand for something (attribute flag_meanings)"
        if "cf_role" in attributes:
            return f"which counts something (attribute cf_role={attributes['cf_role']!r})"
        if attributes.get("standard_name") in _LABEL_STANDARD_NAMES:
            return f"by its standard name a {attributes['standard_name']}"
    if _LABELS.fullmatch(dim):
        return "by its name none of these"
    kinds = {kind_of(str(c.name), c.attrs)[0] for c in along if c.name != dim}
    if {"latitude", "longitude"} <= kinds:
        return "points one after the other, each with a latitude and a longitude: no grid"
    return ""


def _coordinates_along(da: DataArray, dim: str) -> list[DataArray]:
    """Coordinates along one axis alone, its own first."""
    return sorted((c for c in da.coords.values() if c.dims == (dim,)), key=lambda c: c.name != dim)


def positions_of(da: DataArray, dim: str) -> tuple[NDArray[Any], dict[str, Any]]:
    """Values and attributes of an axis.

    Of an axis without a coordinate of its own those of the latitude or longitude along it, if there
    is one, else numbers from 0 on.
    """
    if dim not in da.coords:
        for coordinate in _coordinates_along(da, dim):
            kind, is_rotated = kind_of(str(coordinate.name), coordinate.attrs)
            if kind:
                standard_name = f"grid_{kind}" if is_rotated else kind
                return coordinate.values, coordinate.attrs | {"standard_name": standard_name}
    return da[dim].values, da[dim].attrs


def positions_over(da: DataArray, dims: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the coordinates that give each cell its latitude or longitude."""
    return tuple(
        str(name)
        for name, coordinate in da.coords.items()
        if len(set(coordinate.dims) & set(dims)) > 1 and kind_of(str(name), coordinate.attrs)[0]
    )


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
            fix="times are dates, or an axis named 'time'"
            if not found
            else f"choose an entry of {' or of '.join(found)} with da.sel, on the command line "
            f"with --select",
        )
    return found[0]


def has_time(da: DataArray) -> bool:
    """Whether an array has one axis of time, decoded or not."""
    for dim in da.dims:
        if is_since(unit_of(da[dim].attrs)):
            return True
    try:
        return time_dim(da, "") in da.dims
    except ValueError:
        return False


def has_dates(values: NDArray[Any]) -> bool:
    """Whether values are dates, of NumPy or of another calendar."""
    if values.dtype.kind == "O" and values.size:
        return hasattr(values.ravel()[0], "hour")
    return values.dtype.kind == "M"


def axes_text(da: DataArray) -> str:
    """Names and lengths of all axes."""
    return f"the axes {', '.join(f'{dim} ({da.sizes[dim]})' for dim in da.dims) or 'none'}"


def entry_text(da: DataArray, dim: str) -> str:
    """The entry in the middle of an axis, as Python writes it."""
    return repr(_plain(_middle(da, dim)))


def entry_as_text(entry: Any) -> str:
    """An entry of an axis as the command line takes it."""
    if isinstance(entry, np.datetime64):
        return str(np.datetime_as_string(entry))
    return entry.isoformat() if hasattr(entry, "isoformat") else str(_plain(entry))


def scalar_latitude(da: DataArray) -> float | None:
    """The latitude of an array that has one alone."""
    for name in ("latitude", "lat"):
        if name in da.coords and da.coords[name].size == 1 and name not in da.dims:
            return float(da.coords[name])
    return None


def _middle(da: DataArray, dim: str) -> Any:
    return da[dim].values[(da.sizes[dim] - 1) // 2]


def _plain(entry: Any) -> Any:
    """An entry of an axis as Python's own number or text."""
    if isinstance(entry, bytes):
        return entry.decode(errors="replace").strip()
    if isinstance(entry, np.floating):
        # The shortest text that gives the number back in its own precision.
        return float(str(entry))
    return entry.item() if isinstance(entry, np.integer | np.bool_) else str(entry)
