"""Fits to inputs with gaps and errors.

Errors of x bias what is learned, at any number of samples: a target far from W x pulls the weights
towards whatever makes x matter less. Four ways to treat them:

    given      x is taken as it is
    drop       targets within reach of a gap do not count
    fill       gaps are unknowns beside the parameters
    estimate   all inputs are unknowns beside the parameters

How unknown inputs are weighed against the targets stands in `input_errors`.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.validate import check_instance, check_number, read_array, refuse
from ..inputs.input_errors import InputErrors, balance, find_target_errors
from ..inputs.inputs import (
    Inputs,
    broadcasts,
    drop_targets,
    existing_inputs,
    fill_gaps,
    observed_inputs,
)
from ..model.gaps import Reach, check_gaps, find_gaps, model_reach, stencil_reach
from ..model.losses import Distance, SquaredDistance
from ..model.relaxation import Relaxation
from .history import Status
from .result import Fit

__all__ = ["drop_validation", "fit_inputs"]

Array = NDArray[Any]
Data = tuple[Any, ...]

# Below this share of targets that are left, dropping is a poor choice.
LEAST_SHARE = 0.25
# Share of the neighbours of a gap: with as many missing, its prediction does not stand on its own.
MOST_MISSING = 0.25
# Of the spread of a gap: its smallest standard deviation, in those of all inputs.
LEAST_SPREAD = 1e-6


Run = Callable[[Relaxation, Array, Any, Distance, Any, InputErrors | None], tuple[Fit, Array]]


def fit_inputs(
    run: Run,
    model: Relaxation,
    x: Any,
    y: Any,
    loss: Distance,
    validation: Data | None,
    mode: str,
    input_error: Any,
    target_error: Any,
) -> Fit:
    """Fit to inputs treated in one of the four ways.

    Parameters
    ----------
    run : function
        One descent: (model, x, y, loss, validation, errors) to the fit and the inputs it ended
        with.
    model, x, y, loss, validation, mode, input_error, target_error
        As for :func:`relaxon.fit`.

    Returns
    -------
    Fit
        That of the last descent, with its `inputs`.
    """
    check_instance("loss", loss, Distance)
    _check_errors(mode, input_error, target_error, loss)
    gaps = find_gaps(model, x)
    if gaps is not None and mode == "given":
        first = tuple(int(i) for i in np.argwhere(gaps)[0])
        refuse(
            "x",
            "no gaps (NaN) with inputs='given'",
            f"{np.count_nonzero(gaps)}: nan first at index {first}",
            fix="inputs='drop' leaves out targets that read one",
        )
    is_free = mode == "estimate" or (mode == "fill" and gaps is not None)
    # Before anything is trained.
    error, targets = None, None
    if is_free:
        if model.lift is not None or model.readout is not None:
            rule = "'drop' or 'given' with a lift or a readout: unknown inputs are fields"
            refuse("inputs", rule, repr(mode))
        if gaps is None:
            x = model._check_input(x)
        if input_error is not None:
            error = _check_input_error(input_error, observed_inputs(model, x, gaps))
        if target_error is not None:
            targets = _check_target_error(target_error, 1 if loss.at is None else len(loss.at))
    if validation is not None and mode != "given":
        validation = drop_validation(model, validation, loss)
    if gaps is None:
        fitted, _ = run(model, x, y, loss, validation, None)
        inputs = Inputs(mode)
    else:
        check_gaps(model)
        filled, _ = fill_gaps(model, x, gaps)
        fitted, inputs = _fit_dropped(run, model, filled, gaps, y, loss, validation, mode)
    if is_free and fitted.status not in (Status.INTERRUPTED, Status.CALLBACK):
        fitted, inputs = _fit_free(
            run, fitted, inputs, x, y, loss, validation, gaps, error, targets
        )
    return dataclasses.replace(fitted, inputs=inputs)


def _check_errors(mode: str, input_error: Any, target_error: Any, loss: Distance) -> None:
    if mode == "estimate" and input_error is None:
        refuse(
            "input_error",
            "the standard deviation of the errors of x with inputs='estimate'",
            "None",
            fix="pairs do not tell it; take that of the instrument, in the unit of x",
        )
    for name, value, modes in (
        ("input_error", input_error, ("estimate",)),
        ("target_error", target_error, ("estimate", "fill")),
    ):
        if value is not None and mode not in modes:
            wanted = " or ".join(map(repr, modes))
            got = (
                f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else repr(value)
            )
            refuse(name, f"None unless inputs is {wanted}", got, fix="leave it out")
    if mode in ("estimate", "fill") and not isinstance(loss, SquaredDistance):
        refuse("loss", f"a SquaredDistance with inputs={mode!r}", repr(loss), TypeError)


def _fit_dropped(
    run: Run,
    model: Relaxation,
    x: Array,
    gaps: NDArray[np.bool_],
    y: Any,
    loss: Distance,
    validation: Data | None,
    mode: str,
) -> tuple[Fit, Inputs]:
    """Once with the reach of the stencil and, where the model's is larger, once more with that."""
    n_gaps = int(np.count_nonzero(gaps))

    def run_within(reach: Reach, start: Relaxation) -> tuple[Fit, Inputs]:
        own, n_targets, n_left = drop_targets(model, gaps, y, loss, reach)
        if n_targets and not n_left and mode == "drop":
            refuse(
                "x",
                "targets without a gap within reach",
                f"none of {n_targets}",
                fix="use inputs='estimate' or 'fill', which need none, or fill the gaps",
            )
        fitted, states = run(start, x, y, own, validation, None)
        return fitted, Inputs(mode, n_gaps, n_targets, n_left, reach, states)

    fitted, inputs = run_within(stencil_reach(model), model)
    wider = model_reach(fitted.model)
    is_ended = fitted.status in (Status.INTERRUPTED, Status.CALLBACK)
    # A reach that would leave nothing to learn from is none.
    if not is_ended and wider != inputs.reach and drop_targets(model, gaps, y, loss, wider)[2]:
        fitted, inputs = run_within(wider, fitted.model)
    n_targets, n_left = inputs.n_targets, inputs.n_left
    if mode == "drop" and n_left < LEAST_SHARE * n_targets:
        warnings.warn(
            f"argument 'x': {n_left} of {n_targets} targets ({n_left / n_targets:.1%}) are left, "
            f"as the others read one of {inputs.n_gaps} gaps; inputs='estimate' or 'fill' use all",
            UserWarning,
            stacklevel=4,
        )
    return fitted, inputs


