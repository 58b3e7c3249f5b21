"""Progress of a fit: a bar, a line, or a function of the caller."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Protocol

import numpy as np

from ..base.validate import refuse
from .history import State

__all__ = ["Progress", "make_progress"]


class Progress(Protocol):
    """What is called with the state of a fit, and put away at its end."""

    def __call__(self, state: State) -> None:
        """Show the state."""

    def close(self) -> None:
        """Put it away."""


def _losses(state: State) -> str:
    text = f"loss {state.loss:.6g}"
    if np.isfinite(state.validation_loss):
        text += f", validation loss {state.validation_loss:.6g}"
    return text


class _Line:
    """Progress without rich: one line on stderr."""

    def __call__(self, state: State) -> None:
        text = f"\rstep {state.step} of {state.steps}, {_losses(state)}, {state.seconds:.1f} s"
        print(text, end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        print(file=sys.stderr)


class _Bar:
    """Progress with rich."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = ("step {task.completed} of {task.total}", "{task.fields[losses]}")
        texts = [TextColumn(column) for column in columns]
        self._bar = Bar(
            texts[0], BarColumn(), texts[1], TimeRemainingColumn(), console=Console(stderr=True)
        )
        self._task = self._bar.add_task("fit", total=None, losses="")
        self._bar.start()

    def __call__(self, state: State) -> None:
        self._bar.update(self._task, completed=state.step, total=state.steps, losses=_losses(state))

    def close(self) -> None:
        self._bar.stop()


class _Function:
    """Progress by a function of the caller."""

    def __init__(self, function: Callable[[State], object]) -> None:
        self._function = function

    def __call__(self, state: State) -> None:
        self._function(state)

    def close(self) -> None:
        """Nothing is left to put away."""


def make_progress(progress: bool | Callable[[State], object]) -> Progress | None:
    """What the argument of `fit` asks for."""
    if progress is False:
        return None
    if callable(progress):
        return _Function(progress)
    if progress is not True:
        refuse("progress", "True, False or a function", repr(progress), TypeError)
    try:
        return _Bar()
    except ImportError:
        return _Line()
