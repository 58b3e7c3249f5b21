"""Penalties on the parameters, added to the loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from .._validate import check_number, refuse

__all__ = ["L2", "Penalty", "Smoothness"]


@dataclasses.dataclass(frozen=True)
class Penalty:
    """A term on the parameters that is added to the loss and reported apart."""

    strength: float
    of: str | tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", check_number("strength", self.strength, 0.0))
        names = self.of
        if isinstance(names, list):
            names = tuple(names)
            object.__setattr__(self, "of", names)
        texts = (names,) if isinstance(names, str) or names is None else names
        if not all(name is None or isinstance(name, str) for name in texts):
            refuse("of", "names of parameters", repr(self.of), TypeError)

    def names(self, known: Sequence[str]) -> list[str]:
        """The parameters it is about, out of those of a model."""
        if self.of is None:
            return list(known)
        wanted = [self.of] if isinstance(self.of, str) else list(self.of)
        for name in wanted:
            if name not in known:
                refuse("of", f"names out of {', '.join(known)}", repr(name))
        return wanted


@dataclasses.dataclass(frozen=True)
class L2(Penalty):
    """strength sum p^2 over existing cells.

    Parameters
    ----------
    strength : float, at least 0
        Factor.
    of : str or tuple of str, optional
        Names of parameters; default all.

    Raises
    ------
    TypeError, ValueError
        If the strength is negative or no number.

    Examples
    --------
    >>> import relaxon as rx
    >>> rx.L2(1e-3, of="bias")
    L2(strength=0.001, of='bias')
    """


@dataclasses.dataclass(frozen=True)
class Smoothness(Penalty):
    """strength times the mean squared lattice gradient of each coefficient field.

    strength / n sum_a sum_i (p_{i+e_a} - p_i)^2, n existing cells; arms over sides (unless
    periodic) and into the mask are left out. Homogeneous parameters have no gradient.

    Parameters
    ----------
    strength : float, at least 0
        Factor.
    of : str or tuple of str, optional
        Names of parameters; default all.

    Raises
    ------
    TypeError, ValueError
        If the strength is negative or no number.

    Examples
    --------
    >>> import relaxon as rx
    >>> rx.Smoothness(10.0)
    Smoothness(strength=10.0, of=None)
    """
