"""A model in parts, for files: arrays, and a configuration of JSON values.

What each key of the configuration is, stands in ``docs/file-format.md``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from .._validate import refuse as refuse_argument
from ..base import schema
from ..base.schema import Cases, Either, Later, Nullable, shown
from ..datasets.coordinates import KINDS
from ..datasets.scaling import Scaling
from ..datasets.time_axis import PERIODS
from ..domain.grid import CONDITIONS, MASK_CONDITIONS, Condition, Dirichlet, Grid
from ..operators import OPERATORS
from .activations import ACTIVATIONS
from .container import refuse
from .ends import Lift, Readout
from .network import BIASES
from .relaxation import Relaxation

__all__ = ["FIELDS", "check_configuration", "pack", "unpack"]

Array = NDArray[Any]

# By the names of their classes.
_OPERATORS = {kind.__name__: kind for kind in OPERATORS.values()}
_DIRICHLET = {"dirichlet": float}

FIELDS: dict[str, Any] = {
    "grid": {
        "shape": [int],
        "spacing": [float],
        "boundary": [[Either(CONDITIONS, _DIRICHLET)]],
        "mask_boundary": Either(MASK_CONDITIONS, _DIRICHLET),
        "names": [str],
        "origin": [float],
        "unit": [str],
    },
    "operator": Cases(
        "type",
        {name: kind.settings() for name, kind in _OPERATORS.items()},
    ),
    "model": {
        "depth": int,
        "activation": ACTIVATIONS,
        "bias": Nullable(BIASES),
        "beta": float,
        "trainable_omega": bool,
        Later("lift"): {"n_in": int, "activation": ACTIVATIONS},
        Later("readout"): {"n_out": int, "activation": ACTIVATIONS},
        "dt": float,
        "time_unit": str,
        "dtype": ("float32", "float64"),
        "seed": int,
    },
    Later("scaling"): {
        "name": str,
        "unit": str,
        "scale": float,
        "period": tuple(PERIODS),
        "lead": int,
        "step": {"length": float, "unit": str, "n_months": int, "has_dates": bool},
        "axes": [
            {
                "name": str,
                "unit": str,
                "spacing": float,
                "spacing_unit": str,
                "kind": KINDS,
                "is_flipped": bool,
                "is_periodic": bool,
                Later("is_rotated"): bool,
            }
        ],
    },
}


def check_configuration(where: str, found: Any, fields: dict[str, Any]) -> dict[str, Any]:
    """A configuration with the keys and types of a format.

    Parameters
    ----------
    where : str
        The file, for messages.
    found : object
        As :func:`relaxon.model.container.read` gives it.
    fields : dict
        A kind of :mod:`relaxon.base.schema`.

    Returns
    -------
    dict
        The configuration.

    Raises
    ------
    FileFormatError
        If it is another one.
    """
    try:
        checked: dict[str, Any] = schema.check("configuration", found, fields)
    except (TypeError, ValueError) as error:
        refuse(where, f"its configuration makes no model ({error})")
    return checked


def pack(model: Relaxation) -> tuple[dict[str, Array], dict[str, Any]]:
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

    Raises
    ------
    TypeError
        If the operator is of a class that files do not know.
    """
    tensors: dict[str, Array] = {f"param.{k}": v for k, v in model.params.items()}
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


def _configuration(model: Relaxation) -> dict[str, Any]:
    grid, operator = model.grid, model.operator
    kind = type(operator).__name__
    if _OPERATORS.get(kind) is not type(operator):
        known = f"one of relaxon's own operators, {', '.join(_OPERATORS)}"
        refuse_argument("model", known, kind, TypeError)
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
            **{name: getattr(operator, name) for name in operator.settings()},
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
    operator = _OPERATORS[options.pop("type")](grid, **options)
    for name, kind in (("lift", Lift), ("readout", Readout)):
        settings[name] = kind(**settings[name]) if name in settings else None
    omega = None if settings["trainable_omega"] else _take(arrays, "omega")
    model = Relaxation._of_arrays(operator, _take_all(arrays, "param."), omega, **settings)
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


def _condition_to_json(condition: Condition) -> str | dict[str, float]:
    return condition if isinstance(condition, str) else {"dirichlet": condition.value}


def _condition_from_json(condition: str | dict[str, float]) -> Condition:
    return condition if isinstance(condition, str) else Dirichlet(condition["dirichlet"])
