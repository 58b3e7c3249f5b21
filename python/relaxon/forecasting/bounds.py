"""Bounds of coefficients as the command line writes them, in the units in which they are printed.

An entry is NAME>=VALUE, NAME<=VALUE or LOW<=NAME<=HIGH with a name out of R, U and D, for all axes
or for one, as D[longitude]. A printed coefficient is an affine function of its lattice value,

    printed = scale * lattice + shift,

whose two numbers are read off the model itself: from what it prints with all parameters 0 and 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..base.validate import refuse
from ..model.relaxation import Relaxation
from ..operators import Operator
from ..physics.explain import Explanation, Process, explain
from ..physics.numbers import format_percent
from ..physics.remarks import Remark
from ..training.constraints import check_bounds

__all__ = [
    "find_bounds",
    "keep_diagonal",
    "move_into",
    "parse_bounds",
    "remarks_at_bounds",
    "remarks_on_mixed",
]

Array = NDArray[Any]
Limits = dict[tuple[str, tuple[int, ...]], tuple[float, float]]
Pair = tuple[Array, Array]

GRAMMAR = "NAME>=VALUE, NAME<=VALUE or LOW<=NAME<=HIGH with a name out of R, U and D"
_NAME = r"\s*([A-Za-z]+)\s*(?:\[([^\]]*)\])?\s*"
_SIDE = re.compile(rf"{_NAME}(<=|>=)([^<>=]*)")
_BOTH = re.compile(rf"([^<>=]*)<={_NAME}<=([^<>=]*)")


def parse_bounds(text: str, axes: Sequence[str]) -> Limits:
    """Read bounds as written on the command line.

    Parameters
    ----------
    text : str
        Entries, separated by commas.
    axes : sequence of str
        Names of the axes of space.

    Returns
    -------
    dict of (symbol, axes) to (low, high)
        Of R, of U along each axis and of D along each axis, where they are bounded; open sides are
        infinite. Mixed components of D stay free.

    Raises
    ------
    ValueError
        If an entry is no such bound, names an unknown coefficient or axis, or leaves nothing.
    """
    limits: Limits = {}
    for entry in re.split(r",(?![^\[]*\])", text):
        name, axis, low, high = _read_entry(entry)
        for key in _keys(entry, name, axis, axes):
            before = limits.get(key, (-math.inf, math.inf))
            limits[key] = max(before[0], low), min(before[1], high)
            if limits[key][0] > limits[key][1]:
                refuse("bounds", f"low <= high for {name}", repr(text))
    return limits


def _read_entry(entry: str) -> tuple[str, str | None, float, float]:
    """Name, axis, low and high."""
    side, both = _SIDE.fullmatch(entry), _BOTH.fullmatch(entry)
    if both is not None:
        low, name, axis, high = both.groups()
        return name, axis, _number(entry, low), _number(entry, high)
    if side is None:
        _refuse_entry(entry)
    name, axis, sign, value = side.groups()
    number = _number(entry, value)
    return (name, axis, number, math.inf) if sign == ">=" else (name, axis, -math.inf, number)


def _number(entry: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        _refuse_entry(entry)
    if not math.isfinite(number):
        _refuse_entry(entry)
    return number


def _refuse_entry(entry: str) -> NoReturn:
    refuse("bounds", GRAMMAR, repr(entry), fix="for instance --bounds 'D>=0', quoted for the shell")


def _keys(
    entry: str, name: str, axis: str | None, axes: Sequence[str]
) -> list[tuple[str, tuple[int, ...]]]:
    """The coefficients an entry is about."""
    if name not in ("R", "U", "D"):
        refuse("bounds", "a name out of R, U and D", repr(entry))
    if axis is not None and name == "R":
        refuse("bounds", "R without an axis", repr(entry))
    if axis is not None and axis.strip() not in axes:
        refuse("bounds", f"an axis out of {', '.join(axes)}", repr(entry))
    if name == "R":
        return [("R", ())]
    chosen = range(len(axes)) if axis is None else [list(axes).index(axis.strip())]
    return [(name, (a,) if name == "U" else (a, a)) for a in chosen]


def find_bounds(model: Relaxation, limits: Limits) -> dict[str, Pair]:
    """Bounds of parameters from those of printed coefficients.

    Parameters
    ----------
    model : Relaxation
        With an ADR or Moments operator and one omega that is not trained.
    limits : dict of (symbol, axes) to (low, high)
        As :func:`parse_bounds` reads them.

    Returns
    -------
    dict of str to pair of ndarray
        As :func:`relaxon.fit` takes them, in the shape of the parameters.

    Raises
    ------
    ValueError
        If the conversion is not exact: omega is trained or no single number, the activation has no
        slope, or the operator has no such coefficient.

    Notes
    -----
    Numerical diffusion of the scheme is not part of D, and "D>=0" does not count it.
    """
    operator = model.operator
    if not operator.has_derivatives:
        kind = type(operator).__name__.lower()
        refuse("bounds", "no value with a free matrix or stencil, which has no R, U or D", kind)
    if model.trainable_omega or model.omega.ndim:
        words = "a trained one" if model.trainable_omega else "several"
        refuse("bounds", "one omega that stays, which converts the values", words)
    own = operator.parameter_names()
    at_zero, at_one = (
        explain(model.with_params({name: np.full_like(model.params[name], v) for name in own}))
        for v in (0.0, 1.0)
    )
    if not at_zero.processes:
        refuse("bounds", "a model with a linearisation", at_zero.note)
    pairs = {
        name: tuple(np.full(model.params[name].shape, side) for side in (-np.inf, np.inf))
        for name in own
    }
    used = set()
    for process, other in zip(at_zero.processes, at_one.processes, strict=True):
        limit = limits.get((process.symbol, process.axes))
        if limit is None:
            continue
        used.add((process.symbol, process.axes))
        low, high = _to_lattice(limit, at_zero, process, other)
        name, component = _place(operator, process.axes)
        for whole, side in zip(pairs[name], (low, high), strict=True):
            _component(model, name, component, whole)[...] = side
    unknown = [symbol for symbol, axes in limits if (symbol, axes) not in used]
    if unknown:
        refuse("bounds", f"coefficients that {type(operator).__name__} has", repr(unknown[0]))
    return {
        name: (low, high)
        for name, (low, high) in pairs.items()
        if np.isfinite(low).any() or np.isfinite(high).any()
    }


def _to_lattice(
    limit: tuple[float, float], explanation: Explanation, at_zero: Process, at_one: Process
) -> Pair:
    _, factor = explanation.readable_unit(at_zero)
    shift, scale = at_zero.values, at_one.values - at_zero.values
    sides = []
    # Where a cell has no width (at a pole), and where there is none, nothing is bounded.
    exists = np.isfinite(scale) & (scale != 0.0)
    for value, is_open in zip(limit, (-np.inf, np.inf), strict=True):
        side = (value / factor - shift) / np.where(exists, scale, 1.0)
        sides.append(np.where(exists, side, is_open))
    is_turned = exists & (scale < 0.0)
    return (
        np.where(is_turned, sides[1], sides[0]),
        np.where(is_turned, sides[0], sides[1]),
    )


def _place(operator: Operator, axes: tuple[int, ...]) -> tuple[str, int]:
    """Parameter and component that hold the coefficient of a derivative."""
    return next(
        (name, i)
        for name, components in operator.components().items()
        for i, component in enumerate(components)
        if component.axes == axes
    )


def _component(model: Relaxation, name: str, component: int, values: Array) -> Array:
    """The part of an array of a parameter that belongs to one of its components."""
    axis = model._parameters[name].component_axis
    return values if axis is None else np.moveaxis(values, axis, 0)[component, ...]


def move_into(model: Relaxation, bounds: Mapping[str, Pair]) -> tuple[Relaxation, list[str]]:
    """The model with its parameters within bounds, and the names of those that have moved."""
    moved = {}
    for name, (low, high) in bounds.items():
        # As the fit will compare them: in the type of the parameter.
        start = model.params[name]
        inside = np.clip(start, low.astype(start.dtype), high.astype(start.dtype))
        if not np.array_equal(inside, start):
            moved[name] = inside
    model = model.with_params(moved)
    check_bounds(model, bounds)
    return model, list(moved)


def keep_diagonal(
    model: Relaxation, bounds: Mapping[str, Pair]
) -> tuple[Relaxation, dict[str, Pair], dict[str, NDArray[np.bool_]]]:
    """A model without mixed diffusion, and bounds that keep it so.

    Parameters
    ----------
    model : Relaxation
        With an ADR operator.
    bounds : mapping of str to pair of ndarray
        Of its other coefficients.

    Returns
    -------
    model : Relaxation
        The same with mixed components 0.
    bounds : dict of str to pair of ndarray
        With those of D.
    fixed : dict of str to ndarray of bool
        Where numbers stay as they are.

    Raises
    ------
    ValueError
        If there is one axis only.
    """
    components = model.operator.components()["D"]
    mixed = [i for i, component in enumerate(components) if len(set(component.axes or ())) == 2]
    if not mixed:
        refuse("diffusion", "'full' where space has one axis, which mixes with none", "'diagonal'")
    start = model.params["D"]
    is_fixed = np.zeros(start.shape, np.bool_)
    for component in mixed:
        _component(model, "D", component, is_fixed)[...] = True
    sides = bounds.get("D", tuple(np.full(start.shape, side) for side in (-np.inf, np.inf)))
    low, high = (np.where(is_fixed, 0.0, side) for side in sides)
    model = model.with_params({"D": np.where(is_fixed, start.dtype.type(0.0), start)})
    return model, {**bounds, "D": (low, high)}, {"D": is_fixed}


def remarks_at_bounds(
    model: Relaxation, explanation: Explanation, bounds: Mapping[str, Pair]
) -> tuple[Remark, ...]:
    """Remarks on the coefficients that a fit has left at their bounds."""
    operator = model.operator
    remarks = []
    for process in explanation.processes:
        if process.symbol not in ("R", "U", "D") or len(set(process.axes)) > 1:
            continue
        name, component = _place(operator, process.axes)
        if name not in bounds:
            continue
        values, low, high = (
            _component(model, name, component, side) for side in (model.params[name], *bounds[name])
        )
        is_bound = (values == low.astype(values.dtype)) | (values == high.astype(values.dtype))
        if is_bound.any():
            n_bounded = np.count_nonzero(np.isfinite(low) | np.isfinite(high))
            share = format_percent(float(np.count_nonzero(is_bound) / n_bounded))
            where = "" if is_bound.all() else f" in {share} of cells or layers"
            text = (
                f"at its bound of --bounds{where}: the data ask for more; a standard error assumes "
                f"a minimum without bounds"
            )
            remarks.append(Remark("at bound", process.symbol, process.axes, text))
    return tuple(remarks)


def count_trained(model: Relaxation, fixed: Mapping[str, NDArray[np.bool_]] | None) -> int:
    """Numbers that a fit is free to change."""
    n = model.n_parameters
    for name, is_fixed in (fixed or {}).items():
        readable = model._parameters[name].readable(model.grid)
        n -= int(np.count_nonzero(is_fixed if readable is None else is_fixed & readable))
    return n


def remarks_on_mixed(explanation: Explanation) -> tuple[Remark, ...]:
    """Remarks on the mixed diffusion that :func:`keep_diagonal` has kept."""
    text = "kept at 0, not fitted (relaxon fit --diffusion full frees it)"
    return tuple(
        Remark("kept", "D", process.axes, text)
        for process in explanation.processes
        if process.symbol == "D" and len(set(process.axes)) == 2
    )
