"""What a fit has gone through: its values per step, its state and how it ended."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..model.relaxation import Relaxation

__all__ = ["History", "State", "Status"]


class Status(enum.Enum):
    """How a fit ended; the value is the message."""

    CONVERGED = "converged: the gradient is small enough, or no step lowers the loss any more"
    STALLED = "stalled: no parameter changes the output"
    STEPS = "stopped after the number of steps that was asked for"
    PATIENCE = "stopped: the validation loss has not improved for `patience` steps"
    CALLBACK = "stopped by a callback"
    INTERRUPTED = "interrupted by Ctrl-C"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class History:
    """One entry per step taken, with values at its start.

    Attributes
    ----------
    loss, penalty, validation_loss, gradient_norm : array of float64
        Loss without penalties, of the samples that the step saw; the penalties; the loss on the
        validation data (NaN without, and inside an epoch of mini-batches); the norm of the gradient
        of loss and penalties over the trained parameters, without what points out of the bounds.
    rate : array of float64
        Rate of the step (the largest where they differ by parameter).
    """

    loss: NDArray[np.float64]
    penalty: NDArray[np.float64]
    validation_loss: NDArray[np.float64]
    gradient_norm: NDArray[np.float64]
    rate: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.loss)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, History):
            return NotImplemented
        return all(
            np.array_equal(getattr(self, f.name), getattr(other, f.name), equal_nan=True)
            for f in dataclasses.fields(self)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        if not len(self):
            return "History(0 steps)"
        return f"History({len(self)} steps, loss {self.loss[0]:.6g} to {self.loss[-1]:.6g})"


@dataclasses.dataclass(frozen=True, eq=False)
class State:
    """What callbacks and progress functions see.

    Attributes
    ----------
    step, steps : int
        Steps taken, and most steps.
    loss, validation_loss : float
        At the start of the last step.
    seconds : float
        Wall time so far.
    model : Relaxation
        The model after the last step. It is made when it is read: a state that is kept gives that
        of the fit as it has gone on, so keep the model.
    """

    step: int
    steps: int
    loss: float
    validation_loss: float
    seconds: float
    _read: Callable[[], Relaxation] = dataclasses.field(repr=False)

    @property
    def model(self) -> Relaxation:
        """The model after the last step."""
        return self._read()
