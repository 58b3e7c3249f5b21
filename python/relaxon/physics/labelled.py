"""An explanation as labelled arrays."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .coefficients import Process
from .findings import Findings

if TYPE_CHECKING:
    from xarray import Dataset


__all__ = ["to_dataset"]

LAYER = "layer"


def to_dataset(explanation: Findings) -> Dataset:
    """Coefficients, errors and stability with coordinates.

    Parameters
    ----------
    explanation : Findings
        What to label.

    Returns
    -------
    xarray.Dataset
        As :meth:`relaxon.Explanation.to_xarray` says.

    Raises
    ------
    ImportError
        Without xarray.
    """
    try:
        import xarray
    except ModuleNotFoundError as error:
        raise ImportError(
            f"argument 'to_xarray' needs {error.name}; install it with: pip install 'relaxon[data]'"
        ) from None

    names = _axis_names(explanation.names)
    variables: dict[str, tuple[NDArray[Any], bool, dict[str, str]]] = {}
    for process in (*explanation.processes, *explanation.parameters):
        name = _variable_name(process, names)
        attributes = {"long_name": process.name, "units": process.unit}
        variables[name] = (process.values, process.is_layered, attributes)
        for suffix, values, words in (
            ("standard_error", process.standard_error, "standard error of"),
            ("shuffled", process.null, "with shuffled rows:"),
        ):
            if values is not None:
                named = {**attributes, "long_name": f"{words} {process.name}"}
                variables[f"{name}_{suffix}"] = (values, process.is_layered, named)
    stability = explanation.stability
    if stability is not None:
        has_layers = explanation.n_layers is not None
        numbers = {
            "diffusive_stability": (stability.diffusive, "diffusive stability number"),
            "advective_stability": (stability.advective, "advective stability number"),
        }
        for name, label, values in zip(names, explanation.names, stability.peclet, strict=True):
            numbers[f"peclet_{name}"] = (values, f"cell Peclet number along {label}")
        for name, (values, label) in numbers.items():
            variables[name] = (values, has_layers, {"long_name": label, "units": "1"})

    dims = [f"{name}_axis" if name in {*variables, LAYER} else name for name in names]
    data = {}
    for name, (values, has_layers, attributes) in variables.items():
        lead = [LAYER] if has_layers else []
        own = lead + (dims if values.ndim > len(lead) else [])
        data[name] = (own, values, attributes)
    used = {dim for own, _, _ in data.values() for dim in own}
    coordinates: dict[str, Any] = {}
    for dim, axis in zip(dims, explanation.coordinates.axes, strict=True):
        if dim in used:
            coordinates[dim] = (dim, axis.values, {"long_name": axis.name, "units": axis.unit})
    if LAYER in used:
        n_layers = max(len(v) for v, has_layers, _ in variables.values() if has_layers)
        coordinates[LAYER] = (LAYER, np.arange(n_layers), {"long_name": "layer"})
    notes = {"note": explanation.note} if explanation.note else {}
    return xarray.Dataset(data, coords=coordinates, attrs=notes)


def _axis_names(names: tuple[str, ...]) -> list[str]:
    """Names in letters, digits and underscores, none twice and none empty."""
    clean: list[str] = []
    for number, name in enumerate(names):
        word = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or f"axis_{number}"
        clean.append(f"{word}_{number}" if word in clean else word)
    return clean


def _variable_name(process: Process, names: list[str]) -> str:
    symbol = process.symbol.replace(" ", "_")
    if process.symbol in ("U", "D", "numerical D"):
        return "_".join([symbol, *(names[a] for a in dict.fromkeys(process.axes))])
    return symbol
