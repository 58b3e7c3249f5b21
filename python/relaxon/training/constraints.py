"""Which parameters a fit may change, between which bounds, and under which constraint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base.validate import check_choice, read_array, refuse
from ..model.lattice import Lattice
from ..model.relaxation import Relaxation
from ..operators import ADR
from .optimizers import Optimizer

__all__ = [
    "CONSTRAINTS",
    "Bound",
    "Bounds",
    "CoreConstraint",
    "check_bounds",
    "check_constraint",
    "check_trainable",
]

CONSTRAINTS = ("monotone", "stable")
Array = NDArray[Any]
# Kind, scheme, least and largest omega of every set of coefficients, and factors of omega in the
# bounds and in the diffusion of the scheme.
CoreConstraint = tuple[str, str, NDArray[np.float64], NDArray[np.float64], float, float]
Bound = ArrayLike | None
Bounds = Mapping[str, tuple[Bound, Bound]]


def check_trainable(model: Relaxation, trainable: Mapping[str, bool] | None) -> dict[str, bool]:
    """Whether each parameter is trained; those that are not named are."""
    chosen = dict.fromkeys(model.params, True)
    if trainable is None:
        return chosen
    if not isinstance(trainable, Mapping):
        refuse("trainable", "a mapping of names to True or False", repr(trainable), TypeError)
    for name, value in trainable.items():
        _check_name("trainable", name, model)
        if not isinstance(value, bool | np.bool_):
            refuse("trainable", f"True or False for {name!r}", repr(value), TypeError)
        chosen[name] = bool(value)
    if not any(chosen.values()):
        refuse("trainable", "at least one parameter to train", repr(dict(trainable)))
    return chosen


def check_bounds(model: Relaxation, bounds: Bounds | None) -> dict[str, tuple[Array, Array]] | None:
    """Low and high bounds of every parameter in its shape and type; open on masked cells."""
    if bounds is None:
        return None
    if not isinstance(bounds, Mapping):
        refuse("bounds", "a mapping of names to pairs (low, high)", repr(bounds), TypeError)
    checked = {}
    for name in bounds:
        _check_name("bounds", name, model)
    for name, start in model.params.items():
        low, high = _sides(name, bounds.get(name, (None, None)))
        sides = (_spread(model, name, low, -np.inf), _spread(model, name, high, np.inf))
        checked[name] = sides
        wrong = np.argwhere(sides[0] > sides[1])
        if len(wrong):
            at = tuple(int(i) for i in wrong[0])
            values = f"{sides[0][at]} and {sides[1][at]} at {_place(name, at)}"
            refuse("bounds", "low <= high", values)
        _check_start(name, start, sides)
    return checked


def check_constraint(
    model: Relaxation,
    constraint: str | None,
    optimizer: Optimizer,
    trained: Mapping[str, bool],
    bounds: Mapping[str, tuple[Array, Array]] | None,
) -> CoreConstraint | None:
    """A constraint as the core takes it; refused where steps cannot keep it."""
    if constraint is None:
        return None
    check_choice("constraint", constraint, CONSTRAINTS)
    model._check_layers("constraint")
    operator = model.operator
    if not isinstance(operator, ADR):
        rule = "None for an operator without R, U and D"
        fix = "use ADR, or bounds="
        refuse("constraint", rule, f"{constraint!r} with {type(operator).__name__}", fix=fix)
    if optimizer._has_journal:
        rule = f"None with {optimizer!r}, whose line search leaves what is feasible"
        refuse("constraint", rule, repr(constraint), fix="use SteepestDescent, Adam or bounds=")
    if model.theta >= 0.5:
        rule = f"None with theta = {model.theta:g}, from 1/2 on nothing has to be kept"
        refuse("constraint", rule, repr(constraint), fix="leave it out")
    rate = model._rate_name
    if model.trainable_omega and trained.get(rate, False):
        rule = f"None with a trained {rate}, which moves the bounds"
        fix = f"fix it with trainable={{{rate!r}: False}}, or with trainable_omega=False"
        refuse("constraint", rule, repr(constraint), fix=fix)
    low, high = _omega_of_sets(model)
    share = 1.0 if constraint == "monotone" else 2.0
    bound_factor = 1.0 - share * model.theta
    _check_kept(model, constraint, trained, bound_factor * high)
    _check_room(model, constraint, bounds, bound_factor * high)
    return constraint, operator.scheme, low, high, bound_factor, 1.0 - 2.0 * model.theta


def _omega_of_sets(model: Relaxation) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least and largest omega where each set of coefficients is used; -1 where no cell is."""
    lattice, operator = Lattice(model), model.operator
    rate = np.broadcast_to(lattice.omega, (model.depth, *model.grid.shape))
    exists = np.ones(rate.shape, np.bool_)
    if model.grid.mask is not None:
        exists &= model.grid.mask
    cells = tuple(range(1, rate.ndim))
    shared = (() if operator.is_layered else (0,)) + (() if operator.is_local else cells)
    low = np.where(exists, rate, np.inf).min(axis=shared, initial=np.inf)
    high = np.where(exists, rate, -1.0).max(axis=shared, initial=-1.0)
    return np.array(low, np.float64, order="C"), np.array(high, np.float64, order="C")


