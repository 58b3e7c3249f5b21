"""Settings of an experiment, as the command line writes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .._validate import check_choice
from ..grid import Dirichlet, Grid
from ..operators import ADR, Banded, Dense, Moments, Operator
from ..training.optimizers import LBFGS, Adam, Optimizer, SteepestDescent

__all__ = ["Options", "parse_boundary", "parse_condition"]

# Least error on the validation times within the steps that are asked for (bench/options.py);
# held-out times played no part.
LOCAL_SMOOTHNESS = 10.0
LOCAL_PATIENCE = 100
HOLDOUT = 0.25
OPERATORS: dict[str, type[Operator]] = {
    "adr": ADR,
    "moments": Moments,
    "banded": Banded,
    "dense": Dense,
}
OPTIMIZERS: dict[str, Callable[[float], Optimizer]] = {
    "barzilai-borwein": lambda rate: SteepestDescent(rate, line_search="barzilai-borwein"),
    "armijo": lambda rate: SteepestDescent(rate, line_search="armijo"),
    "fixed-rate": SteepestDescent,
    "adam": Adam,
    # Its steps are as long as its line search makes them.
    "lbfgs": lambda rate: LBFGS(),
}


@dataclass(frozen=True)
class Options:
    """What the command line can set; the names are those of its options.

    ``smoothness`` and ``patience`` of None stand for what the space needs: with local coefficients
    10 and 100, with homogeneous ones neither. ``anomaly`` and ``boundary`` of None stand for what
    the data suggest: "month" for the shipped data and else "none"; periodic where an axis closes
    and else neumann.
    """

    variable: str | None = None
    lead: int = 1
    anomaly: str | None = None
    holdout: float = HOLDOUT
    operator: str = "adr"
    order: int = 2
    radius: int = 1
    space: str = "homogeneous"
    time: str = "constant"
    scheme: str = "central"
    depth: int = 10
    omega: float = 0.5
    activation: str = "identity"
    bias: str | None = None
    boundary: str | None = None
    mask_boundary: str = "neumann"
    beta: float = 0.0
    trainable_omega: bool = False
    optimizer: str = "barzilai-borwein"
    rate: float = 0.01
    steps: int = 500
    patience: int | None = None
    validation: float = 0.15
    smoothness: float | None = None
    memory: str | None = None
    threads: int | None = None
    dtype: str = "float64"
    seed: int = 0

    @property
    def is_local(self) -> bool:
        """Whether coefficients differ between cells."""
        return self.operator != "dense" and self.space == "local"

    @property
    def smoothness_used(self) -> float:
        """The strength of the smoothness penalty."""
        if self.smoothness is not None:
            return self.smoothness
        return LOCAL_SMOOTHNESS if self.is_local else 0.0

    @property
    def patience_used(self) -> int | None:
        """The patience; None where no validation times are set apart."""
        if self.patience is not None:
            return self.patience or None
        return LOCAL_PATIENCE if self.is_local else None

    @property
    def validation_used(self) -> float | None:
        """The share of training times to validate on; None without patience."""
        return None if self.patience_used is None else self.validation

    def build_operator(self, grid: Grid) -> Operator:
        """The operator on a grid."""
        check_choice("operator", self.operator, tuple(OPERATORS))
        # The names among the options are texts from outside: the constructors check them.
        settings: dict[str, Any] = {"time": self.time}
        if self.operator != "dense":
            settings["space"] = self.space
        if self.operator == "adr":
            settings["scheme"] = self.scheme
        elif self.operator == "moments":
            settings["order"] = self.order
        elif self.operator == "banded":
            settings["radius"] = self.radius
        return OPERATORS[self.operator](grid, **settings)

    def build_optimizer(self) -> Optimizer:
        """The optimizer."""
        check_choice("optimizer", self.optimizer, tuple(OPTIMIZERS))
        return OPTIMIZERS[self.optimizer](self.rate)


def parse_boundary(text: str) -> tuple[Any, ...]:
    """Read boundary conditions as written on the command line.

    Parameters
    ----------
    text : str
        One entry per axis, separated by commas: "periodic", "neumann", a number (the value of a
        Dirichlet condition), or two of these for the low and the high side, as in "neumann:0".

    Returns
    -------
    tuple
        As :class:`Grid` takes it.
    """
    axes = []
    for entry in text.split(","):
        sides = tuple(parse_condition(side.strip()) for side in entry.split(":"))
        if len(sides) > 2:
            raise ValueError(
                f"argument 'boundary': expected one condition or low:high per axis, got {entry!r}"
            )
        axes.append(sides[0] if len(sides) == 1 else sides)
    return tuple(axes)


def parse_condition(text: str) -> Any:
    """A condition by name, or a number for a Dirichlet one."""
    try:
        return Dirichlet(float(text))
    except ValueError:
        return text
