"""Inputs of a fit, with gaps and errors: what is known of them, and which targets they reach."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.validate import check_instance, refuse
from ..model.gaps import Reach, check_gaps, find_gaps, model_reach, near_gaps
from ..model.losses import Distance
from ..model.relaxation import Relaxation
from .background import Prediction, predict_gaps
from .input_errors import InputErrors, balance

__all__ = [
    "MODES",
    "Inputs",
    "broadcasts",
    "drop_targets",
    "existing_inputs",
    "fill_gaps",
    "known_inputs",
    "observed_inputs",
]

Array = NDArray[Any]

MODES = ("drop", "given", "fill", "estimate")


@dataclasses.dataclass(frozen=True, eq=False)
class Inputs:
    """What became of the inputs of a fit.

    Attributes
    ----------
    mode : {"drop", "given", "fill", "estimate"}
        As given to :func:`relaxon.fit`.
    n_gaps : int
        Missing inputs of existing cells.
    n_targets, n_left : int
        Targets that count in the loss as given, and those of them that do not read a gap.
    reach : tuple of (int, int), or None
        Cells on the low and the high side of each axis that a target reads; None without gaps.
    x : ndarray or None
        The inputs as the model saw them: gaps filled, errors estimated; None where x was taken as
        it is.
    input_error : float or ndarray, or None
        Standard deviation of observed inputs, in the unit of x.
    target_error : tuple of float, or None
        Standard deviation of targets, per layer with targets.
    is_target_error_given : bool
        False where it was found from the residuals.
    errors : InputErrors or None
        The unknowns, for standard errors.
    is_lonely : ndarray of bool, or None
        With unknown inputs, gaps of which a quarter of the neighbours or more are gaps, too:
        targets within reach of one do not count.
    n_counted : int
        Targets that count with unknown inputs.
    """

    mode: str
    n_gaps: int = 0
    n_targets: int = 0
    n_left: int = 0
    reach: Reach | None = None
    x: Array | None = dataclasses.field(default=None, repr=False)
    input_error: float | Array | None = None
    target_error: tuple[float, ...] | None = None
    is_target_error_given: bool = False
    errors: InputErrors | None = dataclasses.field(default=None, repr=False)
    is_lonely: Array | None = dataclasses.field(default=None, repr=False)
    n_counted: int = 0

    def __str__(self) -> str:
        return "\n".join(self.describe())

    def describe(self, scale: float = 1.0, unit: str = "") -> list[str]:
        """Lines on gaps, the targets that are left, and the errors that were assumed.

        Parameters
        ----------
        scale : float, default 1
            What errors are multiplied by.
        unit : str, default ""
            Their unit then.

        Returns
        -------
        list of str
            None where x was taken as it is.
        """
        lines = []
        if self.n_gaps:
            share = f"{self.n_left} of {self.n_targets} targets ({self._share:.1%})"
            verb = "count" if self.mode == "drop" else "have none within reach"
            noun = "input is" if self.n_gaps == 1 else "inputs are"
            line = f"{self.n_gaps} {noun} missing: {share} {verb}"
            if self.mode == "drop":
                line += ", the others read one"
            elif 0 < self.n_counted < self.n_targets:
                line += (
                    f", {self.n_counted} count, the others read one whose neighbours are missing, "
                    "too"
                )
            lines.append(line)
        is_unfinished = self.mode == "estimate" or (self.mode == "fill" and self.n_gaps > 0)
        if is_unfinished and self.errors is None:
            lines.append(
                "the fit ended before unknown inputs were found: coefficients are those of inputs "
                "as they are"
            )
        if self.target_error is not None:
            ending = f" {unit}".rstrip()
            origin = "as given" if self.is_target_error_given else "from the residuals"
            parts = [f"{_numbers(self.target_error, scale)}{ending} of the targets ({origin})"]
            if self.input_error is not None:
                known = _numbers(self.input_error, scale)
                parts.insert(0, f"{known}{ending} of the inputs (as given)")
            lines.append(
                f"unknown inputs were found beside the coefficients, with errors of "
                f"{' and '.join(parts)}; their ratio decides what is read as noise, and pairs do "
                "not tell it"
            )
        return lines

    @property
    def is_estimated(self) -> bool:
        """Whether observed inputs were unknowns, too."""
        return self.mode == "estimate" and self.errors is not None

    @property
    def _share(self) -> float:
        return self.n_left / self.n_targets if self.n_targets else 0.0


def known_inputs(
    model: Relaxation, data: tuple[Any, Any], loss: Distance, inputs: Inputs | None
) -> tuple[tuple[Any, Any], Distance]:
    """Data and loss that a fit has seen: gaps filled or left out, inputs as they are known.

    Parameters
    ----------
    model : Relaxation
        The fitted model.
    data : (x, y)
        As given to the fit.
    loss : Distance
        As given to the fit.
    inputs : Inputs, optional
        Of the fit; without it, targets with a gap within the model's reach do not count.

    Returns
    -------
    data, loss
        Without gaps.
    """
    if inputs is not None:
        check_instance("inputs", inputs, Inputs)
    if not isinstance(data, tuple | list) or len(data) != 2:
        return data, loss
    x, y = data
    if inputs is not None and inputs.errors is not None:
        assert inputs.target_error is not None
        known = inputs.errors.x
        if np.shape(x) != known.shape:
            refuse("inputs", "those of a fit to these data", f"{known.shape}, x {np.shape(x)}")
        is_other = observed_inputs(model, known, find_gaps(model, x)) & (np.asarray(x) != known)
        if is_other.any():
            place = tuple(int(i) for i in np.argwhere(is_other)[0])
            values = f"{known[place]} where x has {np.asarray(x)[place]}, at index {place}"
            refuse("inputs", "those of a fit to these data", values)
        if inputs.is_lonely is not None:
            loss, _, _ = drop_targets(model, inputs.is_lonely, y, loss, inputs.reach or ())
        return (known, y), balance(model, known, y, loss, inputs.target_error)[0]
    gaps = find_gaps(model, x)
    if gaps is None or (inputs is not None and inputs.mode == "given"):
        return data, loss
    check_gaps(model)
    reach = model_reach(model) if inputs is None or inputs.reach is None else inputs.reach
    own, n_targets, n_left = drop_targets(model, gaps, y, loss, reach)
    if inputs is None and n_targets and not n_left:
        fix = "give the inputs of the fit, fit.inputs"
        refuse("x", "targets without a gap within reach", f"none of {n_targets}", fix=fix)
    return (fill_gaps(model, x, gaps)[0], y), own


def drop_targets(
    model: Relaxation, gaps: NDArray[np.bool_], y: Any, loss: Distance, reach: Reach
) -> tuple[Distance, int, int]:
    """A loss that leaves out targets with a gap within reach.

    Parameters
    ----------
    model : Relaxation
        Its grid.
    gaps : ndarray of bool
        Where inputs are missing, of x's shape.
    y : array
        Targets.
    loss : Distance
        The loss as given.
    reach : tuple of (int, int)
        Per axis.

    Returns
    -------
    loss : Distance
        With weights of y's shape; those that are left have the sum that all had, so that loss and
        penalties keep their proportion.
    n_targets, n_left : int
        Targets of existing cells that counted before, and those left; where none are, the loss is
        as given.
    """
    grid, shape = model.grid, np.shape(y)
    near = near_gaps(gaps, reach, grid)
    if loss.at is not None:
        near = np.expand_dims(near, near.ndim - grid.ndim)
    given = np.ones((), np.bool_) if loss.weights is None else loss.weights
    if not broadcasts(given.shape, shape) or not broadcasts(near.shape, shape):
        # Not of one shape: the descent says so.
        return loss, 0, 0
    weights = np.where(np.broadcast_to(near, shape), given.dtype.type(0), given)
    counts = np.broadcast_to(given > 0, shape)
    exists = np.ones(grid.shape, np.bool_) if grid.mask is None else grid.mask
    n_targets = int(np.count_nonzero(counts & exists))
    n_left = int(np.count_nonzero((weights > 0) & exists))
    if n_left in (0, n_targets):
        return loss, n_targets, n_left
    total = np.sum(np.broadcast_to(given, shape), where=exists, dtype=np.float64)
    kept = np.sum(weights, where=exists, dtype=np.float64)
    return loss.with_weights((weights * (total / kept)).astype(model.dtype)), n_targets, n_left


def broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Whether an array of the one shape broadcasts to the other."""
    return len(shape) <= len(target) and all(
        n in (1, m) for n, m in zip(shape[::-1], target[::-1], strict=False)
    )


