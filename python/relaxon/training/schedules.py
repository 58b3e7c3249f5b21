"""Learning-rate schedules: functions of the step number whose value multiplies the rate."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..base.scalars import check_integer, check_number, refuse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CosineDecay", "ExponentialDecay", "Schedule"]

Schedule = Callable[[int], float]


@dataclasses.dataclass(frozen=True)
class ExponentialDecay:
    """Factor decay^(step / every): the rate falls to `decay` of itself every so many steps.

    Parameters
    ----------
    decay : float, above 0 and at most 1
        What is left of the rate after `every` steps.
    every : int, default 1
        Steps.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range.

    Examples
    --------
    >>> import relaxon as rx
    >>> rx.ExponentialDecay(0.5, every=100)(200)
    0.25
    """

    decay: float
    every: int = 1

    def __post_init__(self) -> None:
        decay = check_number("decay", self.decay, 0.0, is_open=True)
        if decay > 1.0:
            refuse("decay", "a number of at most 1", decay)
        object.__setattr__(self, "decay", decay)
        check_integer("every", self.every, 1)

    def __call__(self, step: int) -> float:
        """The factor of a step, counted from 0.

        Parameters
        ----------
        step : int
            Steps taken before.

        Returns
        -------
        float
            What the rate is multiplied with.

        Examples
        --------
        >>> import relaxon as rx
        >>> rx.ExponentialDecay(0.5)(1)
        0.5
        """
        return float(self.decay ** (step / self.every))


@dataclasses.dataclass(frozen=True)
class CosineDecay:
    """From 1 down to `floor` along half a cosine, after an optional linear warm-up.

    Factor (step + 1) / (warmup + 1) during the warm-up, then floor + (1 - floor) (1 + cos(pi k /
    steps)) / 2 with k steps after it, and `floor` from k = steps on.

    Parameters
    ----------
    steps : int
        Length of the descent from 1 to `floor`.
    floor : float, in [0, 1], default 0
        The last factor.
    warmup : int, default 0
        Steps before, with rising factors.

    Raises
    ------
    TypeError, ValueError
        If a number is out of range.

    References
    ----------
    I. Loshchilov, F. Hutter, ICLR 2017, arXiv:1608.03983, eq. 5.

    Examples
    --------
    >>> import relaxon as rx
    >>> schedule = rx.CosineDecay(100, floor=0.1, warmup=3)
    >>> [schedule(step) for step in (0, 1, 3, 103, 500)]
    [0.25, 0.5, 1.0, 0.1, 0.1]
    """

    steps: int
    floor: float = 0.0
    warmup: int = 0

    def __post_init__(self) -> None:
        check_integer("steps", self.steps, 1)
        check_integer("warmup", self.warmup, 0)
        floor = check_number("floor", self.floor, 0.0)
        if floor > 1.0:
            refuse("floor", "a number of at most 1", floor)
        object.__setattr__(self, "floor", floor)

    def __call__(self, step: int) -> float:
        """The factor of a step, counted from 0.

        Parameters
        ----------
        step : int
            Steps taken before.

        Returns
        -------
        float
            What the rate is multiplied with.

        Examples
        --------
        >>> import relaxon as rx
        >>> rx.CosineDecay(10)(0)
        1.0
        """
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        if step >= self.warmup + self.steps:
            return self.floor
        angle = math.pi * (step - self.warmup) / self.steps
        return self.floor + (1.0 - self.floor) * 0.5 * (1.0 + math.cos(angle))


def factors(schedule: Schedule | None, steps: int) -> NDArray[np.float64]:
    """The factors of all steps, checked; none without a schedule."""
    import numpy as np

    if schedule is None:
        return np.empty(0)

    def factor(step: int) -> float:
        try:
            value: Any = schedule(step)
        except Exception as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(
                "argument 'schedule': expected a function of the step number, counted from 0, got "
                f"one that raised {type(error).__name__} at step {step}: {error}"
            ) from error
        try:
            return check_number("schedule", value, 0.0)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{error} from schedule({step})") from None

    values = np.fromiter(map(factor, range(steps)), np.float64, steps)
    if not values.any():
        refuse("schedule", "a factor above 0 at some step", f"0 at all {steps}")
    return values
