"""Stability numbers as rows of a table and as sentences: bounds, frozen numbers, certificates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..dynamics.amplification import Amplification
from ..dynamics.certificate import Certificate, describe_place
from .numbers import format_number, format_percent

__all__ = ["Number", "describe", "number_rows"]

HEAD = ["number", "kind", "largest", "bound", "where", "over it"]
FROZEN = (
    "frozen: of each cell as if all others had its coefficients, neither necessary nor sufficient "
    "for the network"
)


@dataclass(frozen=True)
class Number:
    """A stability number of every layer and cell where they differ.

    Attributes
    ----------
    name : str
        In words.
    kind : str
        "bound" or "frozen".
    values : ndarray of float64
        NaN on masked cells.
    bound : float
        Its bound.
    """

    name: str
    kind: str
    values: NDArray[np.float64]
    bound: float

    def row(self, n_space: int) -> list[str]:
        """Its line of the table; the last `n_space` axes are those of cells."""
        known = ~np.isnan(self.values)
        worst = np.unravel_index(
            int(np.where(known, self.values, -np.inf).argmax()), self.values.shape
        )
        index = tuple(int(i) for i in worst)
        layer = index[0] if len(index) > n_space else None
        cell = index[len(index) - n_space :] if n_space else None
        share = float(np.mean(self.values[known] > self.bound))
        value = format_number(float(self.values[worst]))
        where = describe_place(layer, cell)
        return [self.name, self.kind, value, f"{self.bound:g}", where, format_percent(share)]


def number_rows(
    numbers: Sequence[Number],
    ndim: int,
    amplification: Amplification | None,
    spectral_radius: float | None,
    certificate: Certificate | None,
) -> list[list[str]]:
    """All numbers, each named by its kind.

    Parameters
    ----------
    numbers : sequence of Number
        Those of layers and cells.
    ndim : int
        Axes of the grid.
    amplification, spectral_radius, certificate
        Where there are such.

    Returns
    -------
    list of list of str
        A head, then one line each.
    """
    rows = [HEAD]
    rows += [number.row(ndim if number.kind == "frozen" else 0) for number in numbers]
    if amplification is not None:
        kind = "bound" if amplification.cell is None else "frozen"
        place = describe_place(amplification.layer, amplification.cell)
        value = format_number(amplification.largest, 6)
        rows.append(["amplification of a wave, max |G|", kind, value, "1", place, ""])
    if spectral_radius is not None:
        value = format_number(spectral_radius, 6)
        rows.append(["spectral radius of a layer, at that slope", "bound", value, "1", "", ""])
    if certificate is not None:
        place = describe_place(certificate.layer, certificate.cell)
        factor, mu = (format_number(v, 6) for v in (certificate.factor, certificate.mu))
        rows.append(["contraction, factor", "certificate", factor, "1", place, ""])
        rows.append(["one attractor, mu", "certificate", mu, "1", "", ""])
        omega_max = format_number(certificate.omega_max, 6)
        rows.append(["monotone up to omega_max", "certificate", omega_max, "", "", ""])
    return rows


def describe(
    amplification: Amplification | None,
    certificate: Certificate | None,
    damps: NDArray[np.bool_],
    is_frozen: bool,
) -> list[str]:
    """What the numbers say, in sentences.

    Parameters
    ----------
    amplification, certificate
        Where there are such.
    damps : array of bool
        Whether no wave grows, per layer and cell; no entry where that is not known.
    is_frozen : bool
        Whether cells differ.

    Returns
    -------
    list of str
        Lines.
    """
    lines = []
    if amplification is not None:
        waves = "the grid's waves" if amplification.is_exact else "waves of an infinite lattice"
        lines.append(f"{amplification}, among {waves}")
    if damps.size:
        share = float(np.mean(damps))
        found = "no wave grows" if share == 1.0 else "waves may grow"
        where = "" if share in (0.0, 1.0) else f" in {format_percent(1.0 - share)} of cells, layers"
        lines.append(f"inequalities, reaction and slope included: {found}{where}")
    if certificate is not None:
        lines.append(str(certificate))
    if is_frozen:
        lines.append(FROZEN)
    return lines