def fill_gaps(
    model: Relaxation, x: Any, gaps: NDArray[np.bool_], error: float = 0.0
) -> tuple[Array, Prediction]:
    """Inputs with predicted gaps, of the model's type, and the prediction."""
    array = np.asarray(x)
    is_read = ~gaps if model.grid.mask is None else ~gaps & model.grid.mask
    if not is_read.any():
        refuse("x", "at least one value", "none: all values are missing")
    known = model._check_input(np.where(is_read, array, array.dtype.type(0)))
    shape = (-1, *model.grid.shape)
    prediction = predict_gaps(known.reshape(shape), gaps.reshape(shape), model.grid, error)
    return prediction.filled.astype(model.dtype).reshape(array.shape), prediction


def existing_inputs(model: Relaxation, x: Array) -> NDArray[np.bool_]:
    """Where inputs belong to existing cells."""
    mask = model.grid.mask if model.lift is None else None
    return np.broadcast_to(np.ones((), np.bool_) if mask is None else mask, x.shape)


def observed_inputs(model: Relaxation, x: Any, gaps: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Where inputs of existing cells have values."""
    exists = existing_inputs(model, np.asarray(x))
    return exists if gaps is None else exists & ~gaps


def _numbers(value: Any, scale: float) -> str:
    values = np.unique(scale * np.asarray(value, np.float64))
    # An array of errors may hold anything where x has no value.
    values = values[values > 0.0]
    texts = [f"{v:.4g}" for v in values[[0, -1]]]
    return " to ".join(dict.fromkeys(texts))
