"""Settings of an experiment, as the command line writes them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from ..base.validate import check_choice, check_integer, check_number, refuse
from ..domain.grid import CONDITIONS, Dirichlet, Grid
from ..inputs.inputs import MODES
from ..model.dynamics import ATTRACTOR
from ..operators import OPERATORS, Operator
from ..training.on_the_fly import METHODS
from ..training.optimizers import OPTIMIZERS, Optimizer
from .settings import (
    DATA_DEFAULTS,
    DEFAULTS,
    DIFFUSION_NAMES,
    LOCAL_PATIENCE,
    LOCAL_SMOOTHNESS,
    WEIGHTS,
    Settings,
)

__all__ = ["DEFAULTS", "DataTraits", "Options", "parse_boundary", "parse_condition"]


# Of fits of all layers together.
_OF_ALL_LAYERS = (
    *("optimizer", "rate", "steps", "patience", "validation", "bounds", "constraint"),
    *("trainable_omega", "normalization", "input_error", "target_error"),
)


@dataclass(frozen=True)
class Options(Settings):
    """What the command line can set, and what follows from it."""

    @property
    def is_local(self) -> bool:
        """Whether coefficients differ between cells."""
        return self.space == "local" and "space" in OPERATORS[self.operator].settings()

    @property
    def has_fixed_values(self) -> bool:
        """Whether a side or the mask holds a value in the unit of the data."""
        texts = [*(self.boundary or "").replace(":", ",").split(","), self.mask_boundary or ""]
        return any(text.strip() not in ("", *CONDITIONS) for text in texts)

    @property
    def finds_depth(self) -> bool:
        """Whether the fit chooses the number of layers."""
        return self.depth == "auto"

    @property
    def is_at_attractor(self) -> bool:
        """Whether the output is where layers lead, instead of the last of them."""
        return self.depth == ATTRACTOR

    @property
    def depth_used(self) -> int:
        """The number of layers that training starts with; 1 at the attractor, which has none."""
        if self.is_at_attractor:
            return 1
        name = "max_depth" if self.finds_depth else "depth"
        return check_integer(name, self.value(name), 1)

    @property
    def is_on_the_fly(self) -> bool:
        """Whether layers are trained one after the other."""
        return self.on_the_fly is not None

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
        if self.is_on_the_fly:
            return None
        return LOCAL_PATIENCE if self.is_local else None

    @property
    def validation_used(self) -> float | None:
        """The share of training times to validate on; None without patience."""
        return None if self.patience_used is None else self.value("validation")

    @property
    def optimizer_used(self) -> str:
        """The optimizer; unknown inputs take L-BFGS."""
        if self.optimizer is not None:
            return self.optimizer
        return "lbfgs" if self.inputs in ("fill", "estimate") else "barzilai-borwein"

    @property
    def is_plain(self) -> bool:
        """Whether layers are linear, alike and driven by nothing, and may be implicit ones."""
        asks_for_more = (
            self.is_local
            or self.drive
            or self.trainable_omega
            or self.finds_depth
            or self.is_at_attractor
            or (self.theta is not None and self.theta < 0.5)
            or self.inputs in ("fill", "estimate")
            or any(v is not None for v in (self.bias, self.gamma, self.normalization))
            or self.constraint is not None
        )
        time, scheme = self.value("time"), self.value("scheme")
        kinds = (self.operator, time, self.activation, scheme, self.beta)
        return kinds == ("adr", "constant", "identity", "central", 0.0) and not asks_for_more

    def complete(self, source: str) -> Options:
        """The same with the depth and theta that follow where none are given.

        Parameters
        ----------
        source : str
            What is fitted: some data have defaults of their own.

        Returns
        -------
        Options
            What is given stays.
        """
        own = {"depth": DEFAULTS["depth"], "theta": DEFAULTS["theta"]}
        if self.is_plain:
            own |= DATA_DEFAULTS.get(source, {})
        if self.rate is not None:
            own.pop("optimizer", None)  # which is not to be without rates
        return replace(self, **{k: v for k, v in own.items() if getattr(self, k) is None})

    def value(self, name: str) -> Any:
        """What was given, or else the default."""
        if name == "time" and self.is_on_the_fly:
            return "layered"
        given = getattr(self, name)
        return DEFAULTS.get(name) if given is None else given

    def has_effect(self, name: str, data: DataTraits) -> bool:
        """Whether anything depends on an option."""
        return name not in _EFFECTS or _EFFECTS[name].is_there(self, data)

    def check_effects(self, data: DataTraits) -> None:
        """Refuse what was given and has no effect.

        Parameters
        ----------
        data : DataTraits
            What is fitted.

        Raises
        ------
        ValueError
            Naming the first such option; a value that asks for nothing is none. Also if operator
            or optimizer are misspelt, the optimizer takes no unknown inputs, or errors are none.
        """
        check_choice("operator", self.operator, tuple(OPERATORS))
        check_choice("optimizer", self.optimizer_used, tuple(OPTIMIZERS))
        check_choice("inputs", self.inputs, MODES)
        # In the unit of the data, before anything has another.
        for name in ("input_error", "target_error"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), 0.0, is_open=True)
        if self.inputs in ("fill", "estimate") and self.optimizer_used != "lbfgs":
            rule = f"lbfgs with --inputs {self.inputs}, which makes inputs unknowns"
            refuse("optimizer", rule, self.optimizer)
        if self.gamma is not None:
            check_number("gamma", self.gamma, 0.0)
        if self.is_on_the_fly:
            self._check_on_the_fly()
        if self.finds_depth:
            self._check_depth_choice()
        if self.is_at_attractor:
            self._check_attractor()
        if self.weights is not None:
            check_choice("weights", self.weights, WEIGHTS)
        check_choice("diffusion", self.value("diffusion"), DIFFUSION_NAMES)
        for name, effect in _EFFECTS.items():
            given = getattr(self, name)
            if given in (None, effect.nothing) or effect.is_there(self, data):
                continue
            got = repr(given)
            if effect.beside:
                got += f" with --{effect.beside} {getattr(self, effect.beside)}"
            refuse(name, effect.rule, got, fix=f"leave it out{effect.instead}")

    def _check_depth_choice(self) -> None:
        """Refuse what needs the number of layers before it is found."""
        fix = "find the depth first, then fit with --depth N"
        if self.inputs in ("fill", "estimate"):
            refuse("inputs", "drop or given with --depth auto", repr(self.inputs), fix=fix)
        for name, nothing in (
            # The time that a layer stands for is known with their number.
            ("gamma", None),
            ("bounds", None),
            ("check_leads", None),
            ("check_depth", False),
        ):
            given = getattr(self, name)
            if given != nothing:
                refuse(name, "no value with --depth auto", repr(given), fix=fix)

    def _check_on_the_fly(self) -> None:
        """Refuse what training layer after layer knows nothing of."""
        check_choice("on_the_fly", self.on_the_fly, METHODS)
        for name, allowed, fix in (
            ("depth", None, ""),
            ("operator", [n for n, op in OPERATORS.items() if not op.reads_all], ""),
            ("inputs", ["drop", "given"], "leave it out"),
            *((name, [getattr(Options, name)], "leave it out") for name in _OF_ALL_LAYERS),
        ):
            given = getattr(self, name)
            if isinstance(given, int) if allowed is None else given in allowed:
                continue
            rule = f"{' or '.join(map(str, allowed or ['a number of layers']))} with --on-the-fly"
            if name in _OF_ALL_LAYERS:
                rule = "no value with --on-the-fly, which trains one layer after the other"
            refuse(name, rule, repr(given), fix=fix)

    def _check_attractor(self) -> None:
        """Refuse what an attractor knows nothing of, and one that would forget the input."""
        fix = "leave it out, or give --depth N"
        for name, nothing in (
            ("theta", 0.0),
            ("beta", 0.0),
            ("normalization", None),
            ("gamma", None),
            ("omega", None),
            ("trainable_omega", False),
            ("constraint", None),
            ("check_leads", None),
            ("check_depth", False),
        ):
            given = getattr(self, name)
            if given not in (None, nothing):
                rule = f"no value with --depth {ATTRACTOR}, which has no layers"
                refuse(name, rule, repr(given), fix=fix)
        if self.time != "constant":
            rule = f"constant with --depth {ATTRACTOR}: layers that differ share none"
            refuse("time", rule, self.time, fix=fix)
        if self.scheme == "lax-wendroff":
            rule = f"central or upwind with --depth {ATTRACTOR}, where no step in time has an error"
            refuse("scheme", rule, self.scheme)
        if not self.drive:
            rule = f"--drive with --depth {ATTRACTOR}, which forgets where the layers begin"
            refuse("drive", rule, "none", fix="the input then is the source that the state answers")

    def settings(self, data: DataTraits) -> dict[str, Any]:
        """All options that have an effect, with their defaults."""
        chosen = {
            field.name: self.value(field.name)
            for field in fields(self)
            if self.has_effect(field.name, data)
        }
        if "smoothness" in chosen:
            chosen["smoothness"] = self.smoothness_used
        if self.is_on_the_fly:
            return {name: value for name, value in chosen.items() if name not in _OF_ALL_LAYERS}
        return chosen | {"optimizer": self.optimizer_used, "patience": self.patience_used}

    def build_operator(self, grid: Grid) -> Operator:
        """The operator on a grid."""
        kind = OPERATORS[self.operator]
        if grid.ndim > kind.most_dimensions:
            able = [name for name, op in OPERATORS.items() if op.most_dimensions >= grid.ndim]
            names = " or ".join(map(repr, able))
            refuse("operator", f"{names} where space has two axes or three", self.operator)
        # The names among the options are texts from outside: the constructors check them.
        return kind(grid, **{name: self.value(name) for name in kind.settings()})

    def build_optimizer(self) -> Optimizer:
        """The optimizer."""
        return OPTIMIZERS[self.optimizer_used](self.value("rate"))


@dataclass(frozen=True)
class DataTraits:
    """What options depend on: whether samples have times, and whether cells are masked."""

    has_time: bool = True
    has_mask: bool = True


@dataclass(frozen=True)
class _Effect:
    """Where an option has one, and what to say elsewhere.

    ``beside`` is the option whose value is in the way, ``instead`` what helps but leaving it out,
    ``nothing`` a value that asks for nothing.
    """

    is_there: Callable[[Options, DataTraits], bool]
    rule: str
    instead: str = ""
    beside: str = ""
    nothing: Any = None


def _setting(name: str) -> _Effect:
    """A setting of some operators."""
    names = " or ".join(kind for kind, operator in OPERATORS.items() if name in operator.settings())
    return _Effect(
        lambda options, data: name in OPERATORS[options.operator].settings(),
        f"no value unless --operator is {names}",
        f" or choose --operator {names}",
        beside="operator",
    )


def _has_neighbours(options: Options) -> bool:
    return not OPERATORS[options.operator].reads_all


def _has_fields(options: Options, data: DataTraits) -> bool:
    return options.is_local or options.bias == "local"


def _sees_sides(options: Options, data: DataTraits) -> bool:
    """Whether boundary conditions are read; a dense matrix asks only whether an axis is a ring."""
    text = options.boundary or ""
    sides = [side.strip() for side in text.replace(":", ",").split(",") if side]
    return _has_neighbours(options) or all(side in CONDITIONS for side in sides)


_EFFECTS: dict[str, _Effect] = {
    "variable": _Effect(lambda options, data: data.has_time, "no value for pairs"),
    "missing": _Effect(lambda options, data: bool(options.missing), "values", nothing=()),
    "select": _Effect(
        lambda options, data: data.has_time and bool(options.select),
        "no value for pairs, which have no named axes",
        nothing=(),
    ),
    "lead": _Effect(
        lambda options, data: data.has_time,
        "no value for pairs, which have no time",
    ),
    "spacing": _Effect(
        lambda options, data: not data.has_time,
        "no value for data that bring coordinates of their own",
    ),
    "time_step": _Effect(
        lambda options, data: not data.has_time,
        "no value for data that bring times of their own",
    ),
    "check_leads": _Effect(
        lambda options, data: data.has_time,
        "no value for pairs, which have no time",
    ),
    "anomaly": _Effect(
        lambda options, data: data.has_time,
        "no value for pairs, which have no time",
        nothing="none",
    ),
    "weights": _Effect(
        lambda options, data: data.has_time,
        "no value for pairs, which know no latitude; an array 'weights' beside x and y is read",
    ),
    "order": _setting("order"),
    "radius": _setting("radius"),
    "space": _Effect(
        lambda options, data: "space" in OPERATORS[options.operator].settings(),
        "no value with --operator dense, a free matrix",
        " or choose another operator",
    ),
    "scheme": _setting("scheme"),
    "diffusion": _Effect(
        lambda options, data: options.operator == "adr",
        "no value unless --operator is adr",
        " or choose --operator adr",
        beside="operator",
        nothing="full",
    ),
    "omega": _Effect(
        lambda options, data: options.gamma is None and not options.is_at_attractor,
        "no value beside --gamma, of which omega follows",
        beside="gamma",
    ),
    "max_depth": _Effect(
        lambda options, data: options.finds_depth,
        "no value unless --depth is auto",
        " or choose --depth auto",
        beside="depth",
    ),
    "on_the_fly": _Effect(lambda options, data: options.is_on_the_fly, "a method"),
    "gamma": _Effect(lambda options, data: options.gamma is not None, "a number"),
    "boundary": _Effect(
        _sees_sides,
        "periodic or neumann with --operator dense, whose sides show no value",
        " or choose another operator",
    ),
    "mask_boundary": _Effect(
        lambda options, data: data.has_mask and _has_neighbours(options),
        "no value unless cells are masked and see their neighbours (not with --operator dense)",
    ),
    "bounds": _Effect(
        lambda options, data: OPERATORS[options.operator].has_derivatives,
        "no value with a free matrix or stencil, which has no R, U and D to bound",
        " or choose --operator adr or moments",
        beside="operator",
    ),
    "constraint": _Effect(
        lambda options, data: options.operator == "adr",
        "no value unless the operator has R, U and D",
        " or choose --operator adr",
        beside="operator",
    ),
    "rate": _Effect(
        lambda options, data: options.optimizer_used != "lbfgs",
        "no value with --optimizer lbfgs, whose line search finds the step lengths",
        " or choose another optimizer",
    ),
    "input_error": _Effect(
        lambda options, data: options.inputs == "estimate",
        "no value unless --inputs is estimate",
        " or choose --inputs estimate",
        beside="inputs",
    ),
    "target_error": _Effect(
        lambda options, data: options.inputs in ("estimate", "fill"),
        "no value unless --inputs is estimate or fill",
        " or choose one of them",
        beside="inputs",
    ),
    "validation": _Effect(
        lambda options, data: options.patience_used is not None,
        "no value without --patience, which is what watches the validation loss",
        " or add --patience",
    ),
    "smoothness": _Effect(
        _has_fields,
        "0 where nothing differs between cells",
        ", or choose --space local (any operator but dense) or --bias local",
        nothing=0.0,
    ),
}


def parse_boundary(text: str, axes: Sequence[str]) -> tuple[Any, ...]:
    """Read boundary conditions as written on the command line.

    Parameters
    ----------
    text : str
        One entry per axis, separated by commas: "periodic", "neumann", a number (the value of a
        Dirichlet condition, in the unit of the data), or two of these for the low and the high
        side, as in "neumann:0".
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
