"""All that is known of the stability of a model's layers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ..base.validate import check_instance
from ..datasets.coordinates import Coordinates
from ..dynamics.amplification import (
    MOST_VALUES,
    amplification,
    typical_slope,
    why_no_amplification,
)
from ..dynamics.certificate import certify, why_no_certificate
from ..dynamics.spectrum import MOST_ENTRIES, spectral_radii, why_no_radius
from ..model.lattice import Lattice
from ..model.relaxation import Relaxation
from .stability import Stability, read_stability

__all__ = ["read_all", "stability"]


def stability(model: Relaxation) -> Stability:
    """How stable the layers of a model are: bounds, frozen numbers, certificate, waves, spectrum.

    The stability and Peclet numbers of :func:`relaxon.explain`; the factors by which waves are
    multiplied, G = (1 + omega (1 - theta) l) / (1 - omega theta l), l = s W^(k) - 1; and what the
    rows of W and the slopes of f certify for every state, max|z' - z'_2| <= factor max|z - z_2|.

    Parameters
    ----------
    model : Relaxation
        Any model; lift, readout and bias do not count.

    Returns
    -------
    Stability
        Numbers per layer and cell, each named as a bound, as frozen or as a certificate by its
        text; what there is not, with the reason among `notes`.

    Raises
    ------
    TypeError
        If `model` is none.

    Notes
    -----
    The slope s is f'(0), for relu 1. One pass over the entries of W for the certificate; the
    spectral radius, where waves do not tell it, by all eigenvalues up to 200 cells, else by
    Arnoldi's method, and not above two million entries of W. No data are needed.

    References
    ----------
    A. C. Hindmarsh, P. M. Gresho, D. F. Griffiths, Int. J. Numer. Meth. Fluids 4 (1984) 853-897.
    S. Jafarpour, A. Davydov, A. Proskurnikov, F. Bullo, NeurIPS 2021, arXiv:2106.03194.

    Examples
    --------
    >>> import numpy as np, relaxon as rx
    >>> model = rx.Relaxation(rx.ADR(rx.Grid((16,), names="x")), depth=4, omega=0.5)
    >>> params = {"R": np.array(-0.1), "U": np.array([0.2]), "D": np.array([0.3])}
    >>> print(rx.stability(model.with_params(params)))
    number                                        kind         largest  bound  where   over it
    --------------------------------------------  -----------  -------  -----  ------  -------
    diffusive stability, 2 omega s sum d          bound        0.3      1              0 %
    advective stability, omega s sum u^2 / (2 d)  bound        0.03333  1              0 %
    cell Peclet number along x, monotone          bound        0.6667   2              0 %
    amplification of a wave, max |G|              bound        0.95     1
    contraction, factor                           certificate  0.95     1      cell 0
    one attractor, mu                             certificate  0.9      1
    monotone up to omega_max                      certificate  1
    <BLANKLINE>
    largest amplification 0.95, of the mean, slope 1, among the grid's waves
    inequalities, reaction and slope included: no wave grows
    certified: mu = 0.9, factor = 0.95; 45 layers bring states ten times nearer to the attractor
    stability: 0 % of cells over the explicit bounds
    """
    check_instance("model", model, Relaxation)
    return read_all(model, MOST_VALUES, MOST_ENTRIES)


def read_all(model: Relaxation, most_values: int, most_entries: int) -> Stability:
    """The same, without what takes longer than it may.

    Parameters
    ----------
    model : Relaxation
        Any model.
    most_values : int
        Factors of waves, over all cells and layers.
    most_entries : int
        Of W, for the spectral radius.

    Returns
    -------
    Stability
        With the reason for what is left out among its notes.
    """
    lattice, slope = Lattice(model), typical_slope(model.activation)
    notes = []
    # Explicit bounds are those of layers, which an attractor has none of.
    has_bounds = math.isfinite(slope) and not model.is_at_attractor
    numbers = read_stability(lattice, slope) if has_bounds else None
    if numbers is None:
        none = np.empty(0)
        numbers = Stability(
            diffusive=none,
            advective=none,
            peclet=(),
            scheme=getattr(model.operator, "scheme", ""),
            damps=none.astype(np.bool_),
            theta=model.theta,
            slope=slope,
            is_frozen=lattice.is_spread and not model.operator.reads_all,
        )
    if model.is_at_attractor:
        omega = f"{float(model.omega):g}"
        notes.append(
            f"at the attractor no layers are computed: numbers are those of layers of omega = "
            f"{omega}; where mu < 1, layers of omega up to omega_max lead to it"
        )
    reasons = [why_no_certificate(model), why_no_amplification(model, most_values)]
    waves = None if reasons[1] else amplification(model)
    radius = None
    if math.isfinite(slope) and (waves is None or not waves.is_exact):
        reasons.append(why_no_radius(model, most_entries))
        if not reasons[-1]:
            radius = float(spectral_radii(model, slope).max())
            if math.isnan(radius):
                notes.append("the spectral radius was not found: Arnoldi's method did not converge")
    return replace(
        numbers,
        certificate=certify(model),
        amplification=waves,
        spectral_radius=radius,
        notes=(*filter(None, reasons), *notes),
        coordinates=(
            Coordinates.of_grid(model.grid) if model.scaling is None else model.scaling.coordinates
        ),
    )
