"""One variable of a file that xarray opens."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..base.validate import check_file, refuse
from .attributes import unit_of
from .candidates import candidates_of, with_positions
from .decoding import decode_times, is_since
from .missing import mask_invalid
from .selection import select_entries

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

__all__ = ["open_dataset", "open_variable"]


def open_variable(
    path: str | os.PathLike[str],
    variable: str | None = None,
    select: Sequence[str] = (),
    is_default: bool = False,
) -> DataArray:
    """One variable of a file that xarray opens.

    Parameters
    ----------
    path : path-like
        The file.
    variable : str, optional
        Its name; not needed where the file holds one field alone, beside bounds and the like.
    select : sequence of str
        Entries of axes, as :func:`select_entries` takes them; the others are not loaded.
    is_default : bool, default False
        As :func:`select_entries`.

    Returns
    -------
    xarray.DataArray
        Loaded, and the file closed.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing or unreadable, the variable is not in it, none is named where
        there are several, its times cannot be decoded, or as :func:`select_entries`.
    ImportError
        If xarray or the package for this format is not installed.
    """
    where, engine = os.fspath(path), _engine(path)
    with open_dataset(where) as dataset:
        names = candidates_of(dataset)
        if variable is None:
            if len(names) != 1:
                others = ", ".join(map(str, dataset.variables)) or "nothing"
                refuse(
                    "variable",
                    f"the name of a variable of {where}",
                    "none",
                    fix=f"it holds {', '.join(names)}"
                    if names
                    else f"no variable of it is a field over axes; it holds {others}",
                )
            variable = names[0]
        if variable not in dataset.data_vars:
            refuse(
                "variable",
                f"one of {', '.join(map(repr, names)) or 'those in the file (there is none)'}",
                repr(variable),
            )
        da: DataArray = with_positions(dataset)[variable]
        # Dates can be compared only after decoding.
        is_late = [_has_raw_dates(da, choice) for choice in select]
        early, late = (
            [c for c, is_one in zip(select, is_late, strict=True) if is_one == when]
            for when in (False, True)
        )
        da = select_entries(da, early, is_default)
        empty = [dim for dim in da.dims if not da.sizes[dim]]
        if empty:
            refuse(str(variable), "at least one entry along each axis", f"none along '{empty[0]}'")
        with _readable(where, engine, variable):
            da = da.load()
    return select_entries(mask_invalid(decode_times(da)), late, is_default)


def _has_raw_dates(da: DataArray, choice: str) -> bool:
    """Whether a choice is one among times that are numbers still."""
    name = choice.partition("=")[0].strip()
    return name in da.coords and is_since(unit_of(da[name].attrs))


@contextmanager
def open_dataset(path: str | os.PathLike[str]) -> Iterator[Dataset]:
    """All variables of a file that xarray opens, their times as the numbers they are.

    Parameters
    ----------
    path : path-like
        The file; closed at the end of the context.

    Yields
    ------
    xarray.Dataset
        Not loaded.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        As :func:`open_variable`.
    """
    where = os.fspath(path)
    check_file("DATA", where, may_be_folder=True)
    try:
        import netCDF4  # noqa: F401
        import xarray
    except ImportError as error:
        raise ImportError(
            f"reading {where} needs {error.name}; install it with: pip install 'relaxon[data]'"
        ) from None
    engine = _engine(where)
    with _readable(where, engine):
        # Times are decoded on their own, so that what is wrong with them can be told; durations
        # are numbers with a unit.
        dataset = xarray.open_dataset(
            where, engine=engine, decode_times=False, decode_timedelta=False
        )
    with dataset:
        yield dataset


def _engine(path: str | os.PathLike[str]) -> Any:
    """netCDF4 reads zeros where a classic file is cut off; SciPy says so."""
    return "scipy" if _has_magic(os.fspath(path), b"CDF\x01", b"CDF\x02") else None


@contextmanager
def _readable(where: str, engine: Any, variable: str | None = None) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Whatever a reader of some format raises, what it means is this.
        reason = _why_unreadable(where, engine, variable, error)
        raise ValueError(
            f"argument 'DATA': expected a file that xarray opens, or .npz, got {where}: {reason}"
        ) from None


def _has_magic(where: str, *beginnings: bytes) -> bool:
    """Whether a file begins with one of these."""
    if not os.path.isfile(where):
        return False
    with open(where, "rb") as file:
        return file.read(4).startswith(beginnings)


def _why_unreadable(where: str, engine: Any, variable: str | None, error: Exception) -> str:
    """What is wrong with a file that xarray does not open."""
    if os.path.isdir(where):
        return "a folder that holds no data set xarray knows"
    if not os.path.getsize(where):
        return "the file is empty"
    reason = " ".join(str(error).split()) or type(error).__name__
    if re.search("filter error|undefined filter|required filter", reason, re.IGNORECASE):
        return f"its compression needs a filter that is not installed ({reason})"
    if _has_magic(where, b"\x89HDF", b"CDF"):
        if _has_whole_bytes(where, engine, variable):
            return f"a netCDF file whose attributes cannot be decoded ({reason})"
        return f"a netCDF file that is damaged or cut off ({reason})"
    if "did not find a match" in reason:
        return "no format that the installed packages read"
    return reason


def _has_whole_bytes(where: str, engine: Any, variable: str | None) -> bool:
    """Whether a file can be read as long as nothing in it is interpreted."""
    import xarray

    try:
        with xarray.open_dataset(where, engine=engine, decode_cf=False) as dataset:
            names = list(dataset.variables) if variable is None else [variable]
            for name in names:
                dataset[name].load()
    except Exception:
        return False
    return True
