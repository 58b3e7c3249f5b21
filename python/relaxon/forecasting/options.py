"""Settings of an experiment, as the command line writes them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .._validate import check_choice, refuse
from ..grid import CONDITIONS, Dirichlet, Grid
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
    and else neumann. A default is no request: it may stand beside options that leave it no effect.
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

    def check_effects(self) -> None:
        """Refuse an option that was set and that the others leave without effect.

        Raises
        ------
        TypeError, ValueError
            If there is one; or if operator or optimizer are none.
        """
        check_choice("operator", self.operator, tuple(OPERATORS))
        check_choice("optimizer", self.optimizer, tuple(OPTIMIZERS))
        for name, is_read, reason, fix in _CONDITIONAL:
            value = getattr(self, name)
            if value != getattr(Options, name) and not is_read(self):
                refuse(name, f"no value {reason(self)}", value, fix=fix)

    def build_operator(self, grid: Grid) -> Operator:
        """The operator on a grid."""
        if self.operator in ("moments", "banded") and grid.ndim > 1:
            refuse("operator", "'adr' or 'dense' where space has two axes or three", self.operator)
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
        return OPTIMIZERS[self.optimizer](self.rate)


_Condition = tuple[str, Callable[[Options], bool], Callable[[Options], str], str]


def _needs_operator(name: str, *operators: str) -> _Condition:
    return (
        name,
        lambda options: options.operator in operators,
        lambda options: f"with --operator {options.operator}, which has none",
        f"leave it out, or choose --operator {' or '.join(operators)}",
    )


_STENCILS = ("adr", "moments", "banded")
# Option, whether the others let it have an effect, why they do not, and what to do.
_CONDITIONAL: tuple[_Condition, ...] = (
    _needs_operator("order", "moments"),
    _needs_operator("radius", "banded"),
    _needs_operator("scheme", "adr"),
    _needs_operator("space", *_STENCILS),
    _needs_operator("boundary", *_STENCILS),
    (
        "mask_boundary",
        lambda options: options.operator != "dense",
        lambda options: "with --operator dense, which does not read masked cells",
        f"leave it out, or choose --operator {' or '.join(_STENCILS)}",
    ),
    (
        "smoothness",
        # A strength of nothing is what there is without the option.
        lambda options: options.is_local or options.bias == "local" or options.smoothness == 0,
        lambda options: (
            "with --operator dense, whose weights are no fields"
            if options.operator == "dense"
            else f"with --space {options.space}, where coefficients have no gradient"
        ),
        "leave it out, or choose --space local with an operator that has it",
    ),
    (
        "rate",
        lambda options: options.optimizer != "lbfgs",
        lambda options: "with --optimizer lbfgs, whose line search finds its steps",
        "leave it out, or choose another --optimizer",
    ),
    (
        "validation",
        lambda options: options.patience_used is not None,
        lambda options: "without --patience, which watches the validation times",
        "leave it out, or set --patience",
    ),
)


def parse_boundary(text: str, axes: Sequence[str]) -> tuple[Any, ...]:
    """Read boundary conditions as written on the command line.

    Parameters
    ----------
    text : str
        One entry per axis, separated by commas: "periodic", "neumann", a number (the value of a
        Dirichlet condition), or two of these for the low and the high side, as in "neumann:0".
    axes : sequence of str
        Names of the axes.

    Returns
    -------
    tuple
        As :class:`Grid` takes it.

    Raises
    ------
    ValueError
        If there are more or fewer entries than axes, or one is no condition.
    """
    entries = text.split(",")
    if len(entries) != len(axes):
        names = f"the axis {axes[0]}" if len(axes) == 1 else f"each of the axes {', '.join(axes)}"
        refuse("boundary", f"one condition for {names}", repr(text), fix="commas separate them")
    conditions = []
    for entry in entries:
        sides = tuple(
            parse_condition("boundary", side.strip(), CONDITIONS) for side in entry.split(":")
        )
        if len(sides) > 2:
            refuse("boundary", "one condition or low:high per axis", repr(entry))
        conditions.append(sides[0] if len(sides) == 1 else sides)
    return tuple(conditions)


def parse_condition(argument: str, text: str, names: Sequence[str] = ("neumann",)) -> Any:
    """A condition by name, or a finite number for a Dirichlet one."""
    if text in names:
        return text
    try:
        return Dirichlet(float(text))
    except ValueError:
        near = difflib.get_close_matches(text, names, n=1, cutoff=0.5)
        refuse(
            argument,
            f"{', '.join(map(repr, names))} or a finite number, as a Dirichlet condition has",
            repr(text),
            fix=f"did you mean '{near[0]}'?" if near else "",
        )
