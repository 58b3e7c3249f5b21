"""Names and defaults of what the command line can set: all that its help needs to know.

Neither NumPy nor anything else that is slow to load is needed for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..training.optimizers import OPTIMIZERS

__all__ = ["DATA_DEFAULTS", "DEFAULTS", "Settings"]

# Least error on the validation times within the steps that are asked for (bench/options.py);
# held-out times played no part.
LOCAL_SMOOTHNESS = 10.0
LOCAL_PATIENCE = 100
HOLDOUT = 0.25
WEIGHTS = ("area",)
OPERATOR_NAMES = ("adr", "moments", "banded", "dense")
OPTIMIZER_NAMES = tuple(OPTIMIZERS)
SPACE_NAMES = ("homogeneous", "local")
TIME_NAMES = ("constant", "layered")
SCHEME_NAMES = ("central", "upwind", "lax-wendroff")
DIFFUSION_NAMES = ("full", "diagonal")
BIAS_NAMES = ("homogeneous", "local")
ANOMALY_NAMES = ("month", "hour", "mean", "none")
NORMALIZATION_NAMES = ("hard",)
CONSTRAINT_NAMES = ("monotone", "stable")
INPUT_NAMES = ("drop", "given", "fill", "estimate")
DTYPE_NAMES = ("float64", "float32")
ACTIVATION_NAMES = (
    *("identity", "tanh", "logistic", "relu", "leaky_relu", "softplus", "silu", "gelu", "sin"),
    *("square", "hard_tanh"),
)
# Of --boundary, beside numbers.
CONDITION_NAMES = ("periodic", "neumann")
ON_THE_FLY_NAMES = ("newton", "descent", "second-order")
# Of --depth, beside numbers.
DEPTH_NAMES = ("auto", "attractor")

DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "lead": 1,
        "depth": 10,
        "theta": 0.0,
        "diffusion": "full",
        "order": 2,
        "radius": 1,
        "omega": 0.5,
        "max_depth": 16,
        "space": "homogeneous",
        "scheme": "central",
        "mask_boundary": "neumann",
        "rate": 0.01,
        "validation": 0.15,
    }
)
# Of homogeneous linear layers, where nothing else is asked for. Among fits within a standard error
# of the least error on validation months, one whose coefficients stay as layers become more and
# whose layers are stable (bench/dynamics_sst.py, docs/accuracy.md).
DATA_DEFAULTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "sst": MappingProxyType(
            {"depth": 5, "theta": 1.0, "diffusion": "diagonal", "optimizer": "lbfgs"}
        )
    }
)


@dataclass(frozen=True)
class Settings:
    """What the command line can set; the names are those of its options.

    An option that has an effect only beside certain others, or with certain data, is None where it
    is not given. It stands for its entry in ``DEFAULTS``, if there is one, or for what the space
    needs (``smoothness`` and ``patience``: with local coefficients 10 and 100, with homogeneous
    ones neither), what unknown inputs ask for (``optimizer``: "lbfgs", else "barzilai-borwein") or
    what the data suggest (``anomaly``: "month" for the shipped data, "mean" where the means of the
    cells hold more than half of the variance, and else "none"; ``boundary``: periodic where an axis
    closes and else neumann). For the shipped data ``depth``, ``theta``, ``diffusion`` and
    ``optimizer`` stand for those of ``DATA_DEFAULTS`` where the layers are linear and alike, and
    ``theta`` is not given as an explicit one. ``depth`` may be "auto": at most ``max_depth``
    layers, as many as the fit finds to be needed; or "attractor": what all layers lead to, with
    ``drive`` alone. ``on_the_fly`` makes ``time`` "layered".
    """

    variable: str | None = None
    select: tuple[str, ...] = ()
    missing: tuple[float, ...] = ()
    lead: int | None = None
    anomaly: str | None = None
    spacing: str | None = None
    time_step: str | None = None
    holdout: float = HOLDOUT
    weights: str | None = None
    operator: str = "adr"
    order: int | None = None
    radius: int | None = None
    space: str | None = None
    time: str = "constant"
    scheme: str | None = None
    diffusion: str | None = None
    depth: int | str | None = None
    max_depth: int | None = None
    omega: float | None = None
    gamma: float | None = None
    activation: str = "identity"
    bias: str | None = None
    boundary: str | None = None
    mask_boundary: str | None = None
    beta: float = 0.0
    theta: float | None = None
    drive: bool = False
    normalization: str | None = None
    trainable_omega: bool = False
    bounds: str | None = None
    constraint: str | None = None
    on_the_fly: str | None = None
    optimizer: str | None = None
    rate: float | None = None
    steps: int = 500
    patience: int | None = None
    validation: float | None = None
    smoothness: float | None = None
    check_leads: str | None = None
    check_depth: bool = False
    memory: str | None = None
    threads: int | None = None
    dtype: str = "float64"
    seed: int = 0
    inputs: str = "drop"
    input_error: float | None = None
    target_error: float | None = None
