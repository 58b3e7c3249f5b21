"""Distances of the output from its target, and penalties on the parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._validate import check_integer, check_number, refuse

__all__ = ["L2", "Smoothness", "SquaredDistance"]


@dataclasses.dataclass(frozen=True, eq=False)
class SquaredDistance:
    """1/batch sum_n sum_k sum_i w_i (z_i - y_i)^2, the paper's distance averaged over samples.

    Parameters
    ----------
    weights : array of bool or of the model's type, shape grid.shape or that of y, optional
        w >= 0, one where not given. Where it is 0, y is not read: missing values may be NaN.
    at : sequence of int, optional
        Layers with targets, distinct, from 0 (the input) to the depth; y then has the shape
        (batch, len(at), *grid.shape), in that order. Default: the output alone.

    Raises
    ------
    TypeError, ValueError
        If weights are negative, not finite or of another type, or layers are repeated or negative.

    Notes
    -----
    No cell volume enters, and weights are not normalised.

    References
    ----------
    S. Succi, MEMOCS 13 (2025) 275-286, sec. 7.

    Examples
    --------
    >>> import relaxon as rx
    >>> rx.SquaredDistance(at=[2, 4])
    SquaredDistance(at=(2, 4))
    """

    weights: NDArray[Any] | None = None
    at: tuple[int, ...] | None = None

    def __init__(self, weights: ArrayLike | None = None, at: Sequence[int] | None = None) -> None:
        object.__setattr__(self, "weights", None if weights is None else _check_weights(weights))
        object.__setattr__(self, "at", None if at is None else _check_layers(at))

    def _key(self) -> tuple[Any, ...]:
        w = self.weights
        return (None if w is None else (w.shape, w.dtype.str, w.tobytes()), self.at)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SquaredDistance) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        parts = [] if self.weights is None else [f"weights=<{self.weights.shape}>"]
        if self.at is not None:
            parts.append(f"at={self.at}")
        return f"SquaredDistance({', '.join(parts)})"


def _check_weights(value: ArrayLike) -> NDArray[Any]:
    weights = np.array(value, order="C")
    if weights.dtype not in (np.bool_, np.float32, np.float64):
        refuse("weights", "an array of bool, float32 or float64", str(weights.dtype), TypeError)
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        refuse("weights", "finite numbers of at least 0", f"{weights[index]} at index {index}")
    weights.flags.writeable = False
    return weights


def _check_layers(value: Sequence[int]) -> tuple[int, ...]:
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str):
        refuse("at", "a sequence of layers", repr(value), TypeError)
    layers = tuple(check_integer("at", layer, 0) for layer in value)
    if not layers:
        refuse("at", "at least one layer", repr(value))
    if len(set(layers)) < len(layers):
        refuse("at", "distinct layers", repr(layers))
    return layers


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