def drop_validation(model: Relaxation, validation: Data, loss: Distance) -> Data:
    """Validation data whose targets near gaps do not count; its inputs are never estimated."""
    if not isinstance(validation, tuple | list) or len(validation) not in (2, 3):
        # The descent says so.
        return validation
    try:
        gaps = find_gaps(model, validation[0])
        if gaps is None:
            return validation
        filled, _ = fill_gaps(model, validation[0], gaps)
    except (TypeError, ValueError) as error:
        raise type(error)(f"argument 'validation': {error}") from None
    check_gaps(model, "validation")
    shared = loss.weights is not None and loss.weights.shape == model.output_shape
    weights = validation[2] if len(validation) == 3 else loss.weights if shared else None
    own = loss.with_weights(weights)
    reach = stencil_reach(model)
    dropped, n_targets, n_left = drop_targets(model, gaps, validation[1], own, reach)
    if n_targets and not n_left:
        refuse("validation", "targets without a gap of x within reach", f"none of {n_targets}")
    return filled, validation[1], dropped.weights


def _fit_free(
    run: Run,
    base: Fit,
    inputs: Inputs,
    x: Any,
    y: Any,
    loss: Distance,
    validation: Data | None,
    gaps: NDArray[np.bool_] | None,
    error: float | Array | None,
    given: tuple[float, ...] | None,
) -> tuple[Fit, Inputs]:
    """Parameters and unknown inputs together, from a fit without targets near gaps."""
    model = base.model
    x, spread, links, is_lonely = _know_inputs(model, x, gaps, error)
    near, n_counted = loss, 0
    if gaps is not None:
        assert inputs.reach is not None
        near, _, _ = drop_targets(model, gaps, y, loss, inputs.reach)
        loss, _, n_counted = drop_targets(model, is_lonely, y, loss, inputs.reach)
    errors = given
    if errors is None:
        errors = find_target_errors(model, x, y, near, spread, error is not None)
    own, strength = balance(model, x, y, loss, errors)
    unknowns = InputErrors(x, spread, strength, *links)
    fitted, states = run(model, x, y, own, validation, unknowns)
    return fitted, dataclasses.replace(
        inputs,
        x=states,
        input_error=error,
        target_error=errors,
        is_target_error_given=given is not None,
        errors=unknowns,
        is_lonely=is_lonely,
        n_counted=n_counted,
    )


