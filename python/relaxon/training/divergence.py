"""Where and why the numbers of a fit ran away."""

from __future__ import annotations

import warnings
from typing import Any, NoReturn

import numpy as np

from .. import _core
from ..model.relaxation import Relaxation
from ..physics.stability_words import describe_start, stability_number
from .descent import Descent
from .optimizers import Optimizer

__all__ = ["DivergenceError", "diverge", "warn_of_start"]


class DivergenceError(ArithmeticError):
    """The loss or its gradient is no longer finite and no step is left.

    Attributes
    ----------
    step : int
        Number of the step that failed.
    layer : int
        First layer whose state is not finite; where all are, the one with the largest.
    cell : tuple of int
        The cell there; empty where an implicit layer did not solve.
    model : Relaxation
        The model before the step.
    """

    def __init__(
        self, message: str, step: int, layer: int, cell: tuple[int, ...], model: Relaxation
    ) -> None:
        super().__init__(message)
        self.step = step
        self.layer = layer
        self.cell = cell
        self.model = model

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.step, self.layer, self.cell, self.model)


def warn_of_start(model: Relaxation) -> None:
    """Say where training starts over a bound of explicit layers, to the caller of `fit`."""
    found = describe_start(model)
    if found:
        text = f"training starts over a bound of explicit layers: {found}"
        warnings.warn(text, UserWarning, stacklevel=5)


def diverge(descent: Descent, optimizer: Optimizer) -> NoReturn:
    """Find where the numbers ran away, and say which bound was exceeded and what helps."""
    model = descent.model("previous")
    try:
        place = descent.find_extreme()
    except (_core.LayerError, _core.AttractorError) as error:
        message = f"diverged at step {descent.step + 1}: {error}; {optimizer._cure}"
        layer = getattr(error, "layer", 0)
        raise DivergenceError(message, descent.step + 1, layer, (), model) from None
    cell = tuple(int(i) for i in np.unravel_index(place.cell, model.grid.shape))
    step = descent.step + 1
    if unsolved := descent.unsolved():
        message = f"diverged at step {step}: {unsolved}; {optimizer._cure}"
        raise DivergenceError(message, step, place.layer, cell, model)
    what = "the state is"
    if place.is_finite:
        what = "the gradient is"
        if optimizer._is_line_search:
            what = "the gradient, or the loss of every trial step, is"
    message = (
        f"diverged at step {step}: {what} not finite (layer {place.layer}, cell {cell}, sample "
        f"{place.sample}); {_stability(descent, place)}; {_cure(descent, optimizer, place)}"
    )
    raise DivergenceError(message, step, place.layer, cell, model)


def _stability(descent: Descent, place: _core.Extreme) -> str:
    """The bound that the present parameters exceed; without one, how fast the state grows."""
    grown = f"|z| grew {place.growth:.3g} times in that layer"
    if "scheme" not in descent.start.operator.settings():
        return grown
    known = stability_number(descent.start, descent.arrays("parameters"))
    return known or f"{grown}, over no stability bound"


def _cure(descent: Descent, optimizer: Optimizer, place: _core.Extreme) -> str:
    """What helps: a rate only where the caller has set one and a step was tried."""
    is_start = descent.step == 0 and not (place.is_finite and optimizer._is_line_search)
    if is_start:
        return (
            "start from smaller parameters (model.with_params), use fewer layers or scale x and y"
        )
    return optimizer._cure
