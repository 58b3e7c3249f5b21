"""Which layers amplify no wave: inequalities in place of a search over wave numbers.

Explicit layers of transport with alpha = 1 - omega + omega s (1 + R), e_a = omega s d_a and
c_a = omega s u_a multiply a wave by G = alpha - 2 sum_a e_a (1 - cos k_a) - i sum_a c_a sin k_a.

In one dimension |G| <= 1 for all k if and only if

    |alpha| <= 1,    |alpha - 4 e| <= 1,    and where c^2 > 4 e^2 and 0 < y < 2,
    y = (c^2 - 2 alpha e) / (c^2 - 4 e^2):   alpha^2 + (c^2 - 2 alpha e)^2 / (c^2 - 4 e^2) <= 1.

In more dimensions, with E = sum e_a and C = sum c_a^2 / (2 e_a), it is enough that
(alpha - Y)^2 + C (2 Y - Y^2 / (2 E)) <= 1 for all Y from 0 to 4 E; for alpha = 1 that is
2 E <= 1 and C <= 1, and necessary, too.

Implicit layers amplify the waves that explicit ones of (1 - 2 theta) omega do; from theta = 1/2 on
none with Re l <= 0, l = s W^ - 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["damps_all_waves"]

Field = NDArray[np.float64]

# Of |G|^2, which has an error of a few of the last bits.
ROUNDING = 1e-12


def damps_all_waves(
    omega: Any, theta: float, slope: Any, reaction: Any, velocity: Field, diffusion: Field
) -> NDArray[np.bool_]:
    """Whether no wave grows in a layer; sharp in one dimension and for alpha = 1, else sufficient.

    Parameters
    ----------
    omega, slope, reaction : float or array
        Of the layer.
    theta : float
        Weight of its end.
    velocity, diffusion : array, shape (ndim, ...)
        Lattice values along every axis, that of the scheme included; without mixed diffusion.

    Returns
    -------
    array of bool
        Of the broadcast shape without the first axis.
    """
    alpha = slope * (1.0 + np.asarray(reaction, np.float64)) - 1.0
    u, d = np.asarray(velocity, np.float64), np.asarray(diffusion, np.float64)
    with np.errstate(all="ignore"):
        if theta >= 0.5:
            # The largest Re l is at k = 0, or where a negative diffusion amplifies most.
            growth = alpha - 4.0 * slope * np.minimum(d, 0.0).sum(axis=0)
            return np.asarray(omega * growth <= ROUNDING)
        rate = (1.0 - 2.0 * theta) * np.asarray(omega, np.float64)
        alpha, c, e = 1.0 + rate * alpha, rate * slope * u, rate * slope * d
        if len(d) == 1:
            return _damps_on_a_line(alpha, c[0], e[0])
        return _damps_in_space(alpha, c, e)


def _damps_on_a_line(alpha: Any, c: Field, e: Field) -> NDArray[np.bool_]:
    limit = 1.0 + ROUNDING
    ends = (np.abs(alpha) <= limit) & (np.abs(alpha - 4.0 * e) <= limit)
    bend = c**2 - 4.0 * e**2
    slant = c**2 - 2.0 * alpha * e
    y = slant / bend
    has_peak = (bend > 0.0) & (y > 0.0) & (y < 2.0)
    return np.asarray(ends & (~has_peak | (alpha**2 + slant**2 / bend <= limit)))


def _damps_in_space(alpha: Any, c: Field, e: Field) -> NDArray[np.bool_]:
    limit = 1.0 + ROUNDING
    total = e.sum(axis=0)
    # Without advection an axis needs no diffusion.
    spread = np.where(c == 0.0, 0.0, np.where(e > 0.0, c**2 / (2.0 * e), np.inf)).sum(axis=0)
    ends = (np.abs(alpha) <= limit) & (np.abs(alpha - 4.0 * total) <= limit)
    bend = 1.0 - np.where(total > 0.0, spread / (2.0 * total), 0.0)
    y = (alpha - spread) / bend
    has_peak = (bend < 0.0) & (y > 0.0) & (y < 4.0 * total)
    peak = alpha**2 - (spread - alpha) ** 2 / bend
    is_sound = np.isfinite(spread) & np.all(e >= 0.0, axis=0)
    return np.asarray(is_sound & ends & (~has_peak | (peak <= limit)))
