"""Model files: safetensors with the configuration as JSON in its metadata."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.durable import write_atomic
from ..base.schema import Later
from ..base.validate import refuse
from ..domain.grid import Condition
from ..operators.operator import Data
from . import container
from .format import EXTRA, FORMAT, FORMAT_VERSION, OPERATOR_CLASSES, plain_settings
from .network import Network

__all__ = ["encode", "pack", "save"]

Array = NDArray[Any]


def save(
    model: Network, path: str | os.PathLike[str], extra: Mapping[str, Any] | None = None
) -> None:
    """Write a model to a file, whole or not at all.

    Parameters
    ----------
    model : Relaxation
        The model.
    path : path-like
        The file; an existing one is replaced only after the new one is complete on disk.
    extra : mapping of str, optional
        What else belongs to the model (scaling, climatology, source of the data): arrays of numbers
        or booleans, or whatever JSON can hold; long lists belong into arrays. Default: nothing.

    Raises
    ------
    TypeError
        If a value of `extra` is neither an array of numbers nor JSON that :func:`load` would read:
        nested more than 100 deep, a number of more than 1000 digits, too much to stand beside the
        arrays; or if the operator is of a class of your own.
    OSError
        If the file cannot be written.

    Notes
    -----
    The file holds the exact bits of the parameters: ``load`` gives a model that is equal. The same
    model gives the same bytes, and so does what was read from a file of this version of relaxon.

    Examples
    --------
    >>> import tempfile, relaxon as rx
    >>> model = rx.Relaxation(rx.ADR(rx.Grid((8,))), depth=3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rx.save(model, folder + "/model.safetensors")
    ...     rx.load(folder + "/model.safetensors") == model
    True
    """
    write_atomic(path, encode(model, extra))


def encode(model: Network, extra: Mapping[str, Any] | None = None) -> bytes:
    """The bytes of a model file.

    Parameters
    ----------
    model, extra
        As for :func:`save`.

    Returns
    -------
    bytes
        What :func:`save` writes.

    Raises
    ------
    TypeError
        As :func:`save`.
    """
    tensors, configuration = pack(model)
    plain: dict[str, Any] = {}
    for name, value in (extra or {}).items():
        if isinstance(value, np.ndarray):
            if value.dtype.kind not in "biuf" or value.dtype.itemsize > 8:
                raise TypeError(
                    f"argument 'extra': expected arrays of numbers or booleans, "
                    f"got dtype {value.dtype} for {name!r}"
                )
            tensors[f"{EXTRA}{name}"] = value
        else:
            plain[name] = value
    configuration = {"written_by": _written_by(), **configuration, "extra": plain}
    try:
        text = json.dumps(configuration, allow_nan=False)
        return container.encode(FORMAT, FORMAT_VERSION, tensors, text)
    except (RecursionError, TypeError, ValueError) as error:
        raise TypeError(f"argument 'extra': expected arrays or JSON values: {error}") from None


def pack(model: Network) -> tuple[dict[str, Array], dict[str, Any]]:
    """Take a model apart for a file.

    Parameters
    ----------
    model : Relaxation
        The model.

    Returns
    -------
    tensors : dict of str to ndarray
        Its arrays: "param.<name>", "omega" or "gamma" where it is no parameter, "grid.mask",
        "operator.<name>" and "scaling.<name>".
    configuration : dict
        The rest as JSON values: "grid", "operator", "dynamics", "model" and, if there is one,
        "scaling".

    Raises
    ------
    TypeError
        If the operator is of a class that files do not know.
    """
    tensors: dict[str, Array] = {f"param.{k}": v for k, v in model.params.items()}
    if not model.trainable_omega:
        tensors[model._rate_name] = model._rate
    if model.grid.mask is not None:
        tensors["grid.mask"] = model.grid.mask
    for name, kind in model.operator.settings().items():
        if isinstance(kind, Data):
            tensors[f"operator.{name}"] = getattr(model.operator, name)
    configuration = _configuration(model)
    if model.scaling is not None:
        configuration["scaling"], arrays = model.scaling.to_parts()
        tensors |= {f"scaling.{name}": array for name, array in arrays.items()}
    return tensors, configuration


def _configuration(model: Network) -> dict[str, Any]:
    grid, operator, dynamics = model.grid, model.operator, model._dynamics
    kind = type(operator).__name__
    if OPERATOR_CLASSES.get(kind) is not type(operator):
        known = f"one of relaxon's own operators, {', '.join(OPERATOR_CLASSES)}"
        refuse("model", known, kind, TypeError)
    return {
        "grid": {
            "shape": list(grid.shape),
            "spacing": list(grid.spacing),
            "boundary": [[_condition_to_json(c) for c in sides] for sides in grid.boundary],
            "mask_boundary": _condition_to_json(grid.mask_boundary),
            "names": list(grid.names),
            "origin": list(grid.origin),
            "unit": list(grid.unit),
        },
        "operator": {
            "type": kind,
            **{name: getattr(operator, name) for name in plain_settings(type(operator))},
        },
        "dynamics": {
            "type": dynamics.kind,
            # What came later is absent where it says no, as in files from before.
            **{
                name: value
                for name, value in ((n, getattr(dynamics, n)) for n in dynamics.settings)
                if value or not isinstance(name, Later)
            },
        },
        "model": {
            "activation": model.activation,
            "bias": model.bias,
            "trainable_omega": model.trainable_omega,
            # Absent where there is none, as in files from before there were ends.
            **{
                name: dataclasses.asdict(end)
                for name, end in (("lift", model.lift), ("readout", model.readout))
                if end is not None
            },
            "dt": model.dt,
            "time_unit": model.time_unit,
            "dtype": model.dtype.name,
            "seed": model.seed,
        },
    }


def _condition_to_json(condition: Condition) -> str | dict[str, float]:
    return condition if isinstance(condition, str) else {"dirichlet": condition.value}


@functools.cache
def _written_by() -> str:
    from importlib.metadata import version

    return f"relaxon {version('relaxon')}"
