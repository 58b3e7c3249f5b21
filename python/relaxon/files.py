"""Model files: safetensors with the configuration as JSON in its metadata.

``docs/file-format.md`` describes the format. Nothing in a file is executed: no pickle, and names in
the configuration are looked up in fixed tables.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import container
from .container import FileFormatError
from .datasets.scaling import Scaling
from .durable import write_atomic
from .ends import Lift, Readout
from .grid import Condition, Dirichlet, Grid
from .model import Relaxation
from .operators import ADR, Banded, Dense, Moments, Operator

__all__ = ["FileFormatError", "ModelFile", "load", "pack", "read", "save", "unpack"]

FORMAT = "relaxon model"
FORMAT_VERSION = 1

_OPERATORS: dict[str, type[Operator]] = {
    "ADR": ADR,
    "Moments": Moments,
    "Banded": Banded,
    "Dense": Dense,
}


@dataclasses.dataclass(frozen=True, eq=False)
class ModelFile:
    """What a model file holds.

    Attributes
    ----------
    model : Relaxation
        The model with its parameters.
    extra : dict
        What was given to :func:`save` as ``extra``; arrays come back as arrays.
    """

    model: Relaxation
    extra: dict[str, Any]


def save(
    model: Relaxation, path: str | os.PathLike[str], extra: Mapping[str, Any] | None = None
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
        or booleans, or whatever JSON can hold. Default: nothing.

    Raises
    ------
    TypeError
        If a value of `extra` is neither an array of numbers nor JSON.
    OSError
        If the file cannot be written.

    Notes
    -----
    The file holds the exact bits of the parameters: ``load`` gives a model that is equal. The same
    model gives the same bytes.

    Examples
    --------
    >>> import tempfile, relaxon as rx
    >>> model = rx.Relaxation(rx.ADR(rx.Grid((8,))), depth=3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rx.save(model, folder + "/model.safetensors")
    ...     rx.load(folder + "/model.safetensors") == model
    True
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
            tensors[f"extra.{name}"] = value
        else:
            plain[name] = value
    configuration = {"written_by": _written_by(), **configuration, "extra": plain}
    try:
        text = json.dumps(configuration, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"argument 'extra': expected arrays or JSON values: {error}") from None
    write_atomic(path, container.encode(FORMAT, FORMAT_VERSION, tensors, text))


def load(path: str | os.PathLike[str]) -> Relaxation:
    """Read a model from a file.

    Parameters
    ----------
    path : path-like
        A file written by :func:`save`.

    Returns
    -------
    Relaxation
        A model equal to the one saved.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If the file is truncated, corrupted, no model file, or of a newer format version. Sizes and
        the header's checksum are checked before any memory for arrays is allocated.
    """
    return read(path).model


def read(path: str | os.PathLike[str]) -> ModelFile:
    """Read a model together with the ``extra`` values saved beside it.

    Parameters
    ----------
    path : path-like
        A file written by :func:`save`.

    Returns
    -------
    ModelFile
        The model and the extra values.

    Raises
    ------
    FileNotFoundError, FileFormatError
        As :func:`load`.
    """
    where = os.fspath(path)
    configuration, tensors = container.read(where, FORMAT, FORMAT_VERSION)
    arrays = _with_prefix("extra.", tensors)
    try:
        extra = dict(configuration["extra"])
        settings = {k: v for k, v in configuration.items() if k not in ("written_by", "extra")}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        container.refuse(where, f"its configuration makes no model ({error})")
    own = {name: array for name, array in tensors.items() if not name.startswith("extra.")}
    return ModelFile(unpack(where, settings, own), extra | arrays)


def pack(model: Relaxation) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Take a model apart for a file.

    Parameters
    ----------
    model : Relaxation
        The model.

    Returns
    -------
    tensors : dict of str to ndarray
        Its arrays: "param.<name>", "omega" where it is no parameter, "grid.mask" and
        "scaling.<name>".
    configuration : dict
        The rest as JSON values: "grid", "operator", "model" and, if there is one, "scaling".
    """
    tensors: dict[str, NDArray[Any]] = {f"param.{k}": v for k, v in model.params.items()}
    if not model.trainable_omega:
        tensors["omega"] = model.omega
    if model.grid.mask is not None:
        tensors["grid.mask"] = model.grid.mask
    configuration = _configuration(model)
    if model.scaling is not None:
        configuration["scaling"], arrays = model.scaling.to_parts()
        tensors |= {f"scaling.{name}": array for name, array in arrays.items()}
    return tensors, configuration


def unpack(
    where: str, configuration: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
) -> Relaxation:
    """Make a model of what :func:`pack` took apart.

    Parameters
    ----------
    where : str
        The file, for messages.
    configuration : mapping of str
        As :func:`pack` gives it, and nothing else.
    tensors : mapping of str to ndarray
        As :func:`pack` gives them, and no others.

    Returns
    -------
    Relaxation
        A model equal to the one packed.

    Raises
    ------
    FileFormatError
        If they make no model.
    """
    try:
        return _build(configuration, tensors)
    except (KeyError, TypeError, ValueError) as error:
        container.refuse(where, f"its configuration makes no model ({error})")


def _written_by() -> str:
    from importlib.metadata import version

    return f"relaxon {version('relaxon')}"


def _configuration(model: Relaxation) -> dict[str, Any]:
    grid, operator = model.grid, model.operator
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
            "type": type(operator).__name__,
            **{
                field.name: getattr(operator, field.name)
                for field in dataclasses.fields(operator)
                if field.name != "grid"
            },
        },
        "model": {
            "depth": model.depth,
            "activation": model.activation,
            "bias": model.bias,
            "beta": model.beta,
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


def _build(configuration: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> Relaxation:
    layout = configuration["grid"]
    grid = Grid(
        tuple(layout["shape"]),
        spacing=tuple(layout["spacing"]),
        boundary=tuple(
            tuple(_condition_from_json(c) for c in sides) for sides in layout["boundary"]
        ),
        mask=tensors.get("grid.mask"),
        mask_boundary=_condition_from_json(layout["mask_boundary"]),
        names=tuple(layout["names"]),
        origin=tuple(layout["origin"]),
        unit=tuple(layout["unit"]),
    )
    options = dict(configuration["operator"])
    operator = _OPERATORS[options.pop("type")](grid, **options)
    params = _with_prefix("param.", tensors)
    settings = dict(configuration["model"])
    for name, kind in (("lift", Lift), ("readout", Readout)):
        if name in settings:
            settings[name] = kind(**settings[name])
    omega = params["omega"] if settings["trainable_omega"] else tensors["omega"]
    if settings["trainable_omega"]:
        # Training may leave [0, 2), which the constructor enforces for initial values.
        omega = np.clip(omega, 0.0, 1.0)
    model = Relaxation(operator, omega=omega, **settings).with_params(params)
    if "scaling" not in configuration:
        return model
    return model.with_scaling(
        Scaling.from_parts(configuration["scaling"], _with_prefix("scaling.", tensors))
    )


def _with_prefix(prefix: str, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _condition_to_json(condition: Condition) -> str | dict[str, float]:
    return condition if isinstance(condition, str) else {"dirichlet": condition.value}


def _condition_from_json(condition: Any) -> Any:
    return condition if isinstance(condition, str) else Dirichlet(condition["dirichlet"])
