"""How the states of a network follow each other: the kinds of its layers."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from .. import _core
from ..base.validate import check_number
from ..operators.operator import check_depth

__all__ = ["DYNAMICS", "Explicit"]


@dataclasses.dataclass(frozen=True)
class Explicit:
    """Explicit steps, z' = (1 - omega) z + omega f(Z) - beta (|z| - 1) z, `depth` times.

    Parameters
    ----------
    depth : int
        Number of layers, at least 1.
    beta : float
        Strength of the normalisation term.

    Raises
    ------
    TypeError, ValueError
        If one is of another type or out of range.
    """

    depth: int
    beta: float

    # As model files hold them.
    kind: ClassVar[str] = "explicit"
    settings: ClassVar[dict[str, Any]] = {"depth": int, "beta": float}

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", check_depth(self.depth))
        object.__setattr__(self, "beta", check_number("beta", self.beta, 0.0))

    def _make_core(self, omega: str) -> _core.Explicit:
        """The core's object; omega is "scalar", or of every "layer" or "cell"."""
        return _core.Explicit(self.depth, omega, self.beta)


DYNAMICS = {dynamics.kind: dynamics for dynamics in (Explicit,)}
