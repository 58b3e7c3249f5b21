"""How each kind of optimizer takes its steps: by default the core takes them."""

from __future__ import annotations

import functools
from typing import Protocol

from .descent import Descent
from .optimizers import Optimizer

__all__ = ["Follower", "take_steps"]


class Follower(Protocol):
    """What happens after steps.

    Attributes
    ----------
    n_steps : int
        Most steps.
    """

    n_steps: int

    @property
    def stride(self) -> int:
        """Steps until it wants to be called."""

    def __call__(self) -> bool:
        """Write, show and call; whether to stop."""


@functools.singledispatch
def take_steps(optimizer: Optimizer, descent: Descent, follower: Follower) -> str:
    """Steps until the end.

    Parameters
    ----------
    optimizer : Optimizer
        Its kind decides who takes them.
    descent : Descent
        The descent.
    follower : Follower
        Called after steps.

    Returns
    -------
    str
        How it ended.
    """
    found = "running"
    while found == "running":
        before = descent.step
        found = descent.advance(follower.stride)
        if descent.step > before and follower():
            found = "callback"
    return found
