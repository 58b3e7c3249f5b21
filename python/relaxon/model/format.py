"""What stands in a model file; ``docs/file-format.md`` describes it."""

from __future__ import annotations

from typing import Any

from ..base import schema
from ..base.schema import Cases, Either, Later, Nullable
from ..datasets.coordinates import KINDS
from ..datasets.time_axis import PERIODS
from ..domain.grid import CONDITIONS, MASK_CONDITIONS
from ..operators import OPERATORS, Operator
from ..operators.operator import Data
from .activations import ACTIVATIONS
from .container import refuse
from .dynamics import DYNAMICS, Explicit
from .network import BIASES

__all__ = [
    "EXTRA",
    "FIELDS",
    "FORMAT",
    "FORMAT_VERSION",
    "OPERATOR_CLASSES",
    "check_configuration",
    "plain_settings",
    "renewed",
]

FORMAT = "relaxon model"
FORMAT_VERSION = 2
# Arrays among the extra values.
EXTRA = "extra."


def plain_settings(kind: type[Operator]) -> dict[str, Any]:
    """Settings of an operator that are no arrays."""
    return {name: k for name, k in kind.settings().items() if not isinstance(k, Data)}


# By the names of their classes.
OPERATOR_CLASSES = {kind.__name__: kind for kind in OPERATORS.values()}
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
        {name: plain_settings(kind) for name, kind in OPERATOR_CLASSES.items()},
    ),
    "dynamics": Cases("type", {name: kind.settings for name, kind in DYNAMICS.items()}),
    "model": {
        "activation": ACTIVATIONS,
        "bias": Nullable(BIASES),
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


def renewed(where: str, found: Any, version: int) -> Any:
    """A configuration of any version as the newest has it, unchecked.

    Parameters
    ----------
    where : str
        The file, for messages.
    found : object
        As :func:`relaxon.model.container.read` gives it.
    version : int
        Its version. Before the second, all layers were explicit steps, and what they are told stood
        under "model".

    Returns
    -------
    object
        The configuration; what is none comes back as it is.

    Raises
    ------
    FileFormatError
        If it has keys that its version had not yet.
    """
    model = found.get("model") if isinstance(found, dict) else None
    if version > 1 or not isinstance(model, dict):
        return found
    if "dynamics" in found:
        refuse(where, "its configuration makes no model (there is no 'dynamics' in version 1)")
    known = (name for name in Explicit.settings if not isinstance(name, Later))
    moved = {name: model[name] for name in known if name in model}
    rest = {name: value for name, value in model.items() if name not in moved}
    return {**found, "dynamics": {"type": Explicit.kind, **moved}, "model": rest}


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
