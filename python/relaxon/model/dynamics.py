"""How the states of a network follow each other: the kinds of its layers."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

from .. import _core
from ..base.schema import Later
from ..base.validate import check_choice, check_flag, check_number, refuse
from ..operators.operator import check_depth

__all__ = ["DYNAMICS", "Explicit", "Theta", "make_dynamics"]

NORMALIZATIONS = ("hard",)


@dataclasses.dataclass(frozen=True)
class Explicit:
    """Explicit steps, z' = (1 - omega) z + omega f(Z) - beta (|z| - 1) z, `depth` times.

    Parameters
    ----------
    depth : int
        Number of layers, at least 1.
    beta : float
        Strength of the normalisation term.
    drive : bool
        Whether the input is a source, Z = W z - b + x in every layer, and z_0 = 0.
    normalization : {None, "hard"}
        "hard": every layer ends with z / |z|.

    Raises
    ------
    TypeError, ValueError
        If one is of another type or out of range, or both normalisations are asked for.
    """

    depth: int
    beta: float
    drive: bool = dataclasses.field(default=False, kw_only=True)
    normalization: str | None = dataclasses.field(default=None, kw_only=True)

    # As model files hold them.
    kind: ClassVar[str] = "explicit"
    settings: ClassVar[dict[str, Any]] = {
        "depth": int,
        "beta": float,
        Later("drive"): bool,
        Later("normalization"): NORMALIZATIONS,
    }

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", check_depth(self.depth))
        object.__setattr__(self, "beta", check_number("beta", self.beta, 0.0))
        object.__setattr__(self, "drive", check_flag("drive", self.drive))
        if self.normalization is None:
            return
        check_choice("normalization", self.normalization, NORMALIZATIONS)
        if self.beta:
            rule = "None beside the soft normalisation, beta > 0"
            refuse("normalization", rule, repr(self.normalization), fix="take one of the two")

    @property
    def implicitness(self) -> float:
        """Weight of a layer's end in what moves it."""
        return 0.0

    @property
    def omega_limit(self) -> float:
        """What omega stays below."""
        return 2.0 if self.implicitness < 0.5 else math.inf

    def _make_core(self, omega: str) -> _core.Explicit | _core.Theta:
        """The core's object; omega is "scalar", or of every "layer" or "cell"."""
        return _core.Explicit(self.depth, omega, self.beta, *self._common())

    def _common(self) -> tuple[bool, str]:
        """What stands last in the core's objects of all kinds."""
        return self.drive, self.normalization or "none"


@dataclasses.dataclass(frozen=True)
class Theta(Explicit):
    """Implicit steps: omega (f(Z) - z) is taken at the layer's end with weight `theta`.

    Parameters
    ----------
    depth, beta, drive, normalization
        As for explicit ones.
    theta : float
        Above 0 and at most 1; 1/2 is the trapezoidal rule, 1 the backward Euler step.

    Raises
    ------
    TypeError, ValueError
        If one is of another type or out of range.
    """

    theta: float

    kind: ClassVar[str] = "theta"
    settings: ClassVar[dict[str, Any]] = {**Explicit.settings, "theta": float}

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "theta", check_number("theta", self.theta, 0.0, is_open=True))
        if self.theta > 1:
            refuse("theta", "0 <= theta <= 1", self.theta)

    @property
    def implicitness(self) -> float:
        """Weight of a layer's end in what moves it."""
        return self.theta

    def _make_core(self, omega: str) -> _core.Theta:
        """The core's object; omega is "scalar", or of every "layer" or "cell"."""
        return _core.Theta(self.depth, omega, self.beta, self.theta, *self._common())


DYNAMICS = {dynamics.kind: dynamics for dynamics in (Explicit, Theta)}


def make_dynamics(
    depth: int,
    beta: float,
    theta: float,
    drive: bool = False,
    normalization: str | None = None,
) -> Explicit:
    """The kind of layers that a model is told.

    Parameters
    ----------
    depth, beta, theta, drive, normalization
        As for :class:`relaxon.Relaxation`.

    Returns
    -------
    Explicit or Theta
        Explicit where theta is 0.

    Raises
    ------
    TypeError, ValueError
        As those.
    """
    theta = check_number("theta", theta, 0.0)
    if not theta:
        return Explicit(depth, beta, drive=drive, normalization=normalization)
    return Theta(depth, beta, theta, drive=drive, normalization=normalization)
