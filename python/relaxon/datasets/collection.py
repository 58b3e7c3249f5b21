"""One variable of several files, one after the other in time."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..base.validate import refuse
from .dates import has_cftime, time_text
from .roles import time_dim
from .units import is_same_unit
from .variable import open_variable

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["expand_names", "open_files"]


def expand_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of files, with patterns such as 'data_*.nc' replaced by what they match, in order.

    Parameters
    ----------
    names : sequence of str
        Names; one of an existing file is no pattern.

    Returns
    -------
    tuple of str
        At least one.

    Raises
    ------
    FileNotFoundError, ValueError
        If a pattern matches nothing, or a file is named twice.
    """
    found: list[str] = []
    for name in names:
        if glob.has_magic(name) and not os.path.exists(name):
            matches = sorted(glob.glob(name, recursive=True))
            if not matches:
                raise FileNotFoundError(
                    f"argument 'DATA': expected files, got {name}: none is called so"
                )
            found += matches
        else:
            found.append(name)
    for i, name in enumerate(found):
        if name in found[:i]:
            refuse("DATA", "each file once", f"{name} twice")
    return tuple(found)


def open_files(
    names: Sequence[str],
    variable: str | None = None,
    select: Sequence[str] = (),
    is_default: bool = False,
) -> DataArray:
    """One variable of one file or of several, joined along time.

    Parameters
    ----------
    names : sequence of str
        Names of files that xarray opens.
    variable : str, optional
        Its name; not needed where each file holds one field alone.
    select : sequence of str
        Entries of axes, as :func:`select_entries` takes them.
    is_default : bool, default False
        As :func:`select_entries`.

    Returns
    -------
    xarray.DataArray
        Loaded; of several files with ascending times.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`open_variable` and :func:`select_entries`; if files differ in variable, unit,
        axes, positions or calendar, or a time stands in two of them.
    """
    parts = [open_variable(name, variable, select, is_default) for name in names]
    if len(parts) == 1:
        return parts[0]
    import xarray

    time = time_dim(parts[0], str(parts[0].name or names[0]))
    parts = [
        da if time in da.dims or time not in da.coords else da.expand_dims(time) for da in parts
    ]
    for name, da in zip(names[1:], parts[1:], strict=True):
        _check_alike(names[0], parts[0], name, da, time)
    parts = [da.transpose(*parts[0].dims) for da in parts]
    joined: DataArray = xarray.concat(
        parts, time, join="override", coords="minimal", compat="override", combine_attrs="override"
    )
    owners = np.repeat(np.arange(len(parts)), [da.sizes[time] for da in parts])
    order = np.argsort(joined[time].values, kind="stable")
    times, owners = joined[time].values[order], owners[order]
    is_twice = times[1:] == times[:-1]
    if is_twice.any():
        i = int(np.argmax(is_twice))
        first, second = (names[owners[k]] for k in (i, i + 1))
        others = f", and {int(is_twice.sum()) - 1} more times twice" if is_twice.sum() > 1 else ""
        refuse(
            "DATA",
            "files that follow each other in time",
            f"{time_text(times[i])} in {first} and in {second}{others}",
            fix="files of other runs or levels are no part of one series: fit them one by one, or "
            "join them along an axis of their own with xarray.concat",
        )
    ordered: DataArray = joined.isel({time: order})
    return ordered


def _check_alike(first: str, da: DataArray, name: str, other: DataArray, time: str) -> None:
    """Refuse files that are no parts of one series."""
    for what, mine, theirs in (
        ("the variable", da.name, other.name),
        ("the unit", da.attrs.get("units", ""), other.attrs.get("units", "")),
        ("the axes", sorted(map(str, da.dims)), sorted(map(str, other.dims))),
    ):
        is_same = what == "the unit" and is_same_unit(str(mine), str(theirs))
        if mine != theirs and not is_same:
            refuse("DATA", f"{what} of {first}, {mine!r}, in all files", f"{theirs!r} in {name}")
    for dim in map(str, da.dims):
        mine, theirs = da[dim].values, other[dim].values
        if dim == time:
            kinds = [values.dtype.kind for values in (mine, theirs)]
            calendars = [v[0].calendar if has_cftime(v) else "" for v in (mine, theirs)]
            if kinds[0] != kinds[1] or calendars[0] != calendars[1]:
                refuse(
                    "DATA",
                    f"times of one calendar, as {time_text(mine[0])} in {first}",
                    f"{time_text(theirs[0])} in {name}",
                )
        elif len(mine) != len(theirs):
            refuse(
                "DATA",
                f"{len(mine)} entries along '{dim}' as in {first}",
                f"{len(theirs)} in {name}",
            )
        elif not _are_same(mine, theirs):
            refuse("DATA", f"the axis '{dim}' of {first} in all files", f"another one in {name}")


def _are_same(mine: np.ndarray, theirs: np.ndarray) -> bool:
    if mine.dtype.kind in "iuf" and theirs.dtype.kind in "iuf":
        return bool(np.allclose(mine, theirs, rtol=1e-6, atol=0.0))
    return bool(np.array_equal(mine, theirs))
