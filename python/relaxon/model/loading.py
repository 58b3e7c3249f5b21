"""Models from files.

Nothing in a file is executed: no pickle, and names in the configuration are looked up in fixed
tables.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from ..base.schema import shown
from ..datasets.scaling import Scaling
from ..domain.grid import Condition, Dirichlet, Grid
from ..operators.operator import Data
from . import container
from .container import FileFormatError, refuse
from .dynamics import DYNAMICS
from .ends import Lift, Readout
from .format import (
    EXTRA,
    FIELDS,
    FORMAT,
    FORMAT_VERSION,
    OPERATOR_CLASSES,
    check_configuration,
    renewed,
)
from .relaxation import Relaxation

__all__ = ["FileFormatError", "ModelFile", "load", "read", "unpack"]

Array = NDArray[Any]

_KEYS = {"written_by": str, **FIELDS, "extra": dict}


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
        If the file is truncated, corrupted, no model file, or of a newer format version; or if
        anything in it is not as :func:`save` writes it, or would be refused by the constructors.

    Notes
    -----
    Takes little more memory than the arrays of the file, at most three times its bytes and 8 MiB;
    sizes are compared first.
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
    where = os.fsdecode(path)
    version, found, tensors = container.read(path, FORMAT, FORMAT_VERSION)
    found = renewed(where, found, version)
    _check_operator(where, found)
    configuration = check_configuration(where, found, _KEYS)
    del configuration["written_by"]
    extra = configuration.pop("extra")
    own: dict[str, Array] = {}
    for name, array in tensors.items():
        if not name.startswith(EXTRA):
            own[name] = array
        elif extra.setdefault(name.removeprefix(EXTRA), array) is not array:
            refuse(where, f"extra {name.removeprefix(EXTRA)!r} stands there twice")
    return ModelFile(unpack(where, configuration, own), extra)


def _check_operator(where: str, found: Any) -> None:
    """Refuse an operator of another version in words of its own."""
    operator = found.get("operator") if isinstance(found, dict) else None
    kind = operator.get("type") if isinstance(operator, dict) else None
    writer = found.get("written_by") if isinstance(found, dict) else None
    if isinstance(kind, str) and isinstance(writer, str) and kind not in OPERATOR_CLASSES:
        known = ", ".join(OPERATOR_CLASSES)
        refuse(
            where,
            f"its operator {shown(kind)} is none that this version knows ({known}); the file was "
            f"written by {shown(writer)}",
        )


def unpack(
    where: str, configuration: Mapping[str, Any], tensors: Mapping[str, Array]
) -> Relaxation:
    """Make a model of what :func:`pack` took apart.

    Parameters
    ----------
    where : str
        The file, for messages.
    configuration : mapping of str
        As :func:`pack` gives it, and nothing else.
    tensors : mapping of str to ndarray
        As :func:`pack` gives them, and no others. They are the model's own from now on.

    Returns
    -------
    Relaxation
        A model equal to the one packed.

    Raises
    ------
    FileFormatError
        If they make no model: a key is missing, unknown or of another type, an array is missing,
        unknown or of another type or shape, or the constructors refuse a value. Nothing is
        allocated before shapes are compared.
    """
    checked = check_configuration(where, configuration, FIELDS)
    arrays = dict(tensors)
    try:
        model = _build(checked, arrays)
    except (TypeError, ValueError) as error:
        refuse(where, f"its configuration makes no model ({error})")
    if arrays:
        refuse(where, f"it has an array of an unknown name, {shown(next(iter(arrays)))}")
    return model


def _build(configuration: dict[str, Any], arrays: dict[str, Array]) -> Relaxation:
    """A model; the arrays that it takes are no longer among `arrays`."""
    layout, settings = configuration["grid"], dict(configuration["model"])
    options = dict(configuration["operator"])
    grid = Grid(
        tuple(layout["shape"]),
        spacing=tuple(layout["spacing"]),
        boundary=tuple(tuple(map(_condition_from_json, sides)) for sides in layout["boundary"]),
        mask=arrays.pop("grid.mask", None),
        mask_boundary=_condition_from_json(layout["mask_boundary"]),
        names=tuple(layout["names"]),
        origin=tuple(layout["origin"]),
        unit=tuple(layout["unit"]),
    )
    operator_class = OPERATOR_CLASSES[options.pop("type")]
    for name, kind in operator_class.settings().items():
        if isinstance(kind, Data):
            options[name] = _take(arrays, f"operator.{name}")
    operator = operator_class(grid, **options)
    dynamics = dict(configuration["dynamics"])
    settings["dynamics"] = DYNAMICS[dynamics.pop("type")](**dynamics)
    for name, kind in (("lift", Lift), ("readout", Readout)):
        settings[name] = kind(**settings[name]) if name in settings else None
    rate = "gamma" if "gamma" in arrays or "param.gamma" in arrays else "omega"
    own = None if settings["trainable_omega"] else _take(arrays, rate)
    model = Relaxation._of_arrays(operator, _take_all(arrays, "param."), rate, own, **settings)
    if "scaling" not in configuration:
        return model
    parts = configuration["scaling"]
    names = ["climatology", *(f"axis {a}" for a in range(len(parts["axes"])))]
    scaling = Scaling.from_parts(parts, {name: _take(arrays, f"scaling.{name}") for name in names})
    return model.with_scaling(scaling)


def _take(arrays: dict[str, Array], name: str) -> Array:
    if name not in arrays:
        raise ValueError(f"it has no array {name!r}")
    return arrays.pop(name)


def _take_all(arrays: dict[str, Array], prefix: str) -> dict[str, Array]:
    names = [name for name in arrays if name.startswith(prefix)]
    return {name.removeprefix(prefix): arrays.pop(name) for name in names}


def _condition_from_json(condition: str | dict[str, float]) -> Condition:
    return condition if isinstance(condition, str) else Dirichlet(condition["dirichlet"])
