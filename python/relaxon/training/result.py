"""What a fit gives."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..dynamics.depth_profile import DepthProfile
from ..inputs.inputs import Inputs
from ..model.relaxation import Relaxation
from .history import History, Status

__all__ = ["Fit"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Fit:
    """Result of :func:`fit`.

    Two are equal where all but the time is.

    Attributes
    ----------
    model : Relaxation
        The best on the validation data where given, else the last; with estimated inputs the last.
    history : History
        Values per step.
    status : Status
        How it ended.
    message : str
        The same in words; where it has stalled, with the scale of x and y.
    seconds : float
        Wall time.
    inputs : Inputs or None
        What became of gaps and errors in x.
    depth : int or None
        Layers that were chosen with ``depth="auto"``: those of the model. None without, and where
        the fit was stopped before: then the model has all layers.
    depth_profile : DepthProfile or None
        What they were chosen by: the deep network before it was cut.
    """

    model: Relaxation
    history: History
    status: Status
    message: str
    seconds: float
    inputs: Inputs | None = None
    depth: int | None = None
    depth_profile: DepthProfile | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Fit):
            return NotImplemented
        return (self.model, self.history, self.status, self.message, self.depth) == (
            other.model,
            other.history,
            other.status,
            other.message,
            other.depth,
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        history = self.history
        parts = [f"status={self.status.name}", f"steps={len(history)}"]
        if len(history):
            parts.append(f"loss={history.loss[-1]:.6g}")
            if history.penalty.any():
                parts.append(f"penalty={history.penalty[-1]:.6g}")
        if np.isfinite(history.validation_loss).any():
            has_last = self.inputs is not None and self.inputs.is_estimated
            own = history.validation_loss[-1] if has_last else np.nanmin(history.validation_loss)
            parts.append(f"validation_loss={own:.6g}")
        if self.depth is not None:
            parts.append(f"depth={self.depth}")
        parts += [f"seconds={self.seconds:.3g}", f"model={self.model!r}"]
        return f"Fit({', '.join(parts)})"