def _know_inputs(
    model: Relaxation, x: Any, gaps: NDArray[np.bool_] | None, error: float | Array | None
) -> tuple[Array, Array, tuple[NDArray[np.int64], NDArray[np.int64], Array], Any]:
    """What is known of the inputs, its standard deviation, how gaps move, and lonely gaps.

    Gaps are predicted one by one. What is left of neighbouring ones is not independent: taken for
    that, it would leave the inside of a cloud to the targets, which overcorrects.
    """
    links = (np.empty(0, np.int64), np.empty((0, 0), np.int64), np.empty((0, 0), model.dtype))
    is_observed = observed_inputs(model, x, gaps)
    spread = np.zeros(is_observed.shape)
    if error is not None:
        spread[is_observed] = np.broadcast_to(error, spread.shape)[is_observed]
    is_lonely = None
    if gaps is not None:
        mean_error = float(np.sqrt(np.mean(spread[is_observed] ** 2)))
        x, found = fill_gaps(model, x, gaps, mean_error)
        least = LEAST_SPREAD * float(np.std(x, where=existing_inputs(model, x), dtype=np.float64))
        spread.ravel()[found.gaps] = np.maximum(np.sqrt(found.variance), least)
        is_lonely = np.zeros(gaps.shape, np.bool_)
        n_most = MOST_MISSING * found.neighbours.shape[1]
        is_lonely.ravel()[found.gaps] = found.n_missing >= n_most
        if error is not None:
            links = (found.gaps, found.neighbours, found.factors.astype(model.dtype))
    return x, spread.astype(model.dtype), links, is_lonely


def _check_input_error(value: Any, is_observed: NDArray[np.bool_]) -> float | Array:
    shape = is_observed.shape
    if np.ndim(value) == 0 and not isinstance(value, np.ndarray):
        return check_number("input_error", value, 0.0, is_open=True)
    error = read_array("input_error", value)
    if error.dtype.kind not in "fiu":
        refuse("input_error", "real numbers", f"an array of {error.dtype}", TypeError)
    error = error.astype(np.float64)
    if not broadcasts(error.shape, shape):
        refuse("input_error", f"one number, or an array that broadcasts to {shape}", error.shape)
    read = np.broadcast_to(error, shape)[is_observed]
    is_wrong = ~(np.isfinite(read) & (read > 0.0))
    if is_wrong.any():
        refuse("input_error", "finite numbers above 0 where x has values", read[is_wrong][0])
    return error


def _check_target_error(value: Any, n_layers: int) -> tuple[float, ...]:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    values = value if isinstance(value, tuple | list) else [value] * n_layers
    if len(values) != n_layers:
        refuse("target_error", f"one number, or {n_layers}, one per layer of `at`", repr(value))
    return tuple(check_number("target_error", v, 0.0, is_open=True) for v in values)
