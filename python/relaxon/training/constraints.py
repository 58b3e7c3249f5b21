"""Which parameters a fit may change, and between which bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..base.validate import read_array, refuse
from ..model.relaxation import Relaxation

__all__ = ["Bound", "Bounds", "check_bounds", "check_trainable"]

Array = NDArray[Any]
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
