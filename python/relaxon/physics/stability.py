"""Bounds of layers: how far a model is from amplifying short waves or making new extrema.

About z = 0 a layer is an explicit step of transport with the lattice values c_a = omega s u_a and
e_a = omega s d_a, s = f'(0), numerical diffusion of the scheme included in d. Without reaction it
is stable where

    2 sum_a e_a <= 1                    (2 omega s sum_a d_a <= 1)
    sum_a c_a^2 / (2 e_a) <= 1          (omega s sum_a u_a^2 / (2 d_a) <= 1)

and monotone, making no new extrema, where also the cell Peclet number |u_a| / d_a <= 2 on all axes.
An implicit layer amplifies a wave no more than an explicit one of (1 - 2 theta) omega: both numbers
are smaller by this factor, and 0 from theta = 1/2 on where no diffusion is negative.

Where coefficients differ between cells these are numbers of frozen coefficients, neither necessary
nor sufficient; what holds for the network are its certificate and its spectral radius
(`relaxon.dynamics`).

References: A. C. Hindmarsh, P. M. Gresho, D. F. Griffiths, Int. J. Numer. Meth. Fluids 4 (1984)
853-897.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..base.text import align
from ..base.validate import refuse
from ..datasets.coordinates import Coordinates
from ..dynamics.amplification import Amplification
from ..dynamics.certificate import Certificate
from ..dynamics.waves import damps_all_waves
from ..model.lattice import Lattice, numerical_diffusion, transport
from ..operators import ADR
from .numbers import format_percent
from .stability_figure import draw_stability
from .stability_rows import Number, describe, number_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "ADVECTIVE",
    "DIFFUSIVE",
    "MONOTONE_BOUND",
    "STABLE_BOUND",
    "Stability",
    "read_stability",
]

Field = NDArray[np.float64]

STABLE_BOUND = 1.0
MONOTONE_BOUND = 2.0
# Of eigenvalues.
ROUNDING = 1e-9
DIFFUSIVE = "2 omega s sum d"
ADVECTIVE = "omega s sum u^2 / (2 d)"


@dataclass(frozen=True, eq=False)
class Stability:
    """Stability numbers of layers, per layer and cell where they differ.

    Those of implicit layers are smaller by the factor 1 - 2 theta, 0 from theta = 1/2 on. Arrays
    have no entry for operators whose stencil is wider than one cell on each side. What
    :func:`relaxon.stability` adds is None in the result of :func:`relaxon.explain`.

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
    damps : ndarray of bool
        Whether no wave grows, reaction and slope included: sharp in one dimension, sufficient in
        more. Shaped as `diffusive`; no entry with mixed diffusion, where only
        :func:`relaxon.amplification` tells.
    theta : float
        Of the layers.
    slope : float
        s.
    is_frozen : bool
        Whether cells differ, so that the numbers are those of frozen coefficients.
    certificate : Certificate or None
        What holds for every state.
    amplification : Amplification or None
        The factors of waves.
    spectral_radius : float or None
        The largest of all layers at the slope s everywhere, where waves do not tell it: for dense
        matrices, wide stencils, and cells that differ. NaN where it was not found.
    notes : tuple of str
        Why one of these is missing.
    coordinates : Coordinates or None
        Of the cells.

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
    damps: NDArray[np.bool_]
    theta: float
    slope: float
    is_frozen: bool
    certificate: Certificate | None = None
    amplification: Amplification | None = None
    spectral_radius: float | None = None
    notes: tuple[str, ...] = ()
    coordinates: Coordinates | None = None

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
    def has_bounds(self) -> bool:
        """Whether explicit bounds say anything: not of positive diffusion from theta = 1/2 on."""
        return bool(self.diffusive.size) and (self.theta < 0.5 or self.share > 0.0)

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
            # From theta = 1/2 on only a diffusion that is not positive is over a bound.
            if self.theta < 0.5:
                both = "theta=0.5" if self.scheme == "lax-wendroff" else "theta=0.5 or theta=1"
                cures.append(f"implicit layers ({both})")
        if self.diffusive_share > 0.0:
            cures.append("an upper bound or a penalty (Smoothness, L2) on D")
        if self.advective_share > 0.0:
            if self.scheme == "central":
                cures.append("the scheme 'upwind' or 'lax-wendroff'")
            cures.append("a lower bound above 0 or more Smoothness on D, a penalty on U")
        return tuple(cures)

    @property
    def is_stable(self) -> bool | None:
        """Whether no state grows for ever at the slope s, by the sharpest number there is.

        The spectral radius, the factors of waves where all cells are alike, or a certificate; None
        where none of them tells.
        """
        radius, waves = self.spectral_radius, self.amplification
        if radius is not None and not np.isnan(radius):
            return radius <= 1.0 + ROUNDING
        if self.damps_waves:
            return True
        if waves is not None and waves.is_exact:
            return False
        return True if self.certificate is not None and self.certificate.is_certified else None

    @property
    def damps_waves(self) -> bool:
        """Whether all cells are alike and no wave grows among them, away from sides and mask."""
        waves = self.amplification
        return waves is not None and waves.cell is None and waves.largest <= 1.0 + ROUNDING

    @property
    def has_numbers(self) -> bool:
        """Whether there is anything to draw."""
        known = (self.amplification, self.certificate)
        return bool(self.diffusive.size) or any(number is not None for number in known)

    @property
    def is_complete(self) -> bool:
        """Whether it has what :func:`relaxon.stability` adds."""
        return self.coordinates is not None

    def rows(self) -> list[list[str]]:
        """The table as texts: a head, then number, kind, value, bound, where, and share over it.

        Returns
        -------
        list of list of str
            Every number is named as a bound, as frozen or as a certificate.
        """
        kind = "frozen" if self.is_frozen else "bound"
        numbers = []
        if self.has_bounds:
            numbers += [
                Number(f"diffusive stability, {DIFFUSIVE}", kind, self.diffusive, STABLE_BOUND),
                Number(f"advective stability, {ADVECTIVE}", kind, self.advective, STABLE_BOUND),
            ]
        if self.diffusive.size:
            axes = [] if self.coordinates is None else self.coordinates.names
            numbers += [
                Number(f"cell Peclet number along {name}, monotone", kind, values, MONOTONE_BOUND)
                for name, values in zip(axes, self.peclet, strict=True)
            ]
        ndim = 0 if self.coordinates is None else len(self.coordinates.names)
        return number_rows(
            numbers, ndim, self.amplification, self.spectral_radius, self.certificate
        )

    def plot(self) -> Figure:
        """Draw the factors of waves, and the numbers beside their bounds.

        The factors over wave numbers, those of the worst layer and cell where these differ; the
        numbers as a map or a line over cells, over layers, or as points.

        Returns
        -------
        matplotlib.figure.Figure
            Made without pyplot: nothing global is touched.

        Raises
        ------
        ImportError
            Without matplotlib.
        ValueError
            For what :func:`relaxon.explain` gives, which has no waves.

        Examples
        --------
        >>> import relaxon as rx
        >>> model = rx.Relaxation(rx.ADR(rx.Grid((16,)), time="layered"), depth=4)
        >>> len(rx.stability(model).plot().axes)
        2
        """
        coordinates = self.coordinates
        if coordinates is None:
            refuse("self", "what relaxon.stability gives", "what relaxon.explain gives")
        named = {DIFFUSIVE: self.diffusive, ADVECTIVE: self.advective}
        return draw_stability(
            self.amplification,
            named if self.has_bounds else {},
            self.certificate,
            self.spectral_radius,
            coordinates,
        )

    def sentences(self) -> list[str]:
        """What the numbers say, and what helps.

        Returns
        -------
        list of str
            Lines.
        """
        lines: list[str] = []
        if self.is_complete:
            damps = self.damps[~np.isnan(self.diffusive)] if self.damps.size else self.damps
            lines += describe(self.amplification, self.certificate, damps, self.is_frozen)
            lines += self.notes
        if self.diffusive.size and not self.has_bounds:
            lines.append(f"stability: theta = {self.theta:g}, and from 1/2 on there is no bound")
        elif self.diffusive.size:
            where = "cells" if self.theta < 0.5 else f"cells (theta = {self.theta:g})"
            share = format_percent(self.share)
            lines.append(f"stability: {share} of {where} over the explicit bounds")
        if self.cures:
            lines.append(f"usual cures: {'; '.join(self.cures)}")
        return lines

    def __str__(self) -> str:
        text = "\n".join(self.sentences())
        rows = self.rows() if self.is_complete else []
        return f"{align(rows)}\n\n{text}" if len(rows) > 1 else text


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
    theta = lattice.model.theta
    with np.errstate(all="ignore"):
        # The sign and the zeros of omega count as well: they are in the products.
        c, e = lattice.omega * slope * velocity, lattice.omega * slope * diffusion
        factor = max(1.0 - 2.0 * theta, 0.0)
        diffusive = factor * 2.0 * e.sum(axis=0)
        advective = _ratio(factor * c**2, 2.0 * e).sum(axis=0)
        peclet = [_ratio(np.abs(u), d) for u, d in zip(velocity, diffusion, strict=True)]
    damps = np.ones(0, np.bool_)
    if not _has_mixed_diffusion(lattice):
        reaction = _reaction(lattice)
        found = damps_all_waves(lattice.omega, theta, slope, reaction, velocity, diffusion)
        damps = lattice.spread(found.astype(np.float64)) != 0.0
    return Stability(
        diffusive=lattice.spread(diffusive),
        advective=lattice.spread(advective),
        peclet=tuple(lattice.spread(number) for number in peclet),
        scheme=getattr(operator, "scheme", ""),
        damps=damps,
        theta=theta,
        slope=slope,
        is_frozen=lattice.is_spread,
    )


def _reaction(lattice: Lattice) -> Field:
    """R, or W_0 - 1."""
    moments = lattice.model.operator.line_moments(lattice.coefficient)
    return lattice.coefficient("R") if moments is None else moments[0] - 1.0


def _has_mixed_diffusion(lattice: Lattice) -> bool:
    operator = lattice.model.operator
    if not isinstance(operator, ADR):
        return False
    mixed = np.delete(lattice.coefficient("D"), operator.diagonal(), axis=0)
    if lattice.grid.mask is not None and operator.is_local:
        mixed = mixed[..., lattice.grid.mask]
    return bool(np.any(mixed))


def _ratio(numerator: Field, denominator: Field) -> Field:
    """Quotient of numbers >= 0 by those that must be positive; 0 / 0 is 0, else infinite."""
    ratio = np.where(denominator <= 0.0, np.inf, numerator / denominator)
    return np.where((denominator == 0.0) & (numerator == 0.0), 0.0, ratio)


def _share(over: NDArray[np.bool_], values: Field) -> float:
    exists = ~np.isnan(values)
    if not exists.size:
        return 0.0
    return float(np.count_nonzero(over & exists) / np.count_nonzero(exists))
