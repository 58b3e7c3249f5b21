"""Bounds of layers: how far a model is from amplifying short waves or making new extrema.

About z = 0 a layer is an explicit step of transport with the lattice values c_a = omega s u_a and
e_a = omega s d_a, s = f'(0), numerical diffusion of the scheme included in d. Without reaction it
is stable where

    2 sum_a e_a <= 1                    (2 omega s sum_a d_a <= 1)
    sum_a c_a^2 / (2 e_a) <= 1          (omega s sum_a u_a^2 / (2 d_a) <= 1)

and monotone, making no new extrema, where also the cell Peclet number |u_a| / d_a <= 2 on all axes.
An implicit layer amplifies a wave no more than an explicit one of (1 - 2 theta) omega: both numbers
are smaller by this factor, and 0 from theta = 1/2 on where no diffusion is negative.

References: A. C. Hindmarsh, P. M. Gresho, D. F. Griffiths, Int. J. Numer. Meth. Fluids 4 (1984)
853-897.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.lattice import Lattice, numerical_diffusion, transport
from ..model.relaxation import Relaxation

__all__ = [
    "ADVECTIVE",
    "DIFFUSIVE",
    "MONOTONE_BOUND",
    "STABLE_BOUND",
    "Stability",
    "format_percent",
    "read_stability",
    "stability_number",
]

Field = NDArray[np.float64]

STABLE_BOUND = 1.0
MONOTONE_BOUND = 2.0
DIFFUSIVE = "2 omega s sum d"
ADVECTIVE = "omega s sum u^2 / (2 d)"


@dataclass(frozen=True, eq=False)
class Stability:
    """Stability numbers of layers, per layer and cell where they differ.

    Those of implicit layers are smaller by the factor 1 - 2 theta, 0 from theta = 1/2 on.

    Attributes
    ----------
    diffusive : ndarray of float64
        2 omega s sum_a d_a, stable up to 1. Shape (L,) + space where it differs between layers,
        else space; space is the grid's shape where it differs between cells, else (). NaN on masked
        cells.
    advective : ndarray of float64
        omega s sum_a u_a^2 / (2 d_a), stable up to 1; infinite where a diffusion is negative, or
        zero beside advection. Shaped as `diffusive`.
    peclet : tuple of ndarray of float64
        Cell Peclet number |u_a| / d_a per axis, monotone up to 2; infinite as above. Shaped as
        `diffusive`.
    scheme : str
        The operator's scheme, whose numerical diffusion is included.

    Examples
    --------
    >>> import numpy as np, relaxon as rx
    >>> model = rx.Relaxation(rx.ADR(rx.Grid((16,))), depth=4, activation="identity", omega=0.5)
    >>> model = model.with_params({"U": np.array([0.5]), "D": np.array([0.125])})
    >>> stability = rx.explain(model).stability
    >>> float(stability.diffusive), float(stability.advective), float(stability.peclet[0])
    (0.125, 0.5, 4.0)
    >>> stability.share, stability.peclet_share
    (0.0, (1.0,))
    """

    diffusive: Field
    advective: Field
    peclet: tuple[Field, ...]
    scheme: str

    @property
    def diffusive_share(self) -> float:
        """Share of existing cells, over all layers, above the diffusive bound."""
        return _share(self.diffusive > STABLE_BOUND, self.diffusive)

    @property
    def advective_share(self) -> float:
        """Share of existing cells, over all layers, above the advective bound."""
        return _share(self.advective > STABLE_BOUND, self.advective)

    @property
    def share(self) -> float:
        """Share of existing cells, over all layers, above either bound."""
        over = (self.diffusive > STABLE_BOUND) | (self.advective > STABLE_BOUND)
        return _share(over, self.diffusive)

    @property
    def peclet_share(self) -> tuple[float, ...]:
        """Share of existing cells, over all layers, above the monotone bound, per axis."""
        return tuple(_share(number > MONOTONE_BOUND, number) for number in self.peclet)

    @property
    def cures(self) -> tuple[str, ...]:
        """What usually brings the numbers below their bounds; empty where they are."""
        cures = []
        if self.share > 0.0:
            cures.append("more layers, each with a smaller omega and the same omega times depth")
            cures.append("implicit layers (theta=0.5 or theta=1)")
        if self.diffusive_share > 0.0:
            cures.append("an upper bound or a penalty (Smoothness, L2) on D")
        if self.advective_share > 0.0:
            if self.scheme == "central":
                cures.append("the scheme 'upwind' or 'lax-wendroff'")
            cures.append("a lower bound above 0 or more Smoothness on D, a penalty on U")
        return tuple(cures)

    def __str__(self) -> str:
        lines = [f"stability: {format_percent(self.share)} of cells over the explicit bounds"]
        if self.cures:
            lines.append(f"usual cures: {'; '.join(self.cures)}")
        return "\n".join(lines)


def read_stability(lattice: Lattice, slope: float) -> Stability | None:
    """Stability numbers of a model's layers.

    Parameters
    ----------
    lattice : Lattice
        Coefficients of the model.
    slope : float
        s, the slope of the activation.

    Returns
    -------
    Stability or None
        None for operators whose stencil is wider than one cell on each side: the bounds are those
        of three points per axis.
    """
    operator = lattice.model.operator
    read = transport(operator, lattice) if operator.reach == 1 else None
    if read is None:
        return None
    velocity, diffusion = read
    added = numerical_diffusion(lattice)
    if added is not None:
        diffusion = diffusion + added
    with np.errstate(all="ignore"):
        # The sign and the zeros of omega count as well: they are in the products.
        c, e = lattice.omega * slope * velocity, lattice.omega * slope * diffusion
        factor = max(1.0 - 2.0 * lattice.model.theta, 0.0)
        diffusive = factor * 2.0 * e.sum(axis=0)
        advective = _ratio(factor * c**2, 2.0 * e).sum(axis=0)
        peclet = [_ratio(np.abs(u), d) for u, d in zip(velocity, diffusion, strict=True)]
    return Stability(
        diffusive=lattice.spread(diffusive),
        advective=lattice.spread(advective),
        peclet=tuple(lattice.spread(number) for number in peclet),
        scheme=getattr(lattice.model.operator, "scheme", ""),
    )


def stability_number(model: Relaxation, params: Mapping[str, NDArray[Any]]) -> str:
    """The larger of the two bounds that layers exceed, and where it stands.

    Parameters
    ----------
    model : Relaxation
        Operator, shapes and settings.
    params : mapping of str to array
        Values in the place of the model's, omega or gamma among them; they need not be finite.

    Returns
    -------
    str
        In words; empty for operators without such a bound.

    Notes
    -----
    With slope 1: that of all activations of unbounded growth far from zero, where a state that runs
    away is, except square, which has none.
    """
    stability = read_stability(Lattice(model, params), slope=1.0)
    if stability is None:
        return ""
    numbers = {DIFFUSIVE: stability.diffusive, ADVECTIVE: stability.advective}
    peaks = {
        name: np.max(values, where=~np.isnan(values), initial=-np.inf)
        for name, values in numbers.items()
    }
    name = max(peaks, key=lambda key: peaks[key])
    if np.isneginf(peaks[name]):
        return "the coefficients are no numbers any more"
    text = f"{name.replace(' s ', ' ')} = {peaks[name]:.3g}, stable up to {STABLE_BOUND:g}"
    if name == ADVECTIVE and np.isinf(peaks[name]):
        text += " (a diffusion that is not positive)"
    return text


def _ratio(numerator: Field, denominator: Field) -> Field:
    """Quotient of numbers >= 0 by those that must be positive; 0 / 0 is 0, else infinite."""
    ratio = np.where(denominator <= 0.0, np.inf, numerator / denominator)
    return np.where((denominator == 0.0) & (numerator == 0.0), 0.0, ratio)


def _share(over: NDArray[np.bool_], values: Field) -> float:
    exists = ~np.isnan(values)
    return float(np.count_nonzero(over & exists) / np.count_nonzero(exists))


def format_percent(share: float) -> str:
    """A share in per cent; what is not quite none or all does not read like it."""
    percent = 100.0 * share
    if 0.0 < percent < 0.05:
        return "< 0.1 %"
    if 99.95 < percent < 100.0:
        return "> 99.9 %"
    return f"{percent:.3g} %"
