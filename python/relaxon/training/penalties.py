"""Penalties on the parameters, added to the loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..base.validate import check_number, refuse

__all__ = ["L2", "Penalty", "Smoothness"]


@dataclasses.dataclass(frozen=True)
class Penalty:
    """A term on the parameters that is added to the loss and reported apart."""

    strength: float
    of: str | tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "strength", check_number("strength", self.strength, 0.0))
        if self.of is None or isinstance(self.of, str):
            return
        if not isinstance(self.of, tuple | list) or not all(isinstance(n, str) for n in self.of):
            refuse("of", "a name or a tuple of names of parameters", repr(self.of), TypeError)
        if not self.of or len(set(self.of)) < len(self.of):
            refuse("of", "names, each of them once", repr(self.of), fix="None means all parameters")
        object.__setattr__(self, "of", tuple(self.of))

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
        Names of parameters, each once; default all.

    Raises
    ------
    TypeError, ValueError
        If the strength is negative or no number, or there are no names in `of`.

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
    periodic) and into the mask are left out.

    Parameters
    ----------
    strength : float, at least 0
        Factor.
    of : str or tuple of str, optional
        Names of parameters that differ between cells, each once; default all such parameters.

    Raises
    ------
    TypeError, ValueError
        If the strength is negative or no number, or there are no names in `of`.

    Notes
    -----
    Homogeneous parameters have no gradient: :func:`fit` refuses a strength above 0 for a model
    without coefficient fields, and for a parameter named in `of` that is none.

    Examples
    --------
    >>> import relaxon as rx
    >>> rx.Smoothness(10.0)
    Smoothness(strength=10.0, of=None)
    """
