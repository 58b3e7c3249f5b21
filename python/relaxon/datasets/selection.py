"""Entries of axes chosen by value, as ``level=850`` on the command line."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..base.validate import refuse
from .axis import JITTER
from .roles import entry_as_text

if TYPE_CHECKING:
    from xarray import DataArray

__all__ = ["select_entries"]

# Neighbours that a message names.
N_NEAREST = 3


def select_entries(da: DataArray, choices: Sequence[str], is_default: bool = False) -> DataArray:
    """One entry of each axis that is named.

    Parameters
    ----------
    da : xarray.DataArray
        The array.
    choices : sequence of str
        Each "NAME=VALUE": an axis, or a coordinate along one. Numbers match to a thousandth of the
        axis's smallest step, dates by their beginning, texts exactly.
    is_default : bool, default False
        Whether axes that are not there, or have one entry, may stay as they are.

    Returns
    -------
    xarray.DataArray
        Without these axes; what was chosen stays as a coordinate.

    Raises
    ------
    ValueError
        If a choice has another form, there is no such axis or value (the nearest ones are named),
        more than one entry has it, or an axis is named twice.
    """
    chosen: dict[str, str] = {}
    for choice in choices:
        name, has_value, text = choice.partition("=")
        name, text = name.strip(), text.strip()
        if not (name and has_value and text):
            refuse("select", "NAME=VALUE, as in level=850", repr(choice))
        if name in chosen:
            refuse("select", "each axis once", f"{name}={chosen[name]} and {choice}")
        chosen[name] = text
        is_there = name in da.dims or name in da.coords
        if is_default and (not is_there or da[name].size == 1):
            continue
        if not is_there or da[name].ndim > 1:
            axes = ", ".join(f"{dim} ({da.sizes[dim]})" for dim in da.dims)
            near = difflib.get_close_matches(name, [str(dim) for dim in da.dims], n=1)
            fix = f"did you mean '{near[0]}'?" if near else ""
            refuse("select", f"one of the axes {axes}", choice, fix=fix)
        labels = da[name]
        found = np.flatnonzero(_matches(labels.values.ravel(), text))
        if len(found) != 1:
            _refuse(choice, name, labels.values.ravel(), text, len(found))
        if labels.ndim:
            da = da.isel({labels.dims[0]: int(found[0])})
    return da


def _matches(values: NDArray[Any], text: str) -> NDArray[np.bool_]:
    """Which values a text means."""
    if values.dtype.kind not in "iuf":
        is_date = values.dtype.kind == "M" or hasattr(values[0], "calendar")
        return np.array(
            [
                entry.startswith(text.replace(" ", "T")) if is_date else entry == text
                for entry in map(entry_as_text, values)
            ]
        )
    number = _number(text)
    if number is None:
        return np.zeros(values.shape, bool)
    numbers = values.astype(np.float64)
    # Axes may hold infinite numbers, which are at no distance.
    with np.errstate(invalid="ignore", over="ignore"):
        steps = np.abs(np.diff(np.sort(numbers)))
        steps = steps[steps > 0.0]
        rounding = np.finfo(values.dtype).eps if values.dtype.kind == "f" else 0.0
        allowed = 4.0 * float(rounding) * np.abs(numbers)
        if steps.size:
            allowed = allowed + JITTER * float(steps.min())
        return np.asarray(np.abs(numbers - number) <= allowed)


def _refuse(choice: str, name: str, values: NDArray[Any], text: str, n_found: int) -> None:
    if n_found:
        refuse("select", f"a value that one entry of '{name}' has", f"{choice}: {n_found} have it")
    texts = [entry_as_text(value) for value in values]
    number = _number(text)
    if values.dtype.kind in "iuf" and number is not None:
        order = np.argsort(np.abs(values.astype(np.float64) - number), kind="stable")
        nearest = [texts[i] for i in order[:N_NEAREST]]
    else:
        nearest = difflib.get_close_matches(text, texts, N_NEAREST) or texts[:N_NEAREST]
    refuse("select", f"an entry of '{name}' ({len(texts)}), such as {', '.join(nearest)}", choice)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