def _check_kept(
    model: Relaxation, constraint: str, trained: Mapping[str, bool], rate: NDArray[np.float64]
) -> None:
    """Refuse parameters that are kept and that a retraction would have to move."""
    for name in ("U", "D"):
        if not trained[name] and np.any(_existing(model, model.params[name])):
            fix = f"train {name} as well, or set it to 0"
            rule = f"None where {name} is kept as it is and not 0"
            refuse("constraint", rule, repr(constraint), fix=fix)
    if constraint == "monotone" and not trained["R"]:
        least = _existing(model, model.params["R"] * rate.reshape(model.params["R"].shape))
        if np.any(least < -1.0):
            fix = "train R as well, or use a smaller omega"
            refuse("constraint", "R >= -1 / omega where R is kept", repr(constraint), fix=fix)


def _check_room(
    model: Relaxation,
    constraint: str,
    bounds: Mapping[str, tuple[Array, Array]] | None,
    rate: NDArray[np.float64],
) -> None:
    """Refuse bounds that a retraction, which moves U and D towards 0, could leave."""
    if bounds is None:
        return
    for name in ("U", "D"):
        low, high = (_existing(model, side) for side in bounds[name])
        if np.any(low > 0.0) or np.any(high < 0.0):
            rule = f"with constraint={constraint!r}, bounds of {name!r} with 0 between them"
            refuse("bounds", rule, "others", fix="widen them, or leave the constraint out")
    high = bounds["R"][1]
    if constraint == "monotone" and np.any(
        _existing(model, high * rate.reshape(high.shape)) < -1.0
    ):
        rule = "with constraint='monotone', an upper bound of 'R' of at least -1 / omega"
        refuse("bounds", rule, "a lower one", fix="widen it, or leave the constraint out")


def _existing(model: Relaxation, values: Array) -> Array:
    """The entries of existing cells, of an array of the operator."""
    mask = model.grid.mask
    return values if mask is None or not model.operator.is_local else values[..., mask]


def _check_name(argument: str, name: object, model: Relaxation) -> None:
    if name not in model.params:
        rule = f"names out of {', '.join(model.params)}"
        refuse(argument, rule, repr(name), fix=model._why_no_parameter(name))


def _sides(name: str, pair: object) -> tuple[Any, Any]:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        refuse("bounds", f"a pair (low, high) for {name!r}", repr(pair), TypeError)
    return pair[0], pair[1]


def _spread(model: Relaxation, name: str, side: Any, open_end: float) -> Array:
    """One side of the bounds in the shape of the parameter."""
    shape = model.params[name].shape
    values = read_array("bounds", open_end if side is None else side)
    if values.dtype.kind not in "fiu":
        refuse("bounds", f"numbers, arrays of numbers or None for {name!r}", repr(side), TypeError)
    if np.isnan(values).any():
        refuse("bounds", f"no NaN for {name!r}", repr(side), fix="None leaves a side open")
    parameter = model._parameters[name]
    n_space = model.grid.ndim if parameter.is_field else 0
    without_cells = shape[: len(shape) - n_space]
    if n_space and values.ndim and _fits(values.shape, without_cells):
        values = values.reshape(*values.shape, *(1,) * n_space)
    if not _fits(values.shape, shape):
        rule = f"for {name!r} a number or an array that broadcasts to {shape}"
        if n_space and without_cells:
            rule += f" or, for all cells, to {without_cells}"
        refuse("bounds", rule, f"one of shape {values.shape}")
    # A bound beyond the largest float32 is open for numbers of that type.
    with np.errstate(over="ignore"):
        spread = np.array(np.broadcast_to(values, shape), model.dtype, order="C")
    readable = parameter.readable(model.grid)
    if readable is not None:
        spread[..., ~readable] = open_end
    return spread


def _fits(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, target) == target
    except ValueError:
        return False


def _check_start(name: str, start: Array, sides: tuple[Array, Array]) -> None:
    outside = np.argwhere((start < sides[0]) | (start > sides[1]))
    if not len(outside):
        return
    at = tuple(int(i) for i in outside[0])
    is_low = start[at] < sides[0][at]
    words = f"{'below' if is_low else 'above'} its bound {sides[0 if is_low else 1][at]}"
    refuse(
        "bounds",
        "a start between them",
        f"{_place(name, at)} = {start[at]}, {words}",
        fix="move it with model.with_params, or widen the bounds",
    )


def _place(name: str, index: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(map(str, index))}]" if index else name
