"""Fits that find out how many layers they need.

The loss of all states on the way, at layers 1, 2, 4, .., L, is lowered first: a network whose every
state is a forecast can be cut anywhere. The profile of its losses then tells where, and what is
left of the steps goes to the network of that depth.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.validate import check_choice, check_number, check_states, refuse
from ..dynamics.depth_profile import DepthProfile, depth_profile
from ..inputs.inputs import drop_targets
from ..model.gaps import find_gaps
from ..model.losses import Distance
from ..model.relaxation import Relaxation
from .constraints import Bounds
from .history import Status
from .result import Fit
from .unknown_inputs import drop_validation

__all__ = ["check_depth_choice", "fit_depth", "spread_depths"]

Array = NDArray[Any]
Data = tuple[Any, ...]

# Model, targets, loss, validation, bounds and steps of one of the two fits.
FitOnce = Callable[[Relaxation, Any, Distance, Data | None, Bounds | None, int], Fit]


def check_depth_choice(
    model: Relaxation, depth: object, tolerance: object, steps: int, loss: object, mode: str
) -> float:
    """Refuse what a fit cannot choose a depth with.

    Parameters
    ----------
    model, depth, steps, loss, mode
        As for :func:`relaxon.fit`; the mode is that of the inputs.
    tolerance : float
        Its ``depth_tolerance``.

    Returns
    -------
    float
        The tolerance.
    """
    if not isinstance(depth, str):
        fix = "a model has its depth: Relaxation(depth=), model.truncate(depth)"
        refuse("depth", "None or 'auto'", repr(depth), TypeError, fix)
    check_choice("depth", depth, ("auto",))
    model._check_layers("depth='auto'")
    if model.depth < 2:
        fix = "give the model the largest depth that may be needed"
        refuse("model", "2 layers or more with depth='auto'", model.depth, fix=fix)
    if steps < 2:
        refuse("steps", "2 or more with depth='auto', which fits twice", steps)
    if isinstance(loss, Distance) and loss.at is not None:
        fix = "leave out `at`: it lowers the loss at layers 1, 2, 4 and so on"
        refuse("loss", "one without layers of its own with depth='auto'", repr(loss), fix=fix)
    if mode in ("fill", "estimate"):
        fix = "choose the depth with inputs='drop', then fit its model with depth=None"
        refuse("inputs", "'drop' or 'given' with depth='auto'", repr(mode), fix=fix)
    return check_number("depth_tolerance", tolerance, 0.0)


def fit_depth(
    fit_once: FitOnce,
    model: Relaxation,
    x: Any,
    y: Any,
    loss: Distance,
    validation: Data | None,
    bounds: Bounds | None,
    steps: int,
    tolerance: float,
    mode: str,
    threads: int | None,
) -> Fit:
    """Fit twice: all layers, then those that are needed.

    Parameters
    ----------
    fit_once : function
        One fit.
    model, x, y, loss, validation, bounds, steps, mode, threads
        As for :func:`relaxon.fit`.
    tolerance : float
        By which part the loss may exceed the least one.

    Returns
    -------
    Fit
        The second one, with the depth and the profile that it was chosen by; the first where that
        was interrupted.
    """
    states = check_states("x", x, model.input_shape, model.dtype)
    model._check_target("y", y, states, loss)
    axis = len(model._lead(states))
    at = spread_depths(model.depth)

    def spread(values: Any) -> Array:
        """The same at every layer with a target."""
        return np.repeat(np.expand_dims(np.asarray(values), axis), len(at), axis=axis)

    def spread_weights(weights: Any) -> Any:
        is_shared = weights is None or np.shape(weights) != np.shape(y)
        return weights if is_shared else spread(weights)

    def spread_validation(data: Data | None) -> Data | None:
        if not isinstance(data, tuple | list) or len(data) not in (2, 3):
            # The descent says so.
            return data
        own = np.shape(data[1])
        weights = [spread(w) if np.shape(w) == own else w for w in data[2:]]
        return (data[0], spread(data[1]), *weights)

    everywhere = loss._with(spread_weights(loss.weights), at)
    held_out = spread_validation(validation)
    first = fit_once(model, spread(y), everywhere, held_out, bounds, steps // 2)
    if first.status in (Status.INTERRUPTED, Status.CALLBACK):
        message = f"{first.message}, before a depth was chosen"
        return dataclasses.replace(first, message=message)
    samples = _profile_samples(first, x, y, loss, validation, mode)
    profile = depth_profile(first.model, *samples, threads=threads)
    depth = _choose(profile, tolerance)
    rest = steps - len(first.history)
    own_bounds = _cut_bounds(model, bounds, depth)
    second = fit_once(first.model.truncate(depth), y, loss, validation, own_bounds, rest)
    message = f"{second.message}; depth {depth} chosen out of 1 to {model.depth}"
    return dataclasses.replace(second, message=message, depth=depth, depth_profile=profile)


def spread_depths(depth: int) -> tuple[int, ...]:
    """1, 2, 4, .. and the last."""
    powers = [2**k for k in range(depth.bit_length()) if 2**k < depth]
    return (*powers, depth)


def _choose(profile: DepthProfile, tolerance: float) -> int:
    """The shallowest network whose loss exceeds the least one by no more than that part."""
    losses = profile.loss[1:]
    return 1 + int(np.argmax(losses <= (1.0 + tolerance) * losses.min()))


def _profile_samples(
    fitted: Fit, x: Any, y: Any, loss: Distance, validation: Data | None, mode: str
) -> tuple[Any, Any, Distance]:
    """Inputs, targets and loss by which the depth is chosen."""
    model = fitted.model
    if validation is not None:
        data = validation if mode == "given" else drop_validation(model, validation, loss)
        is_shared = loss.weights is not None and loss.weights.shape == model.output_shape
        weights = data[2] if len(data) == 3 else loss.weights if is_shared else None
        return data[0], data[1], loss.with_weights(weights)
    gaps = find_gaps(model, x)
    if gaps is None:
        return x, y, loss
    inputs = fitted.inputs
    assert inputs is not None
    assert inputs.reach is not None
    return inputs.x, y, drop_targets(model, gaps, y, loss, inputs.reach)[0]


def _cut_bounds(model: Relaxation, bounds: Bounds | None, depth: int) -> Bounds | None:
    """Bounds of the first layers alone, where they are given per layer."""
    if bounds is None:
        return None
    cut: dict[str, Any] = {}
    for name, sides in bounds.items():
        parameter = model._parameters[name]
        n_axes = len(parameter.shape)
        cut[name] = tuple(
            side[:depth]
            if parameter.is_layered
            and isinstance(side, np.ndarray)
            and side.ndim == n_axes
            and len(side) == model.depth
            else side
            for side in sides
        )
    return cut
